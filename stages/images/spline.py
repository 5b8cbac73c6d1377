"""Crop and rescale as matrices: the row and column operators of the order-3 spline, for `views`.

A crop of S x S rescaled to size x size by a separable spline is linear in the pixels of each
channel, so it is a product R = M[S, y] I M[S, x]^T with one small matrix per (S, offset). The
matrices come from `scipy.ndimage.zoom` on the identity, which defines the operation.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def row_operators(size_px: int = 32, crop_min: int = 24) -> np.ndarray:
    """All crop-and-rescale matrices, float64 (K, size_px, size_px), K = 45 for crops 24..32.

    Matrix `operator_index(S, o)` takes a column of size_px pixels, of which it reads o..o+S-1, to
    the size_px pixels of the rescaled crop (Urban et al. 2017, section 2.5; the paper says spline
    of order 3, the corner-aligned grid and the mode "nearest" are scipy's). S = size_px is the
    identity.

    Raises:
        ValueError: not 1 <= crop_min <= size_px.
    """
    if not 1 <= crop_min <= size_px:
        raise ValueError(f"crop_min is {crop_min}, allowed are 1 to size_px = {size_px}")
    operators = []
    for size in range(crop_min, size_px + 1):
        factors = (size_px / size, 1.0)
        square = size == size_px
        zoomed = np.eye(size) if square else _zoom(np.eye(size), factors)  # (size_px, size)
        for offset in range(size_px - size + 1):
            operator = np.zeros((size_px, size_px))
            operator[:, offset : offset + size] = zoomed
            operators.append(operator)
    return np.stack(operators)


def _zoom(image: np.ndarray, factors: tuple[float, float]) -> np.ndarray:
    return ndimage.zoom(image, factors, order=3, mode="nearest")


def operator_index(
    size: np.ndarray | int, offset: np.ndarray | int, size_px: int = 32, crop_min: int = 24
) -> np.ndarray:
    """Position in `row_operators` of crops `size` at `offset`, int64 of their common shape.

    Sizes ascend, offsets ascend within a size; the arguments must be in range.
    """
    step = np.asarray(size, dtype=np.int64) - crop_min
    smaller = step * (size_px - crop_min + 1) - step * (step - 1) // 2
    return smaller + np.asarray(offset, dtype=np.int64)


def mirrored(operators: np.ndarray) -> np.ndarray:
    """The operators that act on the left-right mirrored image: M J, float64 (K, size, size)."""
    return np.ascontiguousarray(operators[:, :, ::-1])
