"""The parquet files of a data set: which are there, for which part, and whether all are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from stages.images.sources.classes import SHOWN
from stages.images.sources.files import below
from stages.images.sources.parts import WANTED, part_within

_SHARD = re.compile(
    r"^(.*?)([-_]?)([0-9]{1,9})([-_]of[-_]([0-9]{1,9}))(?:-[0-9a-f]+)?\.parquet$", re.IGNORECASE
)


class _Series(NamedTuple):
    """Numbered files whose names promise how many there are, as test-00000-of-00002.

    Attributes:
        folder: of the files.
        stem, before: what stands before the number: a name, and what divides both.
        after: what stands behind it.
        promised: how many there are.
    """

    folder: Path
    stem: str
    before: str
    after: str
    promised: int

    def name(self, number: str) -> str:
        """Of the file with this number, without its suffix."""
        return str(self.folder / f"{self.stem}{self.before}{number}{self.after}")


def part_files(root: Path) -> dict[str, list[Path]]:
    """Part -> its files, in the order of their names, all that these promise.

    Raises:
        FileNotFoundError: there is no file, none for training, or a numbered one is missing.
        ValueError: a numbered file is there twice.
    """
    every = all_files(root)
    if not every:
        raise FileNotFoundError(f"no *.parquet in {root}: copy them there or change prepare.path")

    files: dict[str, list[Path]] = {}
    for file in every:
        part = _part(file.relative_to(root))
        if part is not None:
            files.setdefault(part, []).append(file)

    if not files:
        files = {"train": every}
    if "train" not in files:
        shown = ", ".join(str(file.relative_to(root)) for file in every[:SHOWN])
        raise FileNotFoundError(
            f"no file of {root} is for training ({shown}), wanted names with {WANTED}: rename them "
            "or change prepare.path"
        )

    for part in files:
        check_complete(files[part])
        check_one_set(root, files[part])
    return {part: files[part] for part in ("train", "validation", "test") if part in files}


def all_files(root: Path) -> list[Path]:
    """All .parquet files below a folder, but for hidden ones."""
    found = [file for file in below(root) if is_table(file)]
    return sorted(found, key=lambda file: file.relative_to(root).as_posix())


def is_table(file: Path) -> bool:
    """Whether the name is that of a parquet file."""
    return file.suffix.lower() == ".parquet"


def _part(file: Path) -> str | None:
    """The part that the file's own name says, or else the nearest of its folders."""
    for name in (file.stem, *reversed(file.parts[:-1])):
        part = part_within(name)
        if part is not None:
            return part
    return None


def files_of(root: Path, part: str) -> list[Path]:
    """The files of a part, in the order of their names."""
    return [file for file in all_files(root) if _part(file.relative_to(root)) == part]


def check_complete(files: Sequence[Path]) -> None:
    """Refuse numbered files of which one is missing or is there twice.

    Names may promise how many there are, counted from 0 or from 1: test-00000-of-00002, test-0-of-2
    or test_0_of_2. Of names that are numbers with zeros before them, as 0000, none may lack between
    others. Other numbers tell nothing, as 2024.

    Raises:
        FileNotFoundError: one is missing, or there are more than their names promise.
        ValueError: one is there twice.
    """
    for series, found in _numbered(files).items():
        count = series.promised
        width = min(map(len, found))
        numbers = [int(number) for number in found]
        twice = [number for number, times in Counter(numbers).items() if times > 1]
        if twice:
            raise ValueError(
                f"{series.name(f'{twice[0]:0{width}d}')} is there {numbers.count(twice[0])} times, with "
                "different endings: keep those of one download"
            )

        start = int(min(numbers) == 1 and max(numbers) == count)
        missing = sorted(set(range(start, start + count)) - set(numbers))
        if missing or len(numbers) != count:
            first = missing[0] if missing else max(numbers)
            raise FileNotFoundError(
                f"{series.name('*')}.parquet: {count} files are promised, {len(numbers)} are there, "
                f"{first:0{width}d} is the first that is {'missing' if missing else 'too many'}: complete "
                "the folder"
            )

    _check_gaps(files)


def _check_gaps(files: Sequence[Path]) -> None:
    """Refuse names that are numbers of one width, some with zeros before them, with gaps between."""
    numbers: dict[tuple[Path, int], list[str]] = {}
    for file in files:
        if re.fullmatch("[0-9]{2,18}", file.stem):
            numbers.setdefault((file.parent, len(file.stem)), []).append(file.stem)

    for (folder, width), found in numbers.items():
        if not any(number.startswith("0") for number in found):
            continue

        known = sorted({int(number) for number in found})
        gap = next((low + 1 for low, high in pairwise(known) if high > low + 1), None)
        if gap is not None:
            raise FileNotFoundError(
                f"no {folder / f'{gap:0{width}d}.parquet'}, and files before and behind it: complete the "
                "folder"
            )


def check_one_set(root: Path, files: Sequence[Path], key: str = "prepare.path") -> None:
    """Refuse several sets of numbered files.

    Args:
        root: the folder.
        files: below it.
        key: of the settings, which names the folder.

    Raises:
        ValueError: there are several.
    """
    numbers = _numbered(files)
    if len(numbers) <= 1:
        return

    kinds = sorted({(each.folder, each.stem) for each in numbers})
    counts = sorted({each.promised for each in numbers})
    shown = ", ".join(str((folder / stem).relative_to(root)) for folder, stem in kinds[:SHOWN])
    raise ValueError(
        f"{root} has more than one set of numbered files for one part ({shown}; of "
        f"{', '.join(map(str, counts))} files): point {key} to the folder of one"
    )


def _numbered(files: Sequence[Path]) -> dict[_Series, list[str]]:
    """Files that belong together, by names that promise how many there are -> their numbers."""
    numbers: dict[_Series, list[str]] = {}
    for file in files:
        shard = _SHARD.search(file.name)
        if shard:
            stem, before, number, after, count = shard.groups()
            series = _Series(file.parent, stem, before, after, int(count))
            numbers.setdefault(series, []).append(number)

    return numbers
