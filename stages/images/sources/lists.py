"""Picture files with a list of their names and labels, as a table of commas or tabs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.images.pictures import PictureRule
from stages.images.sources.columns import USUAL, Columns
from stages.images.sources.files import NAMED, file_items, hash_key, printable
from stages.images.sources.labelled import Labelled, Source
from stages.images.sources.list_index import PictureIndex, in_part, shared_folders
from stages.images.sources.list_table import (
    FILE_COLUMNS,
    LABEL_COLUMNS,
    PART_COLUMNS,
    chosen_column,
    labels_of_lines,
    list_files,
    read_table_of_text,
    refuse_lines,
)
from stages.images.sources.many import read_pictures
from stages.images.sources.parts import NAMES, WANTED, part_named, part_within


@dataclass(frozen=True)
class _Line:
    """A picture of a list: its file, label and group, and the part that it belongs to."""

    file: Path
    label: str
    group: str
    part: str


def names_and_labels(file: Path) -> bool:
    """Whether a list has a usual column of names, and labels."""
    columns, _ = read_table_of_text(file, lines=0)
    usual = {name.lower() for name in columns}
    if not usual & set(FILE_COLUMNS):
        return False
    if usual & set(LABEL_COLUMNS):
        return True

    table, numbers = read_table_of_text(file)
    names = chosen_column(file, list(table), "image_column", None, FILE_COLUMNS)
    return labels_of_lines(file, table, numbers, USUAL, names) is not None


def lists_beside_classes(root: Path, lists: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The lists that name and label pictures of a folder, and a line on each other one.

    For folders that have class folders too, where a table may be of something else. Lists of test
    pictures without labels are kept beside lists with labels.
    """
    index = PictureIndex(root)
    reasons = {file: _no_list(file, index) for file in lists}
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


def _no_list(file: Path, index: PictureIndex) -> str:
    """Why a table is no list of these pictures; "" if it is one."""
    try:
        table, numbers = read_table_of_text(file)
    except ValueError:
        return "is not a table of text in UTF-8 with lines"

    lower = {name.lower(): name for name in reversed(list(table))}
    names = next((lower[each] for each in FILE_COLUMNS if each in lower), None)
    if names is None:
        return "has no column of file names"

    part = part_within(file.stem) or "train"
    shared = shared_folders(table[names], index)
    count = sum(len(index.find(name, part, shared)) == 1 for name in table[names])
    usual = bool(set(LABEL_COLUMNS) & lower.keys())
    if not usual and part_within(file.stem) is None:
        return _NO_LABELS  # columns of 0 and 1 may be about anything

    labels = labels_of_lines(file, table, numbers, USUAL, names)
    if labels is None:
        return _NO_LABELS

    # A table of classes has numbers for names, which some pictures may have too.
    of_classes = len(set(labels)) == len(labels) and count < len(labels)
    return "" if count and not of_classes else "names no picture"


def image_list(
    root: Path,
    rule: PictureRule,
    columns: Columns = USUAL,
    lists: Sequence[Path] | None = None,
) -> Source:
    """Pictures below `root` as its lists name and label them.

    A list belongs to the part that a word of its name says, or each line to that of its column
    split; else all is the training part. A file may be named by its path or the end of it, its name,
    or its name without suffix, see `PictureIndex.find`. The classes are the training labels, sorted, by
    value if all are whole numbers. Pictures are ordered by the sha256 of their path. A list without
    labels is passed over; so is, beside lists with a part in their name, another one that names the
    same pictures again or those of a folder for test, as sample_submission.csv of Kaggle.

    Args:
        root: the folder.
        rule: size and fit of the pictures.
        columns: of the lists; usual ones are FILE_COLUMNS and LABEL_COLUMNS.
        lists: those that are read; None takes all of `list_files`.

    Raises:
        ValueError: a list, a column, a name or pictures are not usable; the message names them.
    """
    index = PictureIndex(root)
    read: dict[Path, list[_Line]] = {}
    notes = []
    also: set[Path] = set()
    for file in list_files(root) if lists is None else lists:
        found = _read(file, index, columns)
        if isinstance(found, set):
            notes.append(f"passed over {printable(file.name)}, which has no labels")
            also |= found
            continue
        read[file] = found

    for file in _repeated(root, read, also):
        notes.append(
            f"passed over {printable(file.name)}, which names pictures of other lists, or for test, "
            "again"
        )
        del read[file]
    lines = [line for found in read.values() for line in found]

    twice = [name for name, count in Counter(line.file for line in lines).items() if count > 1]
    if twice:
        raise ValueError(
            f"{twice[0]} is in the lists of {root} more than once: keep one line of it"
        )

    classes = _classes(root, lines)
    unnamed = len(index.files) - len(lines)
    if unnamed:
        notes.append(f"passed over {unnamed:,} pictures that no list names")

    sizes: Counter[str] = Counter()
    parts = {}
    for part in NAMES:
        of_part = sorted(
            (line for line in lines if line.part == part),
            key=lambda line: hash_key(line.file, root),
        )
        if of_part:
            images, each = read_pictures(
                len(of_part), file_items([line.file for line in of_part]), rule
            )
            groups = None if columns.group is None else np.array([line.group for line in of_part])
            labels = np.array([classes[line.label] for line in of_part], np.int64)
            parts[part] = Labelled(images, labels, groups)
            sizes += each

    return Source(
        parts["train"],
        parts.get("test"),
        tuple(classes),
        parts.get("validation"),
        dict(sizes.most_common()),
        tuple(notes),
    )


def _repeated(root: Path, read: dict[Path, list[_Line]], also: set[Path]) -> list[Path]:
    """Lists without a part in their name, whose pictures others with one name, or are for test."""
    of_parts = {file for file in read if part_within(file.stem)}
    if not of_parts:
        return []

    known = also | {line.file for file in of_parts for line in read[file]}
    return [
        file
        for file in read
        if file not in of_parts
        and all(line.file in known or in_part(line.file, root, "test") for line in read[file])
    ]


def _read(file: Path, index: PictureIndex, wanted: Columns) -> list[_Line] | set[Path]:
    """The lines of one list; of a list of test pictures without labels the pictures."""
    table, numbers = read_table_of_text(file)
    columns = list(table)
    names = chosen_column(file, columns, "image_column", wanted.image, FILE_COLUMNS)
    own = part_within(file.stem)
    shared = shared_folders(table[names], index)
    labels = labels_of_lines(file, table, numbers, wanted, names)
    if labels is None:
        if own == "test":
            return {found for name in table[names] for found in index.find(name, own, shared)}
        chosen_column(file, columns, "label_column", None, LABEL_COLUMNS)  # says what is lacking
        raise AssertionError(columns)

    group = wanted.group
    if group is not None:
        chosen_column(file, columns, "group", group, ())

    parts = _parts(file, table, numbers, own or "train")
    lines = []
    bad = []
    groups = [None] * len(parts) if group is None else table[group]
    for number, name, label, of_group, part in zip(
        numbers, table[names], labels, groups, parts, strict=True
    ):
        found = index.find(name, part, shared)
        if len(found) != 1:
            many = f"may be any of {len(found)} files" if found else "is no file there"
            bad.append(f"line {number}: {name!r} {many}")
        elif not label:
            bad.append(f"line {number}: {name!r} has no label")
        elif of_group == "":
            bad.append(f"line {number}: {name!r} has no {group}, the column of prepare.group")
        else:
            lines.append(_Line(found[0], label, of_group or "", part))

    refuse_lines(file, bad, len(parts))
    return lines


def _parts(file: Path, table: dict[str, list[str]], numbers: Sequence[int], own: str) -> list[str]:
    """The part of each line: that of its column, if one names a part in any line, or `own`."""
    for name, values in table.items():
        if name.lower() not in PART_COLUMNS:
            continue

        parts = [part_named(each) for each in values]
        if not any(parts):
            continue

        bad = [
            f"line {number}: {name} is {value!r}, allowed are {WANTED}"
            for number, value, part in zip(numbers, values, parts, strict=True)
            if part is None
        ]
        refuse_lines(file, bad, len(values))
        return [part for part in parts if part is not None]

    return [own] * len(numbers)


def _classes(root: Path, lines: Sequence[_Line]) -> dict[str, int]:
    """Label -> its number; those of other parts must be among those of training."""
    training = {line.label for line in lines if line.part == "train"}
    if not training:
        raise ValueError(f"the lists of {root} have no line for training, wanted {WANTED}")

    strange = sorted({line.label for line in lines} - training)
    if strange:
        raise ValueError(
            f"the lists of {root} have labels that no training picture has: "
            f"{', '.join(strange[:NAMED])}: correct them"
        )

    whole = all(label.isdecimal() for label in training)
    ordered = sorted(training, key=lambda label: (int(label) if whole else 0, label))
    return {label: place for place, label in enumerate(ordered)}
