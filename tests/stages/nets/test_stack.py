"""Modules against the printed order of layers: features, ReLUs, dropouts, float32 logits."""

from __future__ import annotations

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from stages.nets.families import FAMILIES, dropout_names
from stages.nets.initial import glorot_
from stages.nets.pixels import Standardise
from stages.nets.stack import MaxPool
from stages.nets.student import build_student
from stages.nets.teacher import build_teacher
from tests.helpers.nets import CONVOLUTIONAL, images, initialised, names, small


def test_features_are_flattened_by_channel_row_column() -> None:
    net = build_student(small("mlp1"))
    flat = net.flatten(net.standardise(images(2)))
    expected = Standardise()(images(2)).numpy().transpose(0, 1, 2, 3).reshape(2, -1)
    assert np.array_equal(flat.numpy(), expected)
    assert np.array_equal(flat[:, :1024].numpy(), Standardise()(images(2))[:, 0].reshape(2, -1))


@pytest.mark.parametrize("family", ["conv4", "conv1-plain", "snn-2014", "cnn-2014"])
def test_a_relu_behind_the_pool_is_the_same_net(family: str) -> None:
    """Bit by bit the outputs and gradients of convolution, ReLU, pool, as the paper prints."""
    net = initialised(build_student(small(family)))
    printed: list[tuple[str, nn.Module]] = []
    for name, module in net.named_children():
        at = (
            -1
            if name.startswith("relu_conv") and printed[-1][0].startswith("pool")
            else len(printed)
        )
        printed.insert(at, (name, module))
    other = copy.deepcopy(nn.Sequential(OrderedDict(printed)))
    order = [name for name, _ in printed]
    pooled = {"conv4": (1, 3, 4), "cnn-2014": (1, 2, 3)}.get(family, (1,))
    for pool, conv in enumerate(pooled, start=1):
        assert order.index(f"relu_conv{conv}") == order.index(f"pool{pool}") - 1
    net(images(4)).square().sum().backward()
    other(images(4)).square().sum().backward()
    assert torch.equal(net(images(4)), other(images(4)))
    gradients = dict(other.named_parameters())
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter.grad, gradients[name].grad), name


def test_logits_are_computed_in_float32_under_autocast() -> None:
    net = glorot_(build_teacher((4, 4, 4, 8), [0.0] * 5), 1.0, torch.Generator().manual_seed(0))
    images = torch.randint(
        0, 256, (6, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden, found = net[:-1](images), net(images)
    assert hidden.dtype == torch.bfloat16 and found.dtype == torch.float32
    assert torch.equal(found, nn.functional.linear(hidden.float(), net[-1].weight, net[-1].bias))
    found.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in net.parameters())


@pytest.mark.parametrize("family", CONVOLUTIONAL)
def test_dropout_follows_pools_and_the_hidden_layer(family: str) -> None:
    pools = FAMILIES[family].layout.count("p")
    dropout = [0.1 * (index + 1) for index in range(pools + 1)]
    assert dropout_names(family) == [f"DOc{i + 1}" for i in range(pools)] + ["DOf1"]
    plan = small(family)
    net, plain = build_student(plan, dropout=dropout), build_student(plan)
    listed = [name for name in names(net) if not name.startswith("relu_conv")]
    chances = [module.p for module in net if isinstance(module, nn.Dropout)]
    places = [listed[i - 1] for i, name in enumerate(listed) if name.startswith("dropout")]
    places = list(zip(places, chances, strict=True))
    before = [f"pool{i + 1}" for i in range(pools)] + ["relu_fc1"]
    assert places == list(zip(before, dropout, strict=True))
    assert torch.equal(initialised(net).eval()(images(2)), initialised(plain).eval()(images(2)))
    assert not torch.equal(net.train()(images(2)), plain(images(2)))


def test_building_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    build_student(small("conv2"))
    assert torch.equal(torch.get_rng_state(), before)


POOLS = [(2, 2, 32, 8), (2, 2, 7, 5), (3, 2, 32, 11), (3, 3, 10, 1), (4, 3, 17, 16), (1, 1, 4, 3)]
"""Kernel, stride, side and channels."""


@pytest.mark.parametrize("kernel, stride, side, channels", POOLS)
@pytest.mark.parametrize("form", [torch.channels_last, torch.contiguous_format])
def test_a_pool_without_gradients_is_torchs(
    kernel: int, stride: int, side: int, channels: int, form: torch.memory_format
) -> None:
    pool = MaxPool(kernel, stride)
    maps = torch.randn(6, channels, side, side, generator=torch.Generator().manual_seed(side))
    maps = maps.to(memory_format=form)
    maps[0, 0, 1, 1] = float("inf")
    wanted = nn.functional.max_pool2d(maps, kernel, stride)

    with torch.inference_mode():
        assert torch.equal(pool(maps), wanted)

    # It stays as it came, else the convolution behind it would copy it.
    if form == torch.channels_last:
        assert pool(maps).is_contiguous(memory_format=form)

    # A value that is no number reaches all windows that hold it.
    maps[0, 0, 0, 0] = float("nan")
    assert torch.equal(pool(maps).isnan(), nn.functional.max_pool2d(maps, kernel, stride).isnan())


def test_a_pool_with_gradients_is_torchs_own() -> None:
    """Of equal values the first one has the gradient."""
    pool = MaxPool(2, 2)
    maps = torch.zeros(1, 1, 2, 2, requires_grad=True)
    pool(maps).sum().backward()
    assert maps.grad.tolist() == [[[[1.0, 0.0], [0.0, 0.0]]]]


def test_an_exported_pool_is_torchs_own() -> None:
    net = nn.Sequential(MaxPool(2, 2)).eval()
    program = torch.export.export(net, (torch.zeros(2, 3, 8, 8),))
    assert [node.name for node in program.graph.nodes if "max_pool2d" in node.name]
