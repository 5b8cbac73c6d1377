"""Our images as another net wants them: its size, channels, range and layout."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from stages.settings.outside import Described

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey level, as Pillow's (ITU-R 601-2)."""


def as_wanted(images: Tensor, described: Described) -> Tensor:
    """What a net sees of these images, float32.

    Args:
        images: uint8 (n, s, s, 3), or vectors float32 (n, ...), which stay as they are.

    Returns:
        (n, c, h, w) for NCHW, (n, h, w, c) for NHWC, (n, h * w * c) for flat.
    """
    if images.dtype != torch.uint8:
        return images.float()

    # Levels 0 to 255 of the net's size and channels.
    pixels = images.permute(0, 3, 1, 2).float()
    if described.size_px is not None:
        pixels = resized(pixels, described.size_px, described.resize)
    if described.channels == "bgr":
        pixels = pixels.flip(1)
    if described.channels == "grey":
        weights = pixels.new_tensor(GREY).view(1, 3, 1, 1)
        pixels = _whole((pixels * weights).sum(1, keepdim=True))

    # The net's values.
    black, white = described.range
    values = black + pixels * ((white - black) / 255)
    mean, deviation = (
        values.new_tensor(each).view(1, -1, 1, 1) for each in (described.mean, described.deviation)
    )
    values = (values - mean) / deviation

    # The net's layout.
    if described.layout == "NCHW":
        return values.contiguous()
    values = values.permute(0, 2, 3, 1).contiguous()
    return values if described.layout == "NHWC" else values.flatten(1)


def resized(pixels: Tensor, size_px: int, method: str) -> Tensor:
    """Levels 0 to 255 of another size, by torch's antialiased filters, rounded as Pillow's are.

    One axis after the other, with whole levels in between: so Pillow does it, and the results
    differ by one level at most (a test measures it). In one go the bicubic filter's overshoot at
    edges, which Pillow cuts off, is up to 20 levels away.

    Args:
        pixels: float32 (n, c, h, w).
        size_px: of the square that is made.
        method: bilinear or bicubic.
    """
    height, width = pixels.shape[2:]
    if (height, width) == (size_px, size_px):
        return pixels

    for size in ((height, size_px), (size_px, size_px)):
        made = functional.interpolate(pixels, size=size, mode=method, antialias=True)
        pixels = _whole(made)
    return pixels


def _whole(levels: Tensor) -> Tensor:
    """The nearest whole levels, halves upwards."""
    return (levels + 0.5).floor().clamp(0, 255)
