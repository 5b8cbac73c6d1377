"""Picture files with a list of their names and labels, as a table of commas or tabs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stages.images.pictures import PictureRule
from stages.images.sources.columns import USUAL, Columns
from stages.images.sources.files import NAMED, composed, file_items, hash_key, printable
from stages.images.sources.labelled import Labelled, Source
from stages.images.sources.list_choice import PictureList, read_list, with_labels
from stages.images.sources.list_index import PictureIndex, in_part, shared_folders
from stages.images.sources.list_table import PART_COLUMNS, chosen_column, list_files, refuse_lines
from stages.images.sources.many import read_pictures
from stages.images.sources.parts import NAMES, WANTED, part_named, part_within


@dataclass(frozen=True)
class _Line:
    """A picture of a list: its file, label and group, and the part that it belongs to."""

    file: Path
    label: str
    group: str
    part: str


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
    value if all are whole numbers; forms of Unicode make no difference. Pictures are ordered by the
    sha256 of their path. Lists without labels are passed over, see `with_labels`; so is, beside lists
    with a part in their name, another one that names the same pictures again or those of a folder for
    test, as sample_submission.csv of Kaggle.

    Args:
        root: the folder.
        rule: size and fit of the pictures.
        columns: of the lists; usual ones are FILE_COLUMNS and LABEL_COLUMNS.
        lists: those that are read; None takes all of `list_files`.

    Raises:
        ValueError: a list, a column, a name or pictures are not usable; the message names them.
    """
    index = PictureIndex(root)
    every = [read_list(file, columns) for file in (list_files(root) if lists is None else lists)]
    used = with_labels(every)
    passed = [each for each in every if each not in used]
    notes = [f"passed over {printable(each.file.name)}, which has no labels" for each in passed]
    also = {file for each in passed if each.part == "test" for file in _pictures(each, index)}
    read = {each.file: _lines(each, index, columns) for each in used}

    for file in _repeated(root, read, also):
        notes.append(
            f"passed over {printable(file.name)}, which names pictures of other lists, or for test, "
            "again"
        )
        del read[file]
    lines = _one_form([line for found in read.values() for line in found])

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


def _pictures(given: PictureList, index: PictureIndex) -> set[Path]:
    """The pictures that a list for testing may mean."""
    shared = shared_folders(given.names, index)
    return {file for name in given.names for file in index.find(name, "test", shared)}


def _lines(given: PictureList, index: PictureIndex, wanted: Columns) -> list[_Line]:
    """The lines of a list with labels."""
    file, table, numbers = given.file, given.table, given.numbers
    labels = given.labels or []
    shared = shared_folders(given.names, index)
    group = wanted.group
    if group is not None:
        chosen_column(file, list(table), "group", group, ())

    parts = _parts(file, table, numbers, given.part or "train")
    lines = []
    bad = []
    groups = [None] * len(parts) if group is None else table[group]
    for number, name, label, of_group, part in zip(
        numbers, given.names, labels, groups, parts, strict=True
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


def _one_form(lines: Sequence[_Line]) -> list[_Line]:
    """Lines whose labels are in one form of Unicode, the first one that training lines have."""
    forms: dict[str, str] = {}
    for line in sorted(lines, key=lambda line: line.part != "train"):
        forms.setdefault(composed(line.label), line.label)

    shown = [forms[composed(line.label)] for line in lines]
    return [
        line if line.label == label else replace(line, label=label)
        for line, label in zip(lines, shown, strict=True)
    ]


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
