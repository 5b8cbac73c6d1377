"""Names of the files of an export, and what its description holds; used by export and predict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILES = {"safetensors": "model.safetensors", "onnx": "model.onnx", "pt2": "model.pt2"}
"""Format -> file, in the order in which predict looks for them."""
CARD, STATISTICS = "README.md", "statistics.safetensors"


def model_file(path: Path) -> Path:
    """The file of an export to run: `path` itself, or in a folder the first that is there.

    Raises:
        ValueError: there is none, or it is of no format that is known.
    """
    if path.is_dir():
        here = [path / name for name in FILES.values() if (path / name).is_file()]
        if not here:
            raise ValueError(
                f"{path} holds none of {', '.join(FILES.values())}: run python -m commands.export"
            )
        return here[0]
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
    names, size, shape = described.get("classes"), described.get("size_px"), described.get("shape")
    named = (
        isinstance(names, list) and len(names) >= 2 and all(isinstance(name, str) for name in names)
    )
    of_vectors = (
        isinstance(shape, list)
        and 1 <= len(shape) <= 3
        and all(type(side) is int for side in shape)
    )
    if not named or (type(size) is not int or size < 1) and not of_vectors:
        raise ValueError(
            f"{path} is no export of this project: its description has no classes, or no size_px or shape"
        )
