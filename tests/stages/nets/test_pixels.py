"""Standardised pixels against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stages.nets.pixels import Scaled, Standardise
from stages.settings.inputs import Inputs
from tests.helpers.nets import images


def reference(batch: np.ndarray, scale: float) -> np.ndarray:
    flat = batch.reshape(len(batch), -1).astype(np.float64)
    flat = (flat - flat.mean(1, keepdims=True)) / (flat.std(1, keepdims=True) + 1e-8) * scale
    return flat.reshape(batch.shape).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.25])
@pytest.mark.parametrize("kind", ["uint8", "unit", "offset", "dim"])
def test_standardise_equals_numpy(scale: float, kind: str) -> None:
    rng = np.random.default_rng(3)
    batch = rng.integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    if kind == "unit":
        batch = (batch / 255).astype(np.float32)
    elif kind == "offset":
        batch = (batch // 64 + 190).astype(np.uint8)  # a bright image of little contrast
    elif kind == "dim":
        batch = (batch > 254).astype(np.uint8)  # a few lit values
    out = Standardise(scale)(torch.from_numpy(batch))
    assert out.dtype == torch.float32 and out.shape == (5, 3, 32, 32)
    assert out.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(out.numpy(), reference(batch, scale), rtol=1e-6, atol=1e-5)


def test_standardised_images_have_mean_zero_and_deviation_one() -> None:
    flat = Standardise()(images(4, 24, seed=9)).double().flatten(1)
    assert flat.mean(1).abs().max() < 1e-6
    assert (flat.std(1, correction=0) - 1).abs().max() < 1e-6


@pytest.mark.parametrize("value", [0, 7, 255, 0.1, 1 / 3])
def test_image_of_one_grey_gives_zeros(value: float) -> None:
    dtype = torch.uint8 if isinstance(value, int) else torch.float32
    out = Standardise()(torch.full((2, 32, 32, 3), value, dtype=dtype))
    assert torch.count_nonzero(out) == 0 and not torch.isnan(out).any()


def test_standardise_refuses_other_layouts() -> None:
    with pytest.raises(ValueError, match=r"\(n, size, size, 3\)"):
        Standardise()(torch.zeros(2, 3, 32, 32))
    with pytest.raises(ValueError, match="input_scale"):
        Standardise(0.0)
    assert not Standardise().state_dict()


def test_scaled_refuses_images() -> None:
    with pytest.raises(ValueError, match="takes vectors, got images of 32 px"):
        Scaled(Inputs.images(32))
