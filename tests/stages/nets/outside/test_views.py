"""views: our images as another net wants them, beside Pillow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stages.nets.outside.views import as_wanted, resized
from stages.settings.outside import Described

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def described(**keys: Any) -> Described:
    return Described("onnx", "a.onnx", ("a", "b"), "logits", **keys)


def pixels(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(size).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", list(FILTERS))
@pytest.mark.parametrize(("size", "wanted"), [(32, 64), (32, 100), (64, 20), (32, 31), (9, 9)])
def test_resizing_is_that_of_pillow_to_one_level(name: str, size: int, wanted: int) -> None:
    """Noise is the hardest case: the bicubic filter overshoots at each edge."""
    image = pixels(1, size)
    peer = Image.fromarray(image[0]).resize((wanted, wanted), FILTERS[name])
    made = resized(torch.from_numpy(image).permute(0, 3, 1, 2).float(), wanted, name)
    distance = np.abs(np.asarray(peer).astype(int) - made[0].permute(1, 2, 0).numpy())
    assert distance.max() <= 1 and (distance > 0).mean() < 0.1


def test_one_pass_would_be_further_from_pillow() -> None:
    """The reason for two passes: if this fails, torch has changed and one pass may do."""
    image = pixels(1, 32)
    peer = np.asarray(Image.fromarray(image[0]).resize((64, 64), FILTERS["bicubic"]))
    tensor = torch.from_numpy(image).permute(0, 3, 1, 2).float()
    made = torch.nn.functional.interpolate(tensor, size=(64, 64), mode="bicubic", antialias=True)
    made = made.round().clamp(0, 255)[0].permute(1, 2, 0)
    assert np.abs(peer.astype(int) - made.numpy()).max() > 5


def test_range_mean_and_deviation() -> None:
    images = pixels(3, 4)
    wanted = described(mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.25, 0.5))
    made = as_wanted(torch.from_numpy(images), wanted)
    peer = (images / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.5]
    assert made.shape == (3, 3, 4, 4) and made.is_contiguous()
    np.testing.assert_allclose(made.permute(0, 2, 3, 1).numpy(), peer, atol=1e-5)

    made = as_wanted(torch.from_numpy(images), described(range=(-1.0, 1.0), layout="NHWC"))
    np.testing.assert_allclose(made.numpy(), images / 127.5 - 1, atol=1e-5)


def test_flat_images_are_rows_columns_channels() -> None:
    images = pixels(2, 4)
    made = as_wanted(torch.from_numpy(images), described(range=(0.0, 255.0), layout="flat"))
    np.testing.assert_array_equal(made.numpy(), images.reshape(2, -1))


def test_other_channels() -> None:
    images = pixels(2, 5)
    levels = {"range": (0.0, 255.0), "layout": "NHWC"}
    made = as_wanted(torch.from_numpy(images), described(channels="bgr", **levels))
    np.testing.assert_array_equal(made.numpy(), images[..., ::-1])

    grey = as_wanted(torch.from_numpy(images), described(channels="grey", **levels))
    peer = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])
    assert grey.shape == (2, 5, 5, 1)
    assert np.abs(grey[..., 0].numpy() - peer).max() <= 1


def test_vectors_stay_as_they_are() -> None:
    vectors = torch.randn(3, 6, 5)
    assert torch.equal(as_wanted(vectors, described()), vectors)


def test_the_callers_images_are_not_written_to() -> None:
    images = torch.from_numpy(pixels(2, 4))
    before = images.clone()
    as_wanted(images, described(channels="bgr", size_px=8))
    assert torch.equal(images, before)
