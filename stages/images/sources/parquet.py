"""Parquet files with pictures and labels: of the Hugging Face hub, pandas, polars or DuckDB."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.images.pictures import MAX_FILE_BYTES, PictureRule, check_file_bytes
from stages.images.sources.classes import SHOWN, FileLabels, numbered
from stages.images.sources.columns import USUAL, Columns
from stages.images.sources.files import NAMED
from stages.images.sources.labelled import Labelled, Source, existing_folder
from stages.images.sources.many import read_pictures
from stages.images.sources.parquet_files import all_files, part_files
from stages.images.sources.parts import WANTED

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

IMAGE_COLUMNS = ("img", "image", "png", "jpg", "jpeg", "webp", "picture", "pixels")
"""Columns that are taken for pictures, where prepare.image_column is null."""
LABEL_COLUMNS = ("label", "labels", "fine_label", "cls", "class", "target", "category")
"""Columns that are taken for labels, where prepare.label_column is null."""
CIFAR_RULE = PictureRule(32)
_MAX_ROWS = 2_000_000  # of one file; a few bytes can claim any number
_MAX_NAME = 1_000  # characters of one label or group


def parquet(
    path: str | Path,
    rule: PictureRule = CIFAR_RULE,
    columns: Columns = USUAL,
) -> Source:
    """Pictures of all .parquet files below `path`, in the order of their names.

    A file belongs to the part that a word of its name says, or of its folder's: train, val (valid,
    validation, dev) or test. Where no name says a part, all are the training part. Pictures are
    bytes, or a struct with bytes. Labels are integers, strings, categories or true and false. Names
    of integers come from the files' own "huggingface" metadata, and labels are matched by them, see
    `classes.numbered`; without names the classes are the values that the training labels have.

    Args:
        path: the folder; a relative one starts at the environment's MIMICNETS_DATA, if set.
        rule: size and fit of the pictures.
        columns: of the files; usual ones are IMAGE_COLUMNS and LABEL_COLUMNS.

    Raises:
        FileNotFoundError: the folder, a training file or a numbered file is missing.
        ValueError: a file, a column, a row or a picture is not usable; the message names the file.
    """
    root = existing_folder(path, f"*.parquet, named by {WANTED}")
    files = part_files(root)
    tables = {part: [read_table(file, columns) for file in files[part]] for part in files}
    for part, made in tables.items():
        if not sum(table.rows for table in made):
            raise ValueError(
                f"{files[part][0]}: no rows, wanted at least one picture: download it again"
            )
        tables[part] = [table for table in made if table.rows]  # shards may be empty

    # Labels.
    labels = _labels(tables["train"], [each for part in tables for each in tables[part]])
    count = len(tables["train"])
    numbers, classes = numbered(labels[:count], labels[count:])

    # Pictures.
    parts = {}
    sizes: Counter[str] = Counter()
    for part, made in tables.items():
        of_part, numbers = numbers[: len(made)], numbers[len(made) :]
        rows = sum(table.rows for table in made)
        images, found = read_pictures(
            rows, chain.from_iterable(file_items(each.file, each.image) for each in made), rule
        )
        groups = None if columns.group is None else np.concatenate([each.groups for each in made])
        parts[part] = Labelled(images, np.concatenate(of_part), groups)
        sizes += found

    passed = sorted(set(all_files(root)) - {file for made in files.values() for file in made})
    shown = ", ".join(str(file.relative_to(root)) for file in passed[:SHOWN])
    notes = (f"passed over, since no part is named: {shown}",) if passed else ()
    return Source(
        parts["train"],
        parts.get("test"),
        classes,
        parts.get("validation"),
        dict(sizes.most_common()),
        notes,
    )


class LabelledTable:
    """What is read of one file before its pictures.

    Attributes:
        file, image, label: the file, and names of its columns.
        labels: integers or strings (rows,).
        names: of the classes that integers stand for; None if the file has none.
        groups: str (rows,), or an empty array without a group.
    """

    def __init__(self, file: Path, image: str, label: str, names: tuple[str, ...] | None) -> None:
        self.file = file
        self.image = image
        self.label = label
        self.names = names
        self.labels = np.empty(0, np.int64)
        self.groups = np.empty(0, np.str_)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.labels)


def read_table(
    file: Path,
    columns: Columns = USUAL,
) -> LabelledTable:
    """Labels and groups of one file; columns as in `parquet`.

    Raises:
        ValueError: the file or a column is not usable.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            _check_rows(opened, file)
            schema = opened.schema_arrow
            if not opened.metadata.num_rows:
                return LabelledTable(file, "", "", None)  # its columns may have any type
            image = _image_column(file, schema, columns.image)
            label = _chosen(file, schema, "label_column", columns.label, LABEL_COLUMNS)
            made = LabelledTable(file, image, label, _names(schema, label))
            made.labels = _values(file, label, _column(opened, file, label))
            if columns.group is not None:
                group = _chosen(file, schema, "group", columns.group, ())
                made.groups = _groups(file, group, _column(opened, file, group).to_pylist())
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{file}: not a readable parquet file: download it again") from error

    return made


def _groups(file: Path, name: str, values: Sequence[object]) -> np.ndarray:
    """Groups as text; a row without one is refused, since such rows are not one group."""
    missing = [
        row for row, value in enumerate(values) if value is None or value != value or value == ""
    ]
    if missing:
        more = f" and {len(missing) - NAMED:,} more" if len(missing) > NAMED else ""
        raise ValueError(
            f"{file}: {len(missing):,} of {len(values):,} rows have no {name}: "
            f"{', '.join(map(str, missing[:NAMED]))}{more}: fill them, or change prepare.group"
        )
    return np.array([str(value) for value in values])


def _column(opened: pq.ParquetFile, file: Path, name: str) -> pa.ChunkedArray:
    """One column; text that is longer than names are is refused."""
    import pyarrow as pa

    kind = opened.schema_arrow.field(name).type
    if pa.types.is_primitive(kind):
        return opened.read(columns=[name]).column(name)

    # A few bytes can stand for many large values: one is in memory at a time.
    values = []
    for row, batch in enumerate(opened.iter_batches(batch_size=1, columns=[name])):
        value = batch.column(0)[0].as_py()
        if isinstance(value, str | bytes) and len(value) > _MAX_NAME:
            raise ValueError(
                f"{file}, row {row}: {name} is a text of {len(value):,} characters, allowed are "
                f"{_MAX_NAME:,}: correct it, or choose another column"
            )
        values.append(value)

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.chunked_array([pa.array(values, kind)])


def _image_column(file: Path, schema: pa.Schema, wanted: str | None) -> str:
    """The column of pictures."""
    import pyarrow as pa

    name = _chosen(file, schema, "image_column", wanted, IMAGE_COLUMNS)
    kind = schema.field(name).type
    plain = (
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )
    if not plain and (not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0):
        raise ValueError(
            f"{file}: column {name} is {kind}, wanted bytes, or a struct with bytes: change "
            "prepare.image_column"
        )
    return name


def _chosen(
    file: Path, schema: pa.Schema, key: str, wanted: str | None, usual: Sequence[str]
) -> str:
    """The column of this name, or the first of the usual ones."""
    found = [name for name in ((wanted,) if wanted is not None else usual) if name in schema.names]
    if not found:
        what = wanted if wanted is not None else " or ".join(usual)
        raise ValueError(
            f"{file}: columns {', '.join(schema.names)}, wanted {what}: set prepare.{key}"
        )
    if schema.names.count(found[0]) > 1:
        raise ValueError(
            f"{file}: {schema.names.count(found[0])} columns are called {found[0]}, allowed is one: "
            f"rename the others, or change prepare.{key}"
        )
    return found[0]


def _names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """Names of the classes, from the file's metadata; None if it has none."""
    metadata = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        names = json.loads(metadata)["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None

    return tuple(str(name) for name in names) if isinstance(names, list) else None


def _values(file: Path, name: str, column: pa.ChunkedArray) -> np.ndarray:
    """Labels as integers, or as strings; true and false are strings."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count:
        row = pc.index(column.is_null(), True).as_py()
        raise ValueError(f"{file}: row {row} has no label: correct the file or leave the row out")

    kind = column.type
    text = (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
    if text or pa.types.is_boolean(kind):
        shown = column if text else column.cast(pa.string())
        return np.array(shown.to_pylist(), dtype=np.str_)
    if pa.types.is_integer(kind):
        return _whole_numbers(file, column)

    raise ValueError(
        f"{file}: column {name} is {kind}, wanted integers, strings, categories or true and false: "
        "change prepare.label_column"
    )


def _whole_numbers(file: Path, column: pa.ChunkedArray) -> np.ndarray:
    """Integers of any type as int64; files of different types may lie together."""
    numbers = column.to_numpy()
    beyond = np.flatnonzero(numbers > np.iinfo(np.int64).max)
    if len(beyond):
        raise ValueError(
            f"{file}: row {beyond[0]} has label {numbers[beyond[0]]}, allowed are at most "
            f"{np.iinfo(np.int64).max}: correct the file"
        )
    return numbers.astype(np.int64)


def _labels(training: Sequence[LabelledTable], every: Sequence[LabelledTable]) -> list[FileLabels]:
    """The labels of all files, with names; of strings the names are those of the training labels."""
    texts = [table.labels.dtype.kind == "U" for table in every if table.rows]
    if not any(texts):
        return [FileLabels(str(each.file), each.labels, each.names) for each in every]

    if not all(texts):
        strings = next(table for table in every if table.labels.dtype.kind == "U")
        numbers = next(table for table in every if table.rows and table.labels.dtype.kind != "U")
        raise ValueError(
            f"{strings.file} has names for labels, {numbers.file} has integers: write the same kind"
        )

    known = np.unique(np.concatenate([table.labels for table in training if table.rows]))
    return [_by_text(table, known) for table in every]


def own_labels(table: LabelledTable) -> FileLabels:
    """The labels of one file, with its own names where labels are strings."""
    if table.labels.dtype.kind != "U":
        return FileLabels(str(table.file), table.labels, table.names)

    names, places = np.unique(table.labels, return_inverse=True)
    return FileLabels(str(table.file), places.astype(np.int64), tuple(names.tolist()))


def _by_text(table: LabelledTable, known: np.ndarray) -> FileLabels:
    """Labels as places in the names that are known."""
    if not table.rows:
        return FileLabels(str(table.file), np.empty(0, np.int64), tuple(known.tolist()))

    places = np.searchsorted(known, table.labels)
    places = np.minimum(places, len(known) - 1)
    strange = np.flatnonzero(known[places] != table.labels)
    if len(strange):
        shown = ", ".join(known[:SHOWN])
        raise ValueError(
            f"{table.file}: row {strange[0]} has the label {table.labels[strange[0]]!r}, which no "
            f"training picture has ({shown}): correct the file"
        )
    return FileLabels(str(table.file), places.astype(np.int64), tuple(known.tolist()))


def picture_column(file: Path, image_column: str | None) -> tuple[str, int]:
    """The column of pictures of a file, and its number of rows.

    Raises:
        ValueError: the file or the column is not usable, or there are too many rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            _check_rows(opened, file)
            rows = opened.metadata.num_rows
            return _image_column(file, opened.schema_arrow, image_column) if rows else "", rows
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{file}: not a readable parquet file: download it again") from error


def file_items(file: Path, image: str) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Pictures of all rows of a file, read as they are asked for; see `read_pictures`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        if not opened.metadata.num_rows:
            return

        plain = not pa.types.is_struct(opened.schema_arrow.field(image).type)
        column = image if plain else f"{image}.bytes"

        try:
            # One row at a time: a few bytes can stand for many large values.
            for row, batch in enumerate(opened.iter_batches(batch_size=1, columns=[column])):
                name = f"{file}, row {row}"
                yield name, _Held(batch, name, plain)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{file}: damaged parquet file: download it again") from error


def _check_rows(opened: pq.ParquetFile, file: Path) -> None:
    """A file does not have too many rows."""
    rows = opened.metadata.num_rows
    if rows > _MAX_ROWS:
        raise ValueError(f"{file}: {rows:,} rows, allowed are {_MAX_ROWS:,} a file: divide it")


class _Held:
    """What gives the bytes of the one row of a batch, which it holds if they are not too many.

    Attributes:
        nbytes: that it holds, see `read_pictures`.
    """

    def __init__(self, batch: pa.RecordBatch, name: str, plain: bool) -> None:
        self.size = batch.nbytes
        self.batch = batch if self.size <= MAX_FILE_BYTES else None
        self.nbytes = 0 if self.batch is None else self.size
        self.name = name
        self.plain = plain

    def __call__(self) -> bytes:
        """The bytes.

        Raises:
            ValueError: they are too many, or there are none.
        """
        check_file_bytes(self.size, self.name)
        assert self.batch is not None
        value = self.batch.column(0)[0].as_py()
        data = value if self.plain or value is None else value["bytes"]
        if data is None:
            raise ValueError(f"{self.name}: the picture has no bytes: write them into the file")
        return data
