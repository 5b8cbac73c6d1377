"""Which part of a data set a folder or file is, by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""Part -> names that people give it, in any case."""

WANTED = "train, val (valid, validation, dev) and test"
"""For errors."""

_PARTS = {name: part for part, names in NAMES.items() for name in names}


def part_named(name: str) -> str | None:
    """The part whose name is `name`, whatever its case; None for every other name.

    >>> part_named("Training"), part_named("val"), part_named("cats")
    ('train', 'validation', None)
    """
    return _PARTS.get(name.lower())


def part_within(name: str, last: bool = False) -> str | None:
    """The part that one word of `name`, the first or last such one, is the name of; None without.

    >>> part_within("cifar-train-00000-of-00002"), part_within("0000"), part_within("contest")
    ('train', None, None)
    """
    words = re.split(r"[^a-z]+", name.lower())
    found = [_PARTS[word] for word in words if word in _PARTS]
    return found[-1 if last else 0] if found else None


def part_of_path(path: Path) -> str | None:
    """The part that a file's own name says, or else the nearest of its folders.

    >>> part_of_path(Path("birds_train_v2/val/0.tar")), part_of_path(Path("birds/0.tar"))
    ('validation', None)
    """
    for name in (path.stem, *reversed(path.parts[:-1])):
        part = part_within(name)
        if part is not None:
            return part
    return None


def by_part(places: Iterable[Path]) -> dict[str, Path]:
    """Part -> the folder, or the file without its suffix, that is called so, in the parts' order.

    Others are left out.

    Raises:
        ValueError: two are for one part.
    """
    found: dict[str, Path] = {}
    for place in places:
        part = part_named(place.name if place.is_dir() else place.stem)
        if part is None:
            continue
        if part in found:
            raise ValueError(f"{found[part]} and {place} are both for {part}: move one away")
        found[part] = place

    return {part: found[part] for part in NAMES if part in found}
