"""A net whose input layer answers pictures of one colour in every program that reads its export."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from stages.nets.pixels import Standardise

LEAST = 1e-4
"""Deviation that divides an image of one colour, whose pixels are 0 before and after it.

One value of 3 * 1,024 * 1,024 that differs by one level makes a deviation of 5.6e-4.
"""


class GuardedStandardise(Standardise):
    """`Standardise` with a bound that optimisers of graphs keep.

    `Standardise` adds 1e-8 to the deviation. The optimiser of the ONNX exporter takes a constant of
    this size for 0, and an image of one colour is then 0 / 0. It keeps a lower bound, and numbers of
    16 bits hold the bound too. The pixels are those of `Standardise`, bit by bit.
    """

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (n, s, s, 3) -> float32 (n, 3, s, s)."""
        pixels = images.to(torch.float32).contiguous()
        pixels = pixels - pixels[:, :1, :1, :1]
        pixels = pixels - pixels.mean(dim=(1, 2, 3), keepdim=True)

        deviation = pixels.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(LEAST)
        return (pixels * (self.input_scale / (deviation + self.eps))).permute(0, 3, 1, 2)


def guarded(net: nn.Module) -> nn.Module:
    """The net with guarded input layers; its other modules are shared, and so are all weights."""
    if isinstance(net, Standardise):
        return GuardedStandardise(net.input_scale, net.eps).train(net.training)
    if not isinstance(net, nn.Sequential):
        return net

    modules = OrderedDict((name, guarded(module)) for name, module in net.named_children())
    return nn.Sequential(modules).train(net.training)
