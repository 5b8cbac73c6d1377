"""Nets with their bottleneck absorbed against the nets as they were trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from commands.models.absorb import absorb
from stages.nets.student import build_student
from tests.helpers.nets import images, initialised, names, small


@pytest.mark.parametrize("family", ["mlp1", "conv1", "snn-2014"])
def test_absorbing_keeps_the_function(family: str) -> None:
    plan = small(family, budget=200_000)
    net = initialised(build_student(plan, 1.2)).eval()
    with torch.no_grad():
        for parameter in net.parameters():  # biases too
            parameter.add_(torch.linspace(-0.02, 0.03, parameter.numel()).view_as(parameter))
        merged = absorb(net)
        old = net(images(8))
        new = merged(images(8))

    assert (old - new).abs().max() <= 1e-4 * old.abs().max()
    assert names(merged) == [name for name in names(net) if name != "bottleneck"]
    assert merged.standardise.input_scale == 1.2 and not merged.training
    assert merged.fc1.in_features == net.bottleneck.in_features
    assert merged.fc1.out_features == plan.widths[-1]

    shared = {p.data_ptr() for p in net.parameters()} & {p.data_ptr() for p in merged.parameters()}
    assert not shared


def test_nets_without_bottleneck_cannot_absorb() -> None:
    nets = [
        build_student(small(family))
        for family in ("mlp2", "conv2", "mlp1-plain", "conv1-plain", "cnn-2014")
    ]
    for net in (*nets, nn.Sequential()):
        with pytest.raises(ValueError, match="only mlp1, conv1 and snn-2014"):
            absorb(net)
