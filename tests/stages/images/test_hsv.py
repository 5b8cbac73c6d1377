"""HSV against colorsys and scikit-image, and the ranges of the jitter."""

from __future__ import annotations

import colorsys
from itertools import product

import numpy as np
import pytest
import torch
from skimage import color

from stages.images.hsv import Jitter, hsv_to_rgb, rgb_to_hsv
from tests.helpers.jitters import OFF, PAPER


def test_hsv_equals_colorsys() -> None:
    levels = (0.0, 1 / 255, 0.25, 0.5, 200 / 255, 1.0)
    rgb = np.array(list(product(levels, repeat=3)))
    wanted = np.array([colorsys.rgb_to_hsv(*p) for p in rgb])
    found = rgb_to_hsv(torch.from_numpy(rgb)).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-15)
    back = np.array([colorsys.hsv_to_rgb(*p) for p in wanted])
    np.testing.assert_allclose(hsv_to_rgb(torch.from_numpy(wanted)).numpy(), back, atol=1e-15)


def test_hsv_equals_skimage_and_inverts() -> None:
    rgb = np.random.default_rng(0).random((40, 50, 3))
    hsv = rgb_to_hsv(torch.from_numpy(rgb))
    assert hsv.dtype == torch.float64
    np.testing.assert_allclose(hsv.numpy(), color.rgb2hsv(rgb), atol=1e-14)
    np.testing.assert_allclose(hsv_to_rgb(hsv).numpy(), rgb, atol=1e-15)
    other = np.random.default_rng(1).random((40, 50, 3))
    np.testing.assert_allclose(
        hsv_to_rgb(torch.from_numpy(other)).numpy(), color.hsv2rgb(other), atol=1e-14
    )


def test_every_corner_of_the_uint8_cube_survives_the_round_trip() -> None:
    grid = torch.cartesian_prod(*[torch.arange(0, 256, 5)] * 3).to(torch.float64)
    back = hsv_to_rgb(rgb_to_hsv(grid / 255)) * 255
    assert torch.equal(back.round(), grid)


def test_jitter_factors_span_their_ranges() -> None:
    ends = np.array([[0] * 9, [65535] * 9], dtype=np.uint16)
    low, high = PAPER.factors(ends)
    np.testing.assert_allclose(high, [0.06, 0.26, 0.20, 1.21, 1.13], rtol=1e-4)
    np.testing.assert_allclose(low, [-0.06, -0.26, -0.20, 1 / 1.21, 1 / 1.13], rtol=1e-4)
    every = np.tile(np.arange(65536, dtype=np.uint16)[:, None], (1, 9))
    np.testing.assert_allclose(PAPER.factors(every)[:, :3].mean(0), 0, atol=1e-12)
    np.testing.assert_array_equal(OFF.factors(ends), [[0, 0, 0, 1, 1]] * 2)


@pytest.mark.parametrize(
    "constants", [(0.6, 0, 0, 0, 0), (0, -0.1, 0, 0, 0), (0, 0, 0, 0, float("nan"))]
)
def test_jitter_refuses(constants: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="jitter constant"):
        Jitter(*constants)
