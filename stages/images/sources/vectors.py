"""Vectors from NumPy files: frames of speech, features of anything, with a class each.

For the speech experiment of Ba and Caruana (2014), whose data cannot be had freely, and for any
data of that form.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.images.sources.images_npz import notes_on
from stages.images.sources.labelled import Labelled, Source
from stages.images.sources.npz import ArrayPart, stored_parts
from stages.images.sources.npz_labels import groups_of, numbered_parts
from stages.images.sources.pixels import pieces

_NAMES = ("inputs", "x")
_EXACT = 2**24  # integers up to this are kept by float32
_CONSTANT = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-12}
"""A feature whose deviation is less than this share of its mean is a constant with rounding."""


def vectors(path: str | Path, shape: Sequence[int], group: str | None = None) -> Source:
    """Vectors and labels of `train.npz`, and of `val.npz` and `test.npz` where these are.

    Each file holds `inputs`, floats or integers (n, *shape), and `labels`, integers or names as
    strings, (n,) or (n, 1); it may hold `classes`, the names of the classes, label i has the i-th.
    They are written with `numpy.savez` or `savez_compressed`. Labels are matched by name where
    there are names; without names the classes are the values of the labels of train.npz. One file
    with all parts is read too, see `npz.stored_parts`.

    Args:
        path: the folder or file; a relative one starts at the environment's MIMICNETS_DATA, if set.
        shape: of one vector: (features,), (frames, features) or (frames, features, channels).
        group: name of the array that says what must not be divided between parts, as a speaker.

    Returns:
        Vectors float32, or in all parts float64 where float32 would not keep what a file has.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: a file is not of this kind; it is named, with the first row that is wrong.
    """
    stored = stored_parts(path, _NAMES)
    counts = {part: _count(place, shape) for part, place in stored.items()}
    labels, classes = numbered_parts(stored, counts)

    inputs = {part: _inputs(place) for part, place in stored.items()}
    kind = np.result_type(*(values.dtype for values in inputs.values()))
    parts = {
        part: Labelled(
            values.astype(kind, copy=False),
            labels[part],
            groups_of(stored[part], group, counts[part]),
        )
        for part, values in inputs.items()
    }
    notes = notes_on(stored["train"], group)
    return Source(parts["train"], parts.get("test"), classes, parts.get("validation"), notes=notes)


def statistics(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature.

    Args:
        vectors: float32 or float64 (n, ...), the training vectors: others must not be looked at.

    Returns:
        Both float64 of the shape of one vector; the deviation is 1 where a feature is constant.
    """
    mean = vectors.mean(axis=0, dtype=np.float64) if vectors.dtype == np.float32 else _mean(vectors)

    deviation = np.zeros_like(mean)
    for start in range(0, len(vectors), 4096):
        deviation += np.square(vectors[start : start + 4096] - mean).sum(axis=0)

    deviation = np.sqrt(deviation / len(vectors))

    varies = deviation > _CONSTANT[vectors.dtype] * np.maximum(np.abs(mean), 1e-6)
    return mean, np.where(varies, deviation, 1.0)


def _mean(vectors: np.ndarray) -> np.ndarray:
    """Mean of float64 vectors by their distance to the first: of a constant it is exact."""
    first = vectors[0]
    total = np.zeros_like(first)
    for start in range(0, len(vectors), 4096):
        total += (vectors[start : start + 4096] - first).sum(axis=0)
    return first + total / len(vectors)


def standardised(data: Labelled, mean: np.ndarray, deviation: np.ndarray) -> Labelled:
    """The vectors minus the mean, divided by the deviation, float32."""
    vectors = np.empty(data.images.shape, np.float32)
    for start in range(0, len(vectors), 4096):
        vectors[start : start + 4096] = (data.images[start : start + 4096] - mean) / deviation
    return Labelled(vectors, data.labels, data.groups)


def _count(place: ArrayPart, shape: Sequence[int]) -> int:
    """How many vectors a part has, if they have the shape that is asked for."""
    head = place.arrays.typed(place.data)
    if head.dtype.kind not in "fiu":
        raise ValueError(
            f"{place.name}: {place.data} are {head.dtype}, allowed are floats and integers"
        )
    if head.shape[1:] != tuple(shape) or not head.shape[0]:
        raise ValueError(
            f"{place.name}: {place.data} have the shape {head.shape}, "
            f"prepare.shape wants (n, {', '.join(map(str, shape))}): change one of them"
        )
    return head.shape[0]


def _inputs(place: ArrayPart) -> np.ndarray:
    """The vectors, all of them finite: float32, or float64 where float32 would lose something."""
    values = place.arrays.read(place.data)
    lossless = values.dtype.kind == "f" and values.dtype.itemsize <= 4
    exact = True
    for piece in pieces(values):
        with np.errstate(over="ignore"):
            small = values[piece].astype(np.float32)

        bad = np.flatnonzero(~np.isfinite(small).all(axis=tuple(range(1, small.ndim))))
        if len(bad):
            raise ValueError(
                f"{place.name}: {place.data} of row {piece.start + bad[0]} are not all finite "
                "numbers of 32 bits: correct the file"
            )
        exact = exact and (lossless or _kept(values[piece], small))

    return values.astype(np.float32 if exact else np.float64, copy=False)


def _kept(values: np.ndarray, small: np.ndarray) -> bool:
    """Whether float32 holds what float64 or integers hold."""
    if values.dtype.kind in "iu":
        return bool(values.min() >= -_EXACT and values.max() <= _EXACT)
    return bool(np.array_equal(small.astype(values.dtype), values))
