"""Glorot's weights: bounds, spread, and the generator that they depend on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stages.nets.initial import glorot_
from stages.nets.student import build_student
from tests.helpers.nets import small


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.0])
def test_glorot_bounds_and_spread(scale: float) -> None:
    net = build_student(small("conv1", budget=300_000))
    glorot_(net, scale, torch.Generator().manual_seed(1))
    for layer in (net.conv1, net.bottleneck, net.fc1, net.out):
        weight = layer.weight.detach()
        area = weight[0, 0].numel() if weight.dim() == 4 else 1
        bound = scale * (6 / ((weight.shape[0] + weight.shape[1]) * area)) ** 0.5
        assert weight.abs().max() <= bound * (1 + 1e-6)
        assert weight.abs().max() > 0.9 * bound
        spread = bound / 3**0.5
        assert weight.std() == pytest.approx(spread, rel=6 / weight.numel() ** 0.5)
        assert torch.count_nonzero(layer.bias) == 0


def test_glorot_depends_on_the_generator_alone() -> None:
    def state(scale: float, seed: int, memory_format: torch.memory_format) -> list[torch.Tensor]:
        net = build_student(small("conv3")).to(memory_format=memory_format)
        return list(glorot_(net, scale, torch.Generator().manual_seed(seed)).parameters())

    one = state(1.0, 5, torch.contiguous_format)
    same = state(1.0, 5, torch.channels_last)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    double = state(2.0, 5, torch.contiguous_format)
    assert all(torch.equal(2 * a, b) for a, b in zip(one, double, strict=True))
    other = state(1.0, 6, torch.contiguous_format)
    assert not torch.equal(one[0], other[0])
    with pytest.raises(ValueError, match="init_scale"):
        glorot_(nn.Linear(2, 2), 0.0, torch.Generator())
