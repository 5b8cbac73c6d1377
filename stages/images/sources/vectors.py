"""Vectors from NumPy files: frames of speech, features of anything, with a class each.

For the speech experiment of Ba and Caruana (2014), whose data cannot be had freely, and for any
data of that form.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.images.sources.classes import FileLabels, numbered
from stages.images.sources.decode import MAX_TOTAL_BYTES
from stages.images.sources.labelled import (
    MOST_CLASSES,
    Labelled,
    Source,
    existing_folder,
)

NOT_NPZ = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    TypeError,
    OverflowError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
)
"""What zipfile and numpy raise for a file that is damaged or something else."""


def vectors(path: str | Path, shape: Sequence[int]) -> Source:
    """Training vectors, test vectors and class names from `train.npz` and `test.npz` in a folder.

    Each file holds `inputs`, floats or integers (n, *shape), and `labels`, integers (n,); train.npz
    may hold `classes`, the names of the classes, label i has the i-th, and test.npz too. They are
    written with `numpy.savez` or `savez_compressed`. Labels are matched by name if both files have
    names; without names the classes are the values of the labels of train.npz.

    Args:
        path: the folder; a relative one starts at the environment's MIMICNETS_DATA, if set.
        shape: of one vector: (features,), (frames, features) or (frames, features, channels).

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: a file is not of this kind; it is named, with the first row that is wrong.
    """
    root = existing_folder(path, "train.npz and test.npz")
    train = _read(root / "train.npz", shape)
    test = _read(root / "test.npz", shape)
    files = [
        FileLabels(str(path), arrays["labels"].astype(np.int64), _names(path, arrays))
        for path, arrays in ((root / "train.npz", train), (root / "test.npz", test))
    ]
    (of_train, of_test), names = numbered(files[:1], files[1:], test_may_lack_names=True)
    return Labelled(train["inputs"], of_train), Labelled(test["inputs"], of_test), names


def statistics(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature.

    Args:
        vectors: float32 (n, ...), the training vectors: others must not be looked at.

    Returns:
        Both float64 of the shape of one vector; the deviation is 1 where a feature is constant.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)

    deviation = np.zeros_like(mean)
    for start in range(0, len(vectors), 4096):
        deviation += np.square(vectors[start : start + 4096] - mean).sum(axis=0)

    deviation = np.sqrt(deviation / len(vectors))

    varies = deviation > 1e-6 * np.maximum(np.abs(mean), 1e-6)
    return mean, np.where(varies, deviation, 1.0)


def standardised(data: Labelled, mean: np.ndarray, deviation: np.ndarray) -> Labelled:
    """The vectors minus the mean, divided by the deviation, float32."""
    vectors = np.empty_like(data.images)
    for start in range(0, len(vectors), 4096):
        vectors[start : start + 4096] = (data.images[start : start + 4096] - mean) / deviation
    return Labelled(vectors, data.labels)


def _read(path: Path, shape: Sequence[int]) -> dict[str, np.ndarray]:
    """`inputs` float32, `labels` and perhaps `classes` of one file."""
    if not path.is_file():
        raise FileNotFoundError(
            f"no file {path}: write it with numpy.savez, or change prepare.path"
        )

    try:
        with zipfile.ZipFile(path) as listed:
            size = sum(member.file_size for member in listed.infolist())
        if size > MAX_TOTAL_BYTES:
            raise ValueError(f"{size:,} bytes, allowed are {MAX_TOTAL_BYTES:,}")
        with np.load(path, allow_pickle=False) as file:
            arrays = {
                name: file[name] for name in ("inputs", "labels", "classes") if name in file.files
            }
    except NOT_NPZ as error:
        raise ValueError(
            f"{path} is not a file of numpy.savez ({' '.join(str(error).split())[:200]}): "
            "write it again, or change prepare.path"
        ) from error

    for name in ("inputs", "labels"):
        if name not in arrays:
            raise ValueError(
                f"{path} has no array '{name}': it needs inputs (n, ...) and labels (n,)"
            )

    return {
        **arrays,
        "inputs": _inputs(path, arrays["inputs"], shape),
        "labels": _labels(path, arrays),
    }


def _inputs(path: Path, values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """`inputs` as float32 (n, *shape), all of them finite."""
    if values.dtype.kind not in "fiu":
        raise ValueError(f"{path}: inputs are {values.dtype}, allowed are floats and integers")
    if values.shape[1:] != tuple(shape) or not len(values):
        raise ValueError(
            f"{path}: inputs have the shape {values.shape}, "
            f"prepare.shape wants (n, {', '.join(map(str, shape))}): change one of them"
        )

    with np.errstate(over="ignore"):
        inputs = values.astype(np.float32)

    bad = np.flatnonzero(~np.isfinite(inputs).all(axis=tuple(range(1, inputs.ndim))))
    if len(bad):
        raise ValueError(
            f"{path}: inputs of row {bad[0]} are not all finite numbers of 32 bits: correct the file"
        )

    return inputs


def _labels(path: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """`labels` if they are integers, one for each input, below MOST_CLASSES."""
    labels = arrays["labels"]
    count = len(arrays["inputs"])
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise ValueError(
            f"{path}: labels are {labels.dtype} {labels.shape}, allowed are integers ({count},)"
        )

    high = np.flatnonzero(labels >= MOST_CLASSES)
    if len(high):
        raise ValueError(
            f"{path}: row {high[0]} has label {labels[high[0]]}, "
            f"allowed are 0 to {MOST_CLASSES - 1:,}"
        )

    return labels


def _names(path: Path, arrays: dict[str, np.ndarray]) -> tuple[str, ...] | None:
    """Names of the classes; None if the file has none."""
    if "classes" not in arrays:
        return None

    names = arrays["classes"]
    if names.dtype.kind != "U" or names.ndim != 1:
        raise ValueError(
            f"{path}: classes are {names.dtype} {names.shape}, allowed are names (classes,)"
        )

    return tuple(names.tolist())
