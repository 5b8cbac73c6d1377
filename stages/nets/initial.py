"""Initial weights of every network."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def glorot_(module: nn.Module, scale: float, generator: torch.Generator) -> nn.Module:
    """Fill weights with Glorot uniform (gain 1) times `scale` and biases with zeros, in place.

    Urban et al. 2017, sections 2.8 and 6.3 (`init_scale`), and 2.7 for teachers. Bound of a weight:
    scale * sqrt(6 / (fan_in + fan_out)); in a convolution both fans count the filter's area.
    Weights are drawn where the generator lives and in the order of the modules, so they depend on
    the generator's state alone, not on the device or the memory format of the module.

    Args:
        module: convolutions and linear layers inside it are filled, others have no weights.
        scale: above 0.
        generator: advanced by the number of weights.

    Returns:
        the module.

    Raises:
        ValueError: a scale that is not above 0.
    """
    if not scale > 0:
        raise ValueError(f"init_scale must be above 0, got {scale}: change space.init_scale")

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            drawn = torch.empty(layer.weight.shape, device=generator.device)
            nn.init.xavier_uniform_(drawn, generator=generator)
            layer.weight.copy_(drawn.mul_(scale))
            if layer.bias is not None:
                layer.bias.zero_()

    return module
