"""Crop and rescale as matrices: the operators of the order-3 spline.

A crop of S x S rescaled to size x size by a separable spline is linear in the pixels of each
channel, so it is a product Z I Z^T of the crop I with one small matrix per S. The matrices come
from `scipy.ndimage.zoom` on the identity, which defines the operation.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def zoom_operators(size_px: int = 32, crop_min: int = 24) -> dict[int, np.ndarray]:
    """The rescaling matrix of each crop size, float64 (size_px, S) for S from crop_min to size_px.

    Matrix S takes the S pixels of a column of the crop to the size_px pixels of the rescaled one
    (Urban et al. 2017, section 2.5; the paper says spline of order 3, the corner-aligned grid and
    the mode "nearest" are scipy's). S = size_px is the identity.

    Raises:
        ValueError: not 1 <= crop_min <= size_px.
    """
    if not 1 <= crop_min <= size_px:
        raise ValueError(f"crop_min is {crop_min}, allowed are 1 to size_px = {size_px}")

    operators = {size: _zoom(np.eye(size), size_px / size) for size in range(crop_min, size_px)}
    return {**operators, size_px: np.eye(size_px)}


def _zoom(columns: np.ndarray, factor: float) -> np.ndarray:
    return ndimage.zoom(columns, (factor, 1.0), order=3, mode="nearest")
