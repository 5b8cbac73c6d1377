"""Which folders are parts, and which of them have a folder for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stages.images.sources.files import NAMED, below, contents, is_picture, printable, visible
from stages.images.sources.parts import part_named, part_within


def part_folders(root: Path) -> dict[str, Path] | None:
    """Part -> folder with a folder for each class; None if no folder is a part.

    A folder is a part by its whole name. Beside others, words of a name do too: valid_set, test-set
    or train_images; not so if the name has words for two parts, or another folder has that part.

    Raises:
        ValueError: two folders are the same part, parts lack that for training, or a folder train is
            as well one of several classes.
    """
    folders = sorted(folder for folder in visible(root) if folder.is_dir())
    nested = [folder for folder in folders if any(each.is_dir() for each in visible(folder))]
    parts: dict[str, Path] = {}
    for folder in nested:
        part = part_named(folder.name)
        if part is None:
            continue
        if part in parts:
            raise ValueError(
                f"{parts[part]} and {folder} are both for {part}: put them together or move one away"
            )
        parts[part] = folder

    by_words = {**_by_words(nested), **parts}
    others = [folder for folder in nested if folder not in by_words.values()]
    if "train" in parts or ("train" in by_words and not others):
        named = {part_named(folder.name) for folder in folders} - {None}
        if named == {"train"} and by_words.keys() == {"train"}:
            _refuse_class_train(root, parts, others)
        return {
            name: by_words[name] for name in ("train", "validation", "test") if name in by_words
        }
    if parts:
        raise ValueError(
            f"{root} has {contents(root)} and no folder train with class folders: rename the "
            "folder for training to train"
        )
    return None


def _by_words(folders: Sequence[Path]) -> dict[str, Path]:
    """Part -> the one folder that has a word for it, and for no other part, in its name."""
    found: dict[str, list[Path]] = {}
    for folder in folders:
        part = part_within(folder.name)
        if part is not None and part == part_within(folder.name, last=True):
            found.setdefault(part, []).append(folder)
    return {part: each[0] for part, each in found.items() if len(each) == 1}


def _refuse_class_train(root: Path, parts: dict[str, Path], others: Sequence[Path]) -> None:
    """Refuse a folder train that may be a class, as railway trains beside cars and planes."""
    full = [folder for folder in others if any(map(is_picture, below(folder)))]
    if full:
        shown = ", ".join(f"{printable(folder.name)}/" for folder in full[:NAMED])
        raise ValueError(
            f"{root}: {parts['train'].name}/ may be the part for training, or a class as {shown}: "
            "move these elsewhere if it is the part, or rename it (trains) if it is a class"
        )


def notes_beside(root: Path, parts: dict[str, Path]) -> list[str]:
    """A line each on folders and pictures that lie beside the parts and are not read."""
    inside = sorted(visible(root))
    notes = []
    for folder in inside:
        if folder.is_dir() and folder not in parts.values():
            flat = part_within(folder.name) and not any(each.is_dir() for each in visible(folder))
            why = "which has no class folders" if flat else "which is no part"
            notes.append(f"passed over {printable(folder.name)}/, {why}")

    loose = sum(is_picture(file) for file in inside)
    return [*notes, f"passed over {loose:,} pictures beside the parts"] if loose else notes


def class_folders(root: Path) -> dict[str, Path] | None:
    """The folder as its training part, if it has a folder for each class; else None."""
    inside = [folder for folder in visible(root) if folder.is_dir()]
    flat = any(is_picture(file) for folder in inside for file in below(folder))
    return {"train": root} if flat and len(inside) > 1 else None
