"""views: each range of the settings is the constant of the jitter that it means."""

from __future__ import annotations

import numpy as np
import torch

from stages.images.draws import order
from stages.images.hsv import Jitter
from stages.images.views import Views
from stages.settings.common import HSV
from stages.transfer.views import transfer_views

CPU = torch.device("cpu")


def test_each_range_goes_to_its_own_constant() -> None:
    images = np.zeros((2, 8, 8, 3), np.uint8)
    hsv = HSV(D_h=0.06, D_s=0.26, D_v=0.20, A_s=0.21, A_v=0.13)
    views = transfer_views(images, CPU, hsv, 6)
    assert isinstance(views, Views) and views.crop_min == 6
    assert views.jitter == Jitter(
        hue=0.06, saturation=0.26, value=0.20, saturation_scale=0.21, value_scale=0.13
    )


def test_vectors_are_presented_as_they_are() -> None:
    vectors = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    index = order(0, 0, "transfer", 6)
    views = transfer_views(vectors, CPU, HSV(0.0, 0.0, 0.0, 0.0, 0.0), None)
    shown = views(index, np.zeros((6, 9), np.uint16))
    np.testing.assert_array_equal(shown.numpy(), vectors[index])
