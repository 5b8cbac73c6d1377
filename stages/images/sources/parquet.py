"""Parquet files in the layout of the Hugging Face hub's cifar10."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.images.sources.classes import FileLabels, numbered
from stages.images.sources.decode import MAX_FILE_BYTES, check_file_bytes, check_total, decode
from stages.images.sources.labelled import Labelled, Source, existing_folder

if TYPE_CHECKING:
    import pyarrow as pa

_IMAGE_COLUMNS = ("img", "image")
_LABEL_COLUMNS = ("label", "fine_label")
_MAX_ROWS = 2_000_000  # of one file; a few bytes can claim any number
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.parquet$")


def parquet(path: str | Path, rows: Mapping[str, Sequence[int]] | None = None) -> Source:
    """Images of `path`/train-*.parquet and `path`/test-*.parquet.

    Each file has a column img or image, a struct with the bytes of a PNG or JPEG file, and an
    integer column label or fine_label, none missing. Class names come from the files' own
    "huggingface" metadata, and labels are matched by them, see `classes.numbered`; without names
    the classes are the values that the training labels have.

    Args:
        path: the folder.
        rows: rows to decode of "train" and of "test", in the order wanted, counted over the files
            in sorted order; a split that is left out is decoded whole.

    Returns:
        Training images, test images, class names.

    Raises:
        FileNotFoundError: the folder, a split or one of its numbered files is missing.
        ValueError: a file, a column, a row or an image is not usable; the message names the file.
    """
    for name in rows or ():
        if name not in ("train", "test"):
            raise ValueError(f"rows has the split {name!r}, allowed are 'train' and 'test'")

    root = existing_folder(path, "train-*.parquet and test-*.parquet")
    files = {name: _files(root, name) for name in ("train", "test")}
    tables = {name: [_table(file) for file in files[name]] for name in files}
    for name, made in tables.items():
        if not sum(map(len, made)):
            raise ValueError(
                f"{files[name][0]}: no rows, wanted at least one image: download it again"
            )

    labels = {
        name: [
            FileLabels(str(file), table["label"].to_numpy(), _classes(file))
            for file, table in zip(files[name], tables[name], strict=True)
        ]
        for name in files
    }
    numbers, classes = numbered(labels["train"], labels["test"])

    parts = {}
    size_px = None
    for name in ("train", "test"):
        count = len(files[name])
        of_split, numbers = np.concatenate(numbers[:count]), numbers[count:]
        part = _read(files[name], tables[name], of_split, (rows or {}).get(name), size_px)
        size_px = part.images.shape[1] if len(part.labels) else size_px
        parts[name] = part

    return parts["train"], parts["test"], classes


def _files(root: Path, split: str) -> list[Path]:
    """The files of a split, all that their names promise."""
    files = sorted(root.glob(f"{split}-*.parquet"))
    if not files:
        raise FileNotFoundError(
            f"no {split}-*.parquet in {root}: copy it there or change prepare.path"
        )

    for file in files:
        shard = _SHARD.search(file.name)
        if shard and int(shard[2]) != len(files):
            raise FileNotFoundError(
                f"{file} is one of {int(shard[2])} files, {len(files)} are in {root}: "
                "complete the folder"
            )

    return files


def _names(file: Path) -> tuple[str, str]:
    """Names of the image column and of the label column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(file)
        columns = schema.names
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{file}: not a readable parquet file: download it again") from error

    images = [name for name in _IMAGE_COLUMNS if name in columns]
    labels = [name for name in _LABEL_COLUMNS if name in columns]
    if not images or not labels:
        raise ValueError(
            f"{file}: columns {', '.join(columns)}, wanted an image column "
            f"({' or '.join(_IMAGE_COLUMNS)}) and a label column ({' or '.join(_LABEL_COLUMNS)})"
        )

    kind = schema.field(images[0]).type
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        raise ValueError(f"{file}: column {images[0]} is {kind}, wanted a struct with bytes")
    if not pa.types.is_integer(schema.field(labels[0]).type):
        raise ValueError(
            f"{file}: column {labels[0]} is {schema.field(labels[0]).type}, wanted integers"
        )

    return images[0], labels[0]


def _classes(file: Path) -> tuple[str, ...] | None:
    """Names of the classes, from the file's metadata; None if it has none."""
    import pyarrow.parquet as pq

    label = _names(file)[1]
    metadata = (pq.read_schema(file).metadata or {}).get(b"huggingface", b"{}")
    try:
        names = json.loads(metadata)["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError):
        return None

    return tuple(str(name) for name in names) if isinstance(names, list) else None


def _read(
    files: list[Path],
    tables: list[pa.Table],
    labels: np.ndarray,
    rows: Sequence[int] | None,
    size_px: int | None,
) -> Labelled:
    """The images of a split at `rows`, or all of them.

    Raises:
        ValueError: a row or an image is not usable.
    """
    starts = np.cumsum([0, *(len(table) for table in tables)])

    # Rows
    wanted = np.arange(starts[-1]) if rows is None else np.asarray(rows, dtype=np.int64)
    bad = np.flatnonzero((wanted < 0) | (wanted >= starts[-1]))
    if len(bad):
        raise ValueError(
            f"{files[0]}: row {wanted[bad[0]]} of {starts[-1]} is asked for, "
            f"allowed are 0 to {starts[-1] - 1}: change rows"
        )

    # Images
    images: list[np.ndarray] = []
    of_file = np.searchsorted(starts, wanted, side="right") - 1
    for row, which in zip(wanted, of_file, strict=True):
        inside = int(row - starts[which])
        name = f"{files[which]}, row {inside}"
        data = tables[which]["image"][inside].as_py()
        if data is None:
            raise ValueError(f"{name}: the image has no bytes, wanted a PNG or JPEG: correct it")

        images.append(decode(data, name, size_px))
        size_px = images[-1].shape[0]
        check_total(len(wanted), size_px, name)

    empty = np.empty((0, size_px or 1, size_px or 1, 3), dtype=np.uint8)
    stacked = np.stack(images) if images else empty
    return Labelled(stacked, labels[wanted])


def _table(file: Path) -> pa.Table:
    """The bytes as column image and the labels, without nulls, as column label."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    image, label = _names(file)

    try:
        with pq.ParquetFile(file) as opened:
            rows = opened.metadata.num_rows
            if rows > _MAX_ROWS:
                raise ValueError(
                    f"{file}: {rows:,} rows, allowed are {_MAX_ROWS:,} a file: divide it"
                )

            # row by row: a few bytes can stand for many large values, one is in memory at a time
            batches = opened.iter_batches(batch_size=1, columns=[f"{image}.bytes", label])
            checked = [_checked(batch, i, file) for i, batch in enumerate(batches)]
            empty = opened.schema_arrow.empty_table().select([image, label])
            table = pa.Table.from_batches(checked) if checked else empty
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{file}: damaged parquet file: download it again") from error

    labels = table[label]
    if labels.null_count:
        row = pc.index(labels.is_null(), True).as_py()
        raise ValueError(f"{file}: row {row} has no label, wanted an integer: correct the file")

    data = pc.struct_field(table[image], "bytes")
    return pa.table({"image": data.combine_chunks(), "label": labels.combine_chunks()})


def _checked(batch: pa.RecordBatch, row: int, file: Path) -> pa.RecordBatch:
    """One row, if it is no larger than an image and a label may be."""
    if batch.nbytes > MAX_FILE_BYTES:
        check_file_bytes(batch.nbytes, f"{file}, row {row}")
    return batch
