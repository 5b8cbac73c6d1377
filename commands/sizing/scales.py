"""Scales: paper.yaml with overlays on it, as the text of params.yaml."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from stages.settings import whole
from stages.settings.read import nearest

SCALES = Path("scales")
ORDER = ("smoke", "cpu", "gpu", "paper", "cifar100", "svhn", "imagenet64", "frames")


def names() -> list[str]:
    """Every scale: the paper's experiment from small to large, then other data, then your own."""

    def place(name: str) -> tuple[int, str]:
        return ORDER.index(name) if name in ORDER else len(ORDER), name

    return sorted((path.stem for path in SCALES.glob("*.yaml")), key=place)


def merge(base: CommentedMap, overlay: Mapping[str, Any]) -> None:
    """Lay `overlay` over `base`, in place; `boxes` are replaced whole, comments of `base` stay.

    A null in a `space` takes out a hyperparameter that the overlay's nets do not have.
    """
    for key, value in overlay.items():
        if key == "space":
            for name in [name for name, entry in value.items() if entry is None]:
                base[key].pop(name, None)
            value = {name: entry for name, entry in value.items() if entry is not None}

        if key != "boxes" and isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            merge(base[key], value)
        else:
            base[key] = value


def layered(name: str, above: tuple[str, ...] = ()) -> CommentedMap:
    """paper.yaml with the overlays that `name` is based on, and its own on top.

    Args:
        above: the scales that are based on this one.

    Raises:
        ValueError: there is no such scale, or it is based on itself.
    """
    if name not in names():
        raise ValueError(
            f"no scale '{name}'{nearest(name, names())}; scales are the files of {SCALES}/"
        )
    if name in above:
        raise ValueError(
            f"{SCALES / name}.yaml lies on itself: change `base` in {' or '.join(above)}.yaml"
        )

    overlay = YAML().load((SCALES / f"{name}.yaml").read_text())
    if name == "paper":
        return overlay

    base = layered(overlay.pop("base", "paper"), (*above, name))
    merge(base, overlay)
    return base


def compose(name: str) -> str:
    """The text of params.yaml at a scale.

    Raises:
        ValueError: there is no such scale, or it does not pass the checks of the stages.
    """
    params = layered(name)
    params["scale"] = name
    _block(params)

    yaml = YAML()
    yaml.width = 4096
    text = io.StringIO()
    yaml.dump(params, text)
    body = text.getvalue()
    whole.check(YAML(typ="safe").load(body))

    # Its first comment is about paper.yaml.
    start = body.index("scale:")
    head = (
        f"# Written by `python -m commands.scale {name}`; edit freely, or override with "
        "`dvc exp run -S KEY=VALUE`.\n"
    )

    return head + body[start:]


def _block(node: Any) -> None:
    """Lists of names in block style, as `dvc exp run -S` writes them; ranges stay on one line."""
    if isinstance(node, CommentedMap):
        for key, value in node.items():
            if key in ("rows", "budgets") and isinstance(value, CommentedSeq) and value:
                value.fa.set_block_style()
            _block(value)
