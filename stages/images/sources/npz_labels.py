"""Labels, names of classes and groups of the parts of NumPy's files."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stages.images.sources.classes import FileLabels, numbered
from stages.images.sources.labelled import MOST_CLASSES
from stages.images.sources.npz import MAX_LABEL_BYTES, ArrayPart


def numbered_parts(
    stored: Mapping[str, ArrayPart], counts: Mapping[str, int]
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels of every part as int64 (n,) from 0, and the names of the classes.

    Labels are integers, or names of classes as strings, (n,) or (n, 1), or one-hot (n, classes).
    Where a file has an array `classes`, label i has its i-th name.

    Args:
        stored: part -> where it lies.
        counts: part -> number of rows that its data have.

    Raises:
        ValueError: an array is another; the message names file, array and row.
    """
    files = {part: file_labels(place, counts[part]) for part, place in stored.items()}
    _check_widths(stored, files)
    named = any(_kind(place) in "US" for place in stored.values())

    order = list(files)
    first = [files[part] for part in order if part == "train"]
    others = [files[part] for part in order if part != "train"]
    numbers, classes = numbered(first, others, test_may_lack_names=not named)

    parts = ["train", *(part for part in order if part != "train")]
    return dict(zip(parts, numbers, strict=True)), classes


def file_labels(place: ArrayPart, count: int) -> FileLabels:
    """The labels of one part, `count` of them, with the names that its file gives."""
    labels = _labels(place, count)
    classes = _classes(place)
    name = place.name
    width = _width(place)
    if classes is not None and width not in (None, len(classes)):
        raise ValueError(
            f"{name}: {place.labels} have {width} columns, and classes has {len(classes)} names: write "
            "one for each column"
        )

    if labels.dtype.kind == "U":
        if classes is None:
            classes = tuple(np.unique(labels).tolist())
        return FileLabels(name, _places(place, labels, classes), classes)

    high = np.flatnonzero(labels >= MOST_CLASSES)
    if len(high):
        raise ValueError(
            f"{name}: row {high[0]} has label {labels[high[0]]}, allowed are 0 to {MOST_CLASSES - 1:,}"
        )
    return FileLabels(name, labels.astype(np.int64), classes)


def groups_of(place: ArrayPart, group: str | None, count: int) -> np.ndarray | None:
    """The group of each row, str (n,); None where none is asked for.

    Args:
        place: where the part lies.
        group: the array's name, without the name of the part.
        count: number of rows.

    Raises:
        ValueError: there is no such array, or it holds something else.
    """
    if group is None:
        return None

    arrays, name = place.arrays, place.pattern.format(group)
    if name not in arrays.names:
        raise ValueError(
            f"{place.name} has no array '{name}', but {arrays.shown}: change prepare.group, or set "
            "it to null"
        )

    head = arrays.typed(name, MAX_LABEL_BYTES)
    if head.dtype.kind not in "iuUS" or head.shape not in ((count,), (count, 1)):
        raise ValueError(
            f"{place.name}: {name} is {head.dtype} {head.shape}, allowed are integers or strings "
            f"({count},): change prepare.group"
        )
    return _text(place, name, arrays.read(name).reshape(-1)).astype(str)


def _check_widths(stored: Mapping[str, ArrayPart], files: Mapping[str, FileLabels]) -> None:
    """One-hot parts whose columns have no names have all columns.

    A table of 0 and 1 that is made of one part alone lacks the classes that this part lacks, and
    all that follow would be others.

    Raises:
        ValueError: one has fewer or more columns than another part has columns or classes.
    """
    widths = {part: width for part, place in stored.items() if (width := _width(place))}
    for part, width in widths.items():
        if files[part].classes is not None:
            continue

        for other, known in files.items():
            count = widths.get(other) or (len(known.classes) if known.classes else None)
            fits = count == width
            if count is None:
                count = int(known.labels.max(initial=0)) + 1
                fits = count <= width
            if not fits:
                raise ValueError(
                    f"{stored[part].name}: {stored[part].labels} have {width} columns, and "
                    f"{stored[other].labels} of {known.name} are of {count} classes: write one column "
                    "for each class into every part"
                )


def _width(place: ArrayPart) -> int | None:
    """How many columns one-hot labels have; None for other labels."""
    shape = place.arrays.typed(place.labels, MAX_LABEL_BYTES).shape
    return shape[1] if len(shape) == 2 and shape[1] > 1 else None


def _kind(place: ArrayPart) -> str:
    """The kind of the labels' values."""
    return place.arrays.typed(place.labels, MAX_LABEL_BYTES).dtype.kind


def _labels(place: ArrayPart, count: int) -> np.ndarray:
    """Labels (n,), integers or strings."""
    head = place.arrays.typed(place.labels, MAX_LABEL_BYTES)
    where = f"{place.name}: {place.labels} are {head.dtype} {head.shape}"
    if len(head.shape) == 2 and head.shape[0] == count and head.shape[1] > 1:
        return _of_columns(place, where)
    if head.dtype.kind not in "iuUS" or head.shape not in ((count,), (count, 1)):
        raise ValueError(
            f"{where}, allowed are integers ({count},), or names of classes as strings"
        )

    return _text(place, place.labels, place.arrays.read(place.labels).reshape(-1))


def _of_columns(place: ArrayPart, where: str) -> np.ndarray:
    """Labels (n,) of an array with a column for each class, 1 in one of each row and 0 in others."""
    remedy = "allowed is one class each: save one column, or one-hot labels"
    if place.arrays.typed(place.labels, MAX_LABEL_BYTES).dtype.kind not in "biuf":
        raise ValueError(f"{where}, several for each row, {remedy}")

    values = place.arrays.read(place.labels, MAX_LABEL_BYTES)
    ones = values == 1
    bad = np.flatnonzero((ones.sum(axis=1) != 1) | ~(ones | (values == 0)).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{where}, and {len(bad):,} rows have other than one 1 and zeros, the first is row {bad[0]}; "
            f"{remedy}"
        )
    return ones.argmax(axis=1)


def _classes(place: ArrayPart) -> tuple[str, ...] | None:
    """Names of the classes; None if the file has none."""
    if place.classes is None:
        return None

    head = place.arrays.typed(place.classes, MAX_LABEL_BYTES)
    if head.dtype.kind not in "US" or len(head.shape) != 1:
        raise ValueError(
            f"{place.name}: classes are {head.dtype} {head.shape}, allowed are names (classes,)"
        )
    return tuple(_text(place, place.classes, place.arrays.read(place.classes)).tolist())


def _text(place: ArrayPart, name: str, values: np.ndarray) -> np.ndarray:
    """Strings of bytes as text; what else is given as it is."""
    if values.dtype.kind not in "US":
        return values

    try:
        text = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
        "".join(text.tolist()).encode()
    except ValueError as error:  # a surrogate or a number that is no character
        raise ValueError(
            f"{place.name}: array {name} holds text that is not valid: save it with .astype(str)"
        ) from error
    return text


def _places(place: ArrayPart, labels: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """The place of each label among the names."""
    known, places = np.unique(labels, return_inverse=True)
    number = {name: i for i, name in enumerate(classes)}
    lacking = [name for name in known.tolist() if name not in number]
    if lacking:
        row = np.flatnonzero(labels == lacking[0])[0]
        raise ValueError(
            f"{place.name}: row {row} has label {lacking[0]!r}, which is not among its classes "
            f"({', '.join(classes[:20])}): correct the file"
        )
    if len(number) < len(classes):
        raise ValueError(
            f"{place.name}: classes has a name twice, and labels are names: use numbers"
        )
    return np.array([number[name] for name in known.tolist()], np.int64)[places.reshape(-1)]
