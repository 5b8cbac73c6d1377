"""The views of the transfer set."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import torch

from stages.images.hsv import Jitter
from stages.images.vectors import Vectors, views_of
from stages.images.views import Views
from stages.settings.common import HSV


def transfer_views(
    images: np.ndarray,
    device: torch.device,
    hsv: HSV,
    crop_min_px: int | None,
    planes: np.ndarray | None = None,
) -> Views | Vectors:
    """Views of these images as the transfer set has them.

    Args:
        images: uint8 (N, s, s, 3), or vectors float32 (N, ...), which have no views.
        crop_min_px: smallest side of a crop; None for vectors.
        planes: `hsv_planes(images)`, made elsewhere.
    """
    jitter = Jitter(
        hue=hsv.D_h,
        saturation=hsv.D_s,
        value=hsv.D_v,
        saturation_scale=hsv.A_s,
        value_scale=hsv.A_v,
    )
    return views_of(images, device, astuple(jitter), crop_min_px, planes)
