"""Which tables of a folder are lists of its pictures, and which of these have labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.images.sources.columns import Columns
from stages.images.sources.files import composed, printable, visible
from stages.images.sources.list_index import PictureIndex, shared_folders
from stages.images.sources.list_table import (
    FILE_COLUMNS,
    LABEL_COLUMNS,
    chosen_column,
    class_columns,
    labels_of_lines,
    lacks_column,
    read_table_of_text,
    usual_label,
)
from stages.images.sources.parts import part_within


@dataclass(frozen=True)
class PictureList:
    """A list of pictures.

    Attributes:
        file: where it is.
        part: by a word of its name; None without.
        table, numbers: its columns, and the number of each line.
        names: what each line calls its picture.
        labels: of each line; None if it has none.
        classes: names of its columns for a class each, composed; empty for labels in one column.
        lacks: why it has no labels.
    """

    file: Path
    part: str | None
    table: dict[str, list[str]]
    numbers: list[int]
    names: list[str]
    labels: list[str] | None
    classes: frozenset[str]
    lacks: str


def read_list(file: Path, wanted: Columns) -> PictureList:
    """A list with its labels, if it has some.

    Columns of 0 and 1 are labels only if every line has one 1.

    Raises:
        ValueError: it is no table, or a column that the settings name is not there.
    """
    table, numbers = read_table_of_text(file)
    columns = list(table)
    names = chosen_column(file, columns, "image_column", wanted.image, FILE_COLUMNS)
    classes = class_columns(table, wanted, names)

    lacks = lacks_column(file, columns, "label_column", LABEL_COLUMNS)
    try:
        labels = labels_of_lines(file, table, numbers, wanted, names)
    except ValueError as error:
        if not classes:
            raise
        labels, lacks = None, str(error)

    part = part_within(file.stem)
    held = frozenset(map(composed, classes))
    return PictureList(file, part, table, numbers, table[names], labels, held, lacks)


def with_labels(lists: Sequence[PictureList]) -> list[PictureList]:
    """The lists with labels; others are passed over, if they may lack them.

    Lists for testing may, and those without a part in their name, as sample_submission.csv of Kaggle.
    Columns of 0 and 1 of a list for testing are labels if one of them is a class of training, and else
    are about something else, as how a picture was turned.

    Raises:
        ValueError: no list has labels, one for training or validation has none, or lines of a list
            with the columns of another one have other than one 1.
    """
    labelled = [each for each in lists if each.labels is not None]
    known: set[str] = set()
    for each in labelled:
        if each.part != "test":
            known |= each.classes | set(map(composed, each.labels or ()))

    used = [each for each in labelled if each.part != "test" or _fits(each, known)]
    of_parts = any(each.part for each in used)
    first = sorted(lists, key=lambda each: (each.part == "test", each.part is None))
    for each in first:
        if each in labelled:
            continue

        meant = bool(each.classes & known) and (each.part is not None or not of_parts)
        if not used or meant or each.part in ("train", "validation"):
            raise ValueError(each.lacks)
    return used


def _fits(each: PictureList, known: set[str]) -> bool:
    """Whether labels are in one column, or one of their columns is a class of training."""
    return not each.classes or not known or bool(each.classes & known)


def names_and_labels(file: Path, wanted: Columns) -> bool:
    """Whether a list has a usual column of names, and columns that may be labels."""
    columns, _ = read_table_of_text(file, lines=0)
    usual = {name.lower() for name in columns}
    if not usual & set(FILE_COLUMNS):
        return False
    if usual_label(columns) is not None:
        return True

    table, _ = read_table_of_text(file)
    names = chosen_column(file, list(table), "image_column", None, FILE_COLUMNS)
    return bool(class_columns(table, wanted, names))


def lists_beside_classes(
    root: Path, lists: Sequence[Path], wanted: Columns
) -> tuple[list[Path], list[str]]:
    """The lists that name and label pictures of a folder, and a line on each other one.

    For folders that have class folders too, where a table may be of something else. Lists of test
    pictures without labels are kept beside lists with labels.
    """
    index = PictureIndex(root)
    folders = _class_names(root)
    reasons = {file: _no_list(file, index, wanted, folders) for file in lists}
    unlabelled = [file for file in lists if reasons[file] == _NO_LABELS]
    if "" in reasons.values():
        for file in unlabelled:
            reasons[file] = "" if part_within(file.stem) == "test" else _NO_LABELS

    used = [file for file in lists if not reasons[file]]
    notes = [
        f"passed over {printable(file.name)}, which {reason}"
        for file, reason in reasons.items()
        if reason
    ]
    return used, notes


_NO_LABELS = "has no labels"


def _class_names(root: Path) -> set[str]:
    """Names of the folders that are classes: two and more that are called like no part."""
    names = {composed(each.name) for each in visible(root) if each.is_dir()}
    classes = {name for name in names if part_within(name) is None}
    return classes if len(classes) > 1 else set()


def _no_list(file: Path, index: PictureIndex, wanted: Columns, folders: set[str]) -> str:
    """Why a table is no list of these pictures; "" if it is one."""
    try:
        table, _ = read_table_of_text(file)
    except ValueError:
        return "is not a table of text in UTF-8 with lines"

    lower = {name.lower() for name in table}
    if not lower & set(FILE_COLUMNS):
        return "has no column of file names"

    found = read_list(file, wanted)
    if found.labels is None:
        return _NO_LABELS
    about_else = found.part is None or (folders and not found.classes <= folders)
    if found.classes and about_else:
        return _NO_LABELS  # columns of 0 and 1 may be about anything

    # A table of classes has numbers for names, which some pictures may have too.
    labels, names = found.labels, found.names
    shared = shared_folders(names, index)
    count = sum(len(index.find(name, found.part or "train", shared)) == 1 for name in names)
    of_classes = len(set(labels)) == len(labels) and count < len(labels)
    return "" if count and not of_classes else "names no picture"
