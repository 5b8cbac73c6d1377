"""Names of the files of an export, and what its description contains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from stages.images.pictures import Fit, PictureRule
from stages.settings.inputs import Inputs

FILES = {"safetensors": "model.safetensors", "onnx": "model.onnx", "pt2": "model.pt2"}
"""Format -> file, in the order in which predict looks for them."""
CARD = "README.md"
STATISTICS = "statistics.safetensors"
LABELS = "labels.json"
"""The class names in the order of the outputs, as a JSON list: for programs that read no description."""


def model_file(path: Path, onnx_first: bool = False) -> Path:
    """The file of an export to run: `path` itself, or in a folder the first that is there.

    Args:
        path: a file or a folder.
        onnx_first: of a folder take model.onnx before the others.

    Raises:
        ValueError: there is none, or it is of no format that is known.
    """
    if path.is_dir():
        present = [path / name for name in FILES.values() if (path / name).is_file()]
        if not present:
            raise ValueError(
                f"{path} holds none of {', '.join(FILES.values())}: run python -m commands.export"
            )
        return (
            path / FILES["onnx"] if onnx_first and path / FILES["onnx"] in present else present[0]
        )

    if path.suffix.removeprefix(".") not in FILES:
        raise ValueError(
            f"{path} ends in {path.suffix!r}, allowed are {', '.join(f'.{name}' for name in FILES)}"
        )

    return path


def check_description(path: Path, described: Mapping[str, Any]) -> None:
    """The description of a file has what predict needs.

    Raises:
        ValueError: it has not.
    """
    names = described.get("classes")
    named = (
        isinstance(names, list) and len(names) >= 2 and all(isinstance(name, str) for name in names)
    )
    if not named or not _has_inputs(described):
        raise ValueError(
            f"{path} is not an export of this project: "
            "its description has no classes, or no size_px or shape"
        )

    if described.get("fit", "exact") not in get_args(Fit):
        raise ValueError(
            f"{path}: its description has the fit {described['fit']!r}, known are "
            f"{', '.join(get_args(Fit))}: it was written by a newer version"
        )


def picture_rule(described: Mapping[str, Any], fit: Fit | None = None) -> PictureRule:
    """How pictures become the inputs of a net: as in its training.

    Where its training had pictures of one size alone (`exact`), another becomes its centre square.

    Args:
        described: description of an export, whose inputs are images.
        fit: goes before the one of the description.
    """
    trained = described.get("fit", "exact")
    return PictureRule(described["size_px"], fit or ("crop" if trained == "exact" else trained))


def _has_inputs(described: Mapping[str, Any]) -> bool:
    try:
        Inputs.from_json(described)
    except ValueError:
        return False
    return True
