"""Integer draws of the augmentation, and orders of presentation.

Every array is a pure function of (seed, stream, epoch): any epoch can be made alone, in any order
and in any process. Only raw 64-bit outputs of Philox are read, which numpy keeps stable between
releases; its higher-level distributions carry no such promise.
"""

from __future__ import annotations

import zlib

import numpy as np

COLUMNS = (
    "hue",
    "saturation",
    "value",
    "saturation_scale",
    "value_scale",
    "mirror",
    "size",
    "x",
    "y",
)
"""Columns of an array of draws: five of the jitter, then the mirror and the crop."""
JITTER = slice(COLUMNS.index("hue"), COLUMNS.index("mirror"))
MIRROR = COLUMNS.index("mirror")
SIZE = COLUMNS.index("size")
X = COLUMNS.index("x")
Y = COLUMNS.index("y")

# last word of the seed: what the numbers are for
_VIEWS = 0
_ORDER = 1


def _raw(seed: int, epoch: int, stream: str, purpose: int, count: int) -> np.ndarray:
    """`count` raw uint64 numbers of the generator of (seed, stream, epoch, purpose)."""
    for name, word in (("seed", seed), ("epoch", epoch)):
        # SeedSequence splits longer integers in 32-bit words, so that two tuples could meet
        if not 0 <= word < 2**32:
            raise ValueError(f"{name} is {word}, allowed are integers from 0 to 2**32 - 1")

    words = (int(seed), zlib.crc32(stream.encode()), int(epoch), purpose)
    return np.random.Philox(np.random.SeedSequence(words)).random_raw(count)


def _below(bits: np.ndarray, bound: np.ndarray | int) -> np.ndarray:
    """Uniform integers in [0, bound) from 32-bit numbers, bound <= 65536 (bias below 2**-16)."""
    return (bits * np.asarray(bound, dtype=np.uint64)) >> np.uint64(32)


def draw(
    seed: int,
    epoch: int,
    stream: str,
    n: int,
    *,
    size_px: int | None = 32,
    crop_min: int | None = 24,
    mirror: bool = True,
) -> np.ndarray:
    """One row of `COLUMNS` per presented image of an epoch.

    Urban et al. 2017, section 2.5: colour jitter, mirror with probability 1/2, square crop of a
    uniform size at a uniform place, all drawn afresh for each image and epoch. The first rows do
    not depend on `n`.

    Args:
        seed, epoch: integers from 0 to 2**32 - 1.
        stream: what the draws are for, e.g. "transfer".
        n: number of images.
        size_px: side of the images in pixels, at most 65535; None for vectors, whose draws are 0.
        crop_min: smallest side of a crop in pixels, from 1 to `size_px`; None for vectors.
        mirror: False sets the mirror column to 0 and leaves the others as they are.

    Returns:
        uint16 (n, 9). The five jitter columns are uniform on 0..65535, mirror is 0 or 1, size is
        uniform on crop_min..size_px, x (left edge) and y (top edge) are uniform on
        0..size_px - size, ends included.

    Raises:
        ValueError: seed, epoch, size_px or crop_min is out of range.
    """
    if size_px is None and crop_min is None and not mirror:
        return np.zeros((n, len(COLUMNS)), dtype=np.uint16)

    if size_px is None or crop_min is None or not 1 <= crop_min <= size_px <= 65535:
        raise ValueError(
            f"crop_min is {crop_min} and size_px {size_px}, allowed is "
            "1 <= crop_min <= size_px <= 65535: change crop_min"
        )

    bits = _raw(seed, epoch, stream, _VIEWS, n * len(COLUMNS)) >> np.uint64(32)
    bits = bits.reshape(n, len(COLUMNS))
    rows = np.empty((n, len(COLUMNS)), dtype=np.uint16)

    # Jitter and mirror
    rows[:, JITTER] = _below(bits[:, JITTER], 65536)
    rows[:, MIRROR] = _below(bits[:, MIRROR], 2) if mirror else 0

    # Crop
    size = crop_min + _below(bits[:, SIZE], size_px - crop_min + 1).astype(np.int64)
    rows[:, SIZE] = size
    rows[:, X] = _below(bits[:, X], size_px - size + 1)
    rows[:, Y] = _below(bits[:, Y], size_px - size + 1)
    return rows


def order(seed: int, epoch: int, stream: str, n: int) -> np.ndarray:
    """Order in which the n images of an epoch are presented: a permutation, int32 (n,).

    Raises:
        ValueError: seed or epoch is not an integer from 0 to 2**32 - 1.
    """
    return np.argsort(_raw(seed, epoch, stream, _ORDER, n), kind="stable").astype(np.int32)
