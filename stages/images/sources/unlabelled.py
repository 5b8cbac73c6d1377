"""Pictures or vectors without labels, which join the transfer set of mimic nets.

Bucila et al. (2006) and Ba and Caruana (2014) labelled such data by the ensemble alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from stages.images.pictures import PictureRule
from stages.images.sources import parquet
from stages.images.sources.files import (
    below,
    contents,
    file_items,
    is_picture,
    linked_note,
    printable,
)
from stages.images.sources.labelled import data_folder
from stages.images.sources.many import read_pictures
from stages.images.sources.parquet_files import is_table

KEY = "prepare.unlabelled"
"""Of the settings, for errors."""


def unlabelled_pictures(
    path: str | Path, rule: PictureRule, image_column: str | None = None
) -> tuple[np.ndarray, Counter[str]]:
    """All pictures below a folder, or in its parquet files, in the order of their paths.

    Args:
        path: the folder; a relative one starts at the environment's MIMICNETS_DATA, if set.
        rule: size and fit, those of the labelled pictures.
        image_column: of parquet files; None takes the first of `parquet.IMAGE_COLUMNS`.

    Returns:
        uint8 (n, size_px, size_px, 3), and "width x height" -> number of pictures.

    Raises:
        FileNotFoundError: the folder is missing.
        ValueError: it has neither, or both; pictures are not usable.
    """
    root = data_folder(path)
    if not root.is_dir():
        raise FileNotFoundError(
            f"no folder {root}, wanted one with pictures or parquet files: change prepare.unlabelled"
        )

    linked: list[Path] = []
    every = sorted(below(root, linked), key=lambda file: file.relative_to(root).as_posix())
    files = [file for file in every if is_picture(file)]
    tables = [file for file in every if is_table(file)]
    if bool(files) == bool(tables):
        both = "both pictures and parquet files" if files else contents(root)
        raise ValueError(
            f"{root} has {both}, wanted are pictures or parquet files: change prepare.unlabelled"
        )

    for note in _notes(root, every, linked):
        print(f"prepare: without labels: {note}", flush=True)
    if files:
        return read_pictures(len(files), file_items(files), rule, KEY)
    return _of_tables(tables, rule, image_column)


def _of_tables(
    files: Sequence[Path], rule: PictureRule, image_column: str | None
) -> tuple[np.ndarray, Counter[str]]:
    """The pictures of all rows."""
    columns = [parquet.picture_column(file, image_column) for file in files]
    rows = sum(count for _, count in columns)
    if not rows:
        raise ValueError(
            f"{files[0]}: no rows, wanted at least one picture: change prepare.unlabelled"
        )

    def items() -> Iterator[tuple[str, Callable[[], bytes]]]:
        for file, (column, _) in zip(files, columns, strict=True):
            yield from parquet.file_items(file, column)

    return read_pictures(rows, items(), rule, KEY)


def _notes(root: Path, every: Sequence[Path], linked: Sequence[Path]) -> list[str]:
    """A line each on the files and the folders that are not read."""
    others = Counter(
        file.suffix.lower() or "without suffix"
        for file in every
        if not is_picture(file) and not is_table(file)
    )
    kinds = ", ".join(f"{count:,} {printable(kind)}" for kind, count in sorted(others.items()))
    notes = [f"passed over files that are no pictures: {kinds}"] if others else []
    return [*notes, *linked_note(linked, root)]
