"""The parquet files of a data set: which are there, for which part, and whether all are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from stages.images.sources.classes import SHOWN
from stages.images.sources.files import below
from stages.images.sources.parts import WANTED, part_within

_SHARD = re.compile(r"^(.*)-(\d{5})-of-(\d{5})(?:-[0-9a-f]+)?\.parquet$", re.IGNORECASE)


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

    Raises:
        FileNotFoundError: one is missing, or there are more than their names promise.
        ValueError: one is there twice.
    """
    for (folder, stem, count), found in _numbered(files).items():
        twice = [number for number, times in Counter(found).items() if times > 1]
        if twice:
            raise ValueError(
                f"{folder / stem}-{twice[0]:05d}-of-{count:05d} is there {found.count(twice[0])} times, "
                "with different endings: keep those of one download"
            )
        missing = sorted(set(range(count)) - set(found))
        if missing or len(found) != count:
            raise FileNotFoundError(
                f"{folder / stem}-*-of-{count:05d}.parquet: {count} files are promised, {len(found)} are "
                f"there, {missing[0] if missing else max(found):05d} is the first that is "
                f"{'missing' if missing else 'too many'}: complete the folder"
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

    kinds = sorted({(folder, stem) for folder, stem, _ in numbers})
    counts = sorted({count for _, _, count in numbers})
    shown = ", ".join(str((folder / stem).relative_to(root)) for folder, stem in kinds[:SHOWN])
    raise ValueError(
        f"{root} has more than one set of numbered files for one part ({shown}; of "
        f"{', '.join(map(str, counts))} files): point {key} to the folder of one"
    )


def _numbered(files: Sequence[Path]) -> dict[tuple[Path, str, int], list[int]]:
    """Folder, stem and promised count of numbered files -> the numbers that are there."""
    numbers: dict[tuple[Path, str, int], list[int]] = {}
    for file in files:
        shard = _SHARD.search(file.name)
        if shard:
            numbers.setdefault((file.parent, shard[1], int(shard[3])), []).append(int(shard[2]))

    return numbers
