"""SVHN's pictures of whole house numbers (format 1), every digit cut out by its box."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.images.pictures import PictureRule, picture_size
from stages.images.sources.archives import MIXED_BY
from stages.images.sources.digit_struct import LIST_FILE, Digit, House, houses_of
from stages.images.sources.files import NAMED, file_bytes, file_items, is_picture, visible
from stages.images.sources.labelled import Labelled, Source, existing_folder
from stages.images.sources.many import Cut, read_pictures


class CutDigit(NamedTuple):
    """A digit, and the picture that it is cut out of."""

    file: Path
    digit: Digit


def house_numbers(path: str | Path, rule: PictureRule, extra: bool = False) -> Source:
    """The digits of SVHN's full numbers: 73,257 for training and 26,032 for testing.

    Each is the part of its picture within its box, cut at the border, and then a square by the rule.
    Digits are in the order of the lists. The group of a digit is its house, so that a number is never
    in two parts.

    Args:
        path: folder with train/ and test/, each with pictures and digitStruct.mat; test/ may be
            lacking. A relative path starts at the environment's MIMICNETS_DATA, if set.
        rule: size and fit.
        extra: whether the 531,131 easier digits of extra/ are training images too, mixed with the
            others in one fixed order.

    Raises:
        FileNotFoundError: a folder or list is missing.
        ValueError: a list or pictures are not usable, or h5py is not installed.
    """
    root = existing_folder(path, f"train/ and test/ with pictures and {LIST_FILE}")
    notes: list[str] = []
    train = _listed(root / "train", rule, notes)
    if extra:
        train += _listed(root / "extra", rule, notes)
        keys = np.random.PCG64(MIXED_BY).random_raw(len(train))
        train = [train[place] for place in np.argsort(keys, kind="stable")]

    found = {"train": train}
    if (root / "test").is_dir():
        found["test"] = _listed(root / "test", rule, notes)

    parts = {}
    sizes: Counter[str] = Counter()
    for part, digits in found.items():
        cuts: dict[Path, list[Cut]] = {}
        for place, each in enumerate(digits):
            cuts.setdefault(each.file, []).append(Cut(place, each.digit.box))
        images, of_part = read_pictures(
            len(digits), file_items([*cuts]), rule, cuts=[*cuts.values()]
        )
        labels = np.array([each.digit.number for each in digits], np.int64)
        houses = np.array([each.file.relative_to(root).as_posix() for each in digits])
        parts[part] = Labelled(images, labels, houses)
        sizes += of_part

    return Source(
        parts["train"],
        parts.get("test"),
        tuple("0123456789"),
        sizes=dict(sizes.most_common()),
        notes=tuple(notes),
    )


def _listed(folder: Path, rule: PictureRule, notes: list[str]) -> list[CutDigit]:
    """The digits that a part's list names; boxes without a pixel are passed over with a note."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no folder {folder}, wanted one with pictures and {LIST_FILE}: unpack SVHN's archive of "
            "full numbers, or change prepare.path"
        )

    houses = houses_of(folder / LIST_FILE)
    digits = [CutDigit(folder / house.name, digit) for house in houses for digit in house.digits]
    seen = _sizes(folder, houses)
    kept = [each for each in digits if _has_pixels(each.digit, seen.get(each.file))]
    if len(kept) < len(digits):
        lost = sorted({each.file.name for each in set(digits) - set(kept)})
        more = ", ..." if lost[NAMED:] else ""
        notes.append(
            f"passed over {len(digits) - len(kept):,} digits of {folder.name}/ whose boxes have no pixel, "
            f"in {', '.join(lost[:NAMED])}{more}"
        )

    if not kept:
        raise ValueError(f"{folder / LIST_FILE}: no digit with a pixel: unpack the archive again")

    _check_exact(kept, seen, rule)
    names = {house.name for house in houses}
    others = sum(is_picture(file) and file.name not in names for file in visible(folder))
    if others:
        notes.append(
            f"passed over {others:,} pictures of {folder.name}/ that its list does not name"
        )
    return kept


def _sizes(folder: Path, houses: Sequence[House]) -> dict[Path, tuple[int, int]]:
    """Width and height of each picture by its header; without those that cannot be read.

    These are named, all at once, when the pictures are decoded.
    """
    found = {}
    for house in houses:
        file = folder / house.name
        with contextlib.suppress(OSError, ValueError):
            found[file] = picture_size(file_bytes(file), str(file))
    return found


def _has_pixels(digit: Digit, size: tuple[int, int] | None) -> bool:
    """Whether a box has a pixel of its picture."""
    width, height = _size_within(digit, size)
    return width > 0 and height > 0


def _size_within(digit: Digit, size: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height of what a box has of its picture; of the box to the right, without a size."""
    left, top, right, bottom = digit.box
    if size is not None:
        right, bottom = min(right, size[0]), min(bottom, size[1])
    return right - max(0, left), bottom - max(0, top)


def _check_exact(
    digits: Sequence[CutDigit], seen: Mapping[Path, tuple[int, int]], rule: PictureRule
) -> None:
    """Refuse boxes of another size, where the rule is exact, before a picture is decoded.

    Raises:
        ValueError: there are some.
    """
    if rule.fit != "exact":
        return

    wanted = (rule.size_px, rule.size_px)
    known = [
        (each.file, _size_within(each.digit, seen[each.file]))
        for each in digits
        if each.file in seen
    ]
    bad = [(file, size) for file, size in known if size != wanted]
    if bad:
        file, (width, height) = bad[0]
        raise ValueError(
            f"{len(bad):,} of {len(digits):,} digits have boxes of another size, the first in {file}: "
            f"{width} x {height} px, wanted {rule.size_px} x {rule.size_px}: set prepare.fit to pad or "
            "stretch"
        )
