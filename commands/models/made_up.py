"""Inputs that no data set may have and every exported file must answer: one colour, hardly any contrast."""

from __future__ import annotations

import numpy as np

from stages.settings.inputs import Inputs


def made_up(inputs: Inputs) -> dict[str, np.ndarray]:
    """What it is -> one image uint8 (s, s, 3), or one vector float32 of the shape."""
    return images(inputs.map[0]) if inputs.is_images else vectors(inputs)


def images(size_px: int) -> dict[str, np.ndarray]:
    """Images of one colour, with one pixel that differs, and of the least and most contrast."""

    def filled(*colour: int) -> np.ndarray:
        return np.full((size_px, size_px, 3), colour, np.uint8)

    made = {
        "one colour, 0": filled(0),
        "one colour, 127": filled(127),
        "one colour, 255": filled(255),
        "one colour, red": filled(255, 0, 0),
        "one white pixel on black": filled(0),
        "one black pixel on white": filled(255),
        "one value that differs by 1": filled(127),
    }
    made["one white pixel on black"][0, 0] = 255
    made["one black pixel on white"][-1, -1] = 0
    made["one value that differs by 1"][size_px // 2, size_px // 2, 1] = 128

    steps = np.indices((size_px, size_px)).sum(axis=0)[..., None] % 2
    made["two levels that differ by 1"] = (filled(254) + steps).astype(np.uint8)
    made["black and white by turns"] = (filled(255) * steps).astype(np.uint8)
    return made


def vectors(inputs: Inputs) -> dict[str, np.ndarray]:
    """Standardised vectors that are constant, with one feature that differs, and of little contrast."""
    shape = inputs.shape
    assert shape is not None  # they are vectors

    made = {
        f"all features {value:g}": np.full(shape, value, np.float32) for value in (0, 1, -1, 30)
    }

    one = np.zeros(shape, np.float32)
    one.flat[0] = 30
    made["one feature 30, the others 0"] = one

    places = np.arange(one.size, dtype=np.float32).reshape(shape)
    made["features that differ by 1e-6"] = 1 + np.float32(1e-6) * (places % 2)
    return made
