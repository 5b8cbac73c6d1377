"""Lists of pictures as tables of text: their columns, and which of them hold names and labels."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from stages.images.sources.columns import Columns
from stages.images.sources.files import NAMED

LIST_SUFFIXES = (".csv", ".tsv")
FILE_COLUMNS = (
    "file_name",
    "filename",
    "file",
    "image",
    "img",
    "image_id",
    "image_name",
    "path",
    "id",
    "name",
)
"""Columns that are taken for names of files, where prepare.image_column is null."""
LABEL_COLUMNS = (
    "label",
    "labels",
    "class",
    "target",
    "category",
    "breed",
    "species",
    "diagnosis",
    "dx",
)
"""Columns that are taken for labels, where prepare.label_column is null."""
PART_COLUMNS = ("split", "part", "set", "subset")
"""A column that says the part of each line, if it has the name of a part in any."""
MAX_LIST_BYTES = 1 << 30

_ONES = {"1", "1.0"}
_TICKS = _ONES | {"0", "0.0"}


def list_files(root: Path) -> list[Path]:
    """The lists that lie directly in a folder, sorted."""
    return sorted(
        file
        for file in root.iterdir()
        if file.suffix.lower() in LIST_SUFFIXES and not file.name.startswith(".")
    )


def read_table_of_text(
    file: Path, lines: int | None = None
) -> tuple[dict[str, list[str]], list[int]]:
    """Columns of a list, all as text, and the number of each line; of its first lines, or of all."""
    if file.stat().st_size > MAX_LIST_BYTES:
        raise ValueError(f"{file}: more than {MAX_LIST_BYTES >> 30} GiB: divide it")

    separator = "\t" if file.suffix.lower() == ".tsv" else ","
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=separator, strict=True)
            filled = (
                (reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)
            )
            read = list(islice(filled, None if lines is None else lines + 1))
    except (ValueError, OSError, csv.Error) as error:
        raise ValueError(
            f"{file}: not a table of text in UTF-8 ({' '.join(str(error).split())[:200]}): correct it "
            "or move it"
        ) from error

    if not read:
        raise ValueError(f"{file}: not a table, it has no lines: fill it or move it")
    (_, head), *rows = read
    twice = [name for name, count in Counter(filter(None, head)).items() if count > 1]
    if twice:
        raise ValueError(f"{file}: more than one column is called {twice[0]}: rename the others")

    width = len(head)
    bad = [
        f"line {number} has {len(row)} columns, the first line has {width}"
        for number, row in rows
        if any(row[width:])  # commas at the end are no columns
    ]
    refuse_lines(file, bad, len(rows))

    columns = {
        name: [row[place] if place < len(row) else "" for _, row in rows]
        for place, name in enumerate(head)
    }
    return columns, [number for number, _ in rows]


def chosen_column(
    file: Path, columns: Sequence[str], key: str, wanted: str | None, usual: Sequence[str]
) -> str:
    """The column of this name, or the first of the usual ones in any case."""
    lower = {name.lower(): name for name in reversed(columns)}
    found = [wanted] if wanted in columns else [lower[each] for each in usual if each in lower]
    if (wanted is not None and wanted not in columns) or not found:
        raise ValueError(lacks_column(file, columns, key, usual if wanted is None else [wanted]))
    return str(found[0])


def lacks_column(file: Path, columns: Sequence[str], key: str, wanted: Sequence[str]) -> str:
    """What an error says of a list without a column."""
    return f"{file}: columns {', '.join(columns)}, wanted {' or '.join(wanted)}: set prepare.{key}"


def refuse_lines(file: Path, bad: Sequence[str], count: int) -> None:
    """One error for all lines that are not usable."""
    if bad:
        more = f"; and {len(bad) - NAMED:,} more" if len(bad) > NAMED else ""
        raise ValueError(
            f"{file}: {len(bad):,} of {count:,} lines are not usable: {'; '.join(bad[:NAMED])}{more}"
        )


def labels_of_lines(
    file: Path, table: Mapping[str, list[str]], numbers: Sequence[int], wanted: Columns, names: str
) -> list[str] | None:
    """The label of each line, "" for none: of one column, or of `class_columns`.

    Args:
        file: the list.
        table: its columns.
        numbers: of the lines.
        wanted: columns that the settings name.
        names: the column of file names.

    Returns:
        Labels, or None if no column has any.

    Raises:
        ValueError: the column that is named is not there, or a line has other than one class.
    """
    if wanted.label is not None:
        return table[chosen_column(file, list(table), "label_column", wanted.label, LABEL_COLUMNS)]
    usual = usual_label(table)
    if usual is not None:
        return table[usual]

    classes = class_columns(table, wanted, names)
    if not classes:
        return None

    labels = []
    bad = []
    for row, number in enumerate(numbers):
        ticked = [name for name in classes if table[name][row] in _ONES]
        labels.append(ticked[0] if ticked else "")
        if len(ticked) != 1:
            shown = f" ({', '.join(ticked[:NAMED])})" if ticked else ""
            bad.append(
                f"line {number}: {table[names][row]!r} is of {len(ticked)} classes{shown}, allowed is one"
            )
    refuse_lines(file, bad, len(labels))
    return labels


def usual_label(columns: Iterable[str]) -> str | None:
    """The column of labels that has a usual name, in any case; None if there is none."""
    lower = {name.lower(): name for name in reversed(list(columns))}
    return next((lower[each] for each in LABEL_COLUMNS if each in lower), None)


def class_columns(table: Mapping[str, list[str]], wanted: Columns, names: str) -> list[str]:
    """Columns that may be a class each, with 1 in those of their lines and 0 in others, as ISIC has them.

    They are all columns but those of names, parts and groups, where no column is named for labels and
    none has a usual name, and all hold 0 and 1. There are none, or two and more.
    """
    if wanted.label is not None or usual_label(table) is not None:
        return []

    others = (names, wanted.group, "")
    classes = [name for name in table if name not in others and name.lower() not in PART_COLUMNS]
    binary = all(_TICKS.issuperset(table[name]) for name in classes)
    return classes if binary and len(classes) > 1 else []
