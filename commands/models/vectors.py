"""Vectors of a NumPy file as a net takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open

MAX_BYTES = 1 << 32
"""Of one array."""


def read_vectors(
    path: Path, shape: Sequence[int], mean: np.ndarray, deviation: np.ndarray
) -> np.ndarray:
    """float32 (n, *shape), standardised: the vectors minus the mean, divided by the deviation.

    Args:
        path: an .npy file of numpy.save with one vector or (n, *shape), or an .npz file of
            numpy.savez with `inputs`.
        shape: of one vector.
        mean, deviation: of the training vectors, float64 of the shape of one vector.

    Raises:
        OSError: no such file.
        ValueError: none of these, of another shape, or with numbers that are not finite.
    """
    array = load_array(path, "inputs")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"its numbers are {array.dtype}, allowed are floats and integers")

    # Shape
    vectors = array[None] if array.shape == tuple(shape) else array
    if vectors.shape[1:] != tuple(shape) or not len(vectors):
        raise ValueError(
            f"an array of shape {array.shape}, the net takes (n, {', '.join(map(str, shape))})"
        )

    # Values
    with np.errstate(over="ignore"):
        small = vectors.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(small).all(axis=tuple(range(1, small.ndim))))
    if len(bad):
        raise ValueError(f"row {bad[0]} holds something else than finite numbers of 32 bits")

    # Float32 only now, as prepare does: before, seconds since 1970 would all be the same.
    with np.errstate(over="ignore"):
        standard = ((vectors - mean) / deviation).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(standard).all(axis=tuple(range(1, standard.ndim))))
    if len(bad):
        raise ValueError(
            f"row {bad[0]} is beyond 32 bits when it is standardised: its values are unlike those of "
            "the training vectors"
        )

    return standard


def load_array(path: Path, name: str) -> np.ndarray:
    """The array of an .npy file, or the one called `name` of an .npz or safetensors file.

    Raises:
        OSError: no such file.
        ValueError: none of these, or without such an array.
    """
    try:
        return _load(path, name)
    except OSError:
        raise
    except Exception as error:  # numpy, zipfile and safetensors raise many kinds on damaged files
        raise ValueError(
            f"no file of numpy.save or numpy.savez ({' '.join(str(error).split())[:200]})"
        ) from error


def _load(path: Path, name: str) -> np.ndarray:
    """The array of an .npy file, or `name` of an .npz or safetensors file."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="np") as file:
            return file.get_tensor(name)

    with path.open("rb") as file:
        head = file.read(6)
    if not head.startswith((b"PK", b"\x93NUMPY")):
        raise ValueError("it begins as neither")
    if head.startswith(b"\x93NUMPY"):
        return np.array(np.load(path, allow_pickle=False, mmap_mode="r"))

    with np.load(path, allow_pickle=False) as archive:
        if name not in archive.files:
            raise ValueError(f"it has no array {name!r}, but {', '.join(archive.files) or 'none'}")
        size = archive.zip.getinfo(f"{name}.npy").file_size
        if size > MAX_BYTES:
            raise ValueError(f"{size:,} bytes, allowed are {MAX_BYTES:,}")
        return archive[name]
