"""Students against the same nets of torch's own modules."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from stages.nets.families import FAMILIES, Plan
from stages.nets.pixels import Standardise
from stages.nets.student import build_student
from stages.nets.teacher import build_teacher
from stages.settings.inputs import Inputs
from tests.helpers.nets import ADDED, images, initialised, names, small, torch_count


def by_hand(
    family: str, widths: Sequence[int], dependent: int, classes: int, size_px: int
) -> nn.Sequential:
    """The same net from torch's own lazy modules, for (n, 3, size_px, size_px)."""

    def conv(inputs: int, filters: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, filters, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride)]

    def hidden(units: int) -> list[nn.Module]:
        return [nn.LazyLinear(units), nn.ReLU(), nn.LazyLinear(classes)]

    with torch.device("meta"):
        layers = {
            "mlp1-plain": lambda: [nn.Flatten(), *hidden(dependent)],
            "conv1-plain": lambda: [*conv(3, *widths, 3), nn.Flatten(), *hidden(dependent)],
            "snn-2014": lambda: [
                *conv(3, widths[0], 2),
                nn.Flatten(),
                nn.LazyLinear(dependent),
                *hidden(widths[1]),
            ],
            "cnn-2014": lambda: [
                *conv(3, widths[0], 2),
                *conv(widths[0], widths[1], 2),
                *conv(widths[1], widths[2], 2),
                nn.Flatten(),
                *hidden(dependent),
            ],
        }[family]()
        net = nn.Sequential(*layers)
        net(torch.empty(1, 3, size_px, size_px))
    return net


@pytest.mark.parametrize("family", ADDED)
@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("size_px", [32, 64])
def test_added_families_are_torchs_nets(family: str, classes: int, size_px: int) -> None:
    plan = small(family, classes, size_px, budget=400_000)
    other = by_hand(family, plan.widths, plan.dependent, classes, size_px)
    assert plan.params == torch_count(other)
    assert (plan.inputs, plan.classes) == (Inputs.images(size_px), classes)
    net = initialised(build_student(plan))
    state = list(net.state_dict().values())
    assert [tensor.shape for tensor in state] == [
        tensor.shape for tensor in other.state_dict().values()
    ]
    other = other.to_empty(device="cpu")
    other.load_state_dict(dict(zip(other.state_dict(), state, strict=True)))
    batch = images(2, size_px)
    logits = net(batch)
    assert logits.shape == (2, classes) and logits.std() > 0
    assert torch.allclose(logits, other(Standardise()(batch)), atol=1e-5)
    assert Plan.from_json(plan.to_json()) == plan


def test_pools_of_2014_overlap() -> None:
    net = build_student(small("cnn-2014"))
    assert [(pool.kernel_size, pool.stride) for pool in (net.pool1, net.pool2, net.pool3)] == [
        (3, 2)
    ] * 3
    assert [layer.map_px[0] for layer in small("cnn-2014").layers if layer.kind == "pool"] == [
        15,
        7,
        3,
    ]
    assert [layer.map_px[0] for layer in small("snn-2014").layers if layer.kind == "pool"] == [15]
    assert [layer.map_px[0] for layer in small("conv1-plain").layers if layer.kind == "pool"] == [
        10
    ]


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize(("classes", "size_px"), [(10, 32), (7, 25)])
def test_every_family_maps_uint8_images_to_logits(family: str, classes: int, size_px: int) -> None:
    net = initialised(build_student(small(family, classes, size_px), 1.1)).eval()
    batch = images(3, size_px)
    logits = net(batch)
    assert logits.shape == (3, classes) and logits.dtype == torch.float32
    assert torch.isfinite(logits).all() and logits.std() > 0
    assert torch.allclose(net(batch[1:2]), logits[1:2], atol=1e-5)
    assert torch.allclose(net(batch.float() / 255), logits, atol=1e-4)
    assert torch.allclose(net.to(memory_format=torch.channels_last)(batch), logits, atol=1e-5)


def test_layers_come_in_the_papers_order() -> None:
    first = ["standardise"]
    assert names(build_student(small("mlp1"))) == first + [
        "flatten",
        "bottleneck",
        "fc1",
        "relu_fc1",
        "out",
    ]
    assert names(build_student(small("mlp3"))) == first + [
        "flatten",
        "fc1",
        "relu_fc1",
        "fc2",
        "relu_fc2",
        "fc3",
        "relu_fc3",
        "out",
    ]
    assert names(build_student(small("conv1"))) == first + [
        "conv1",
        "pool1",
        "relu_conv1",
        "flatten",
        "bottleneck",
        "fc1",
        "relu_fc1",
        "out",
    ]
    assert names(build_student(small("conv4"))) == first + [
        "conv1",
        "pool1",
        "relu_conv1",
        "conv2",
        "relu_conv2",
        "conv3",
        "pool2",
        "relu_conv3",
        "conv4",
        "pool3",
        "relu_conv4",
        "flatten",
        "fc1",
        "relu_fc1",
        "out",
    ]
    assert names(build_student(small("mlp1-plain"))) == first + [
        "flatten",
        "fc1",
        "relu_fc1",
        "out",
    ]
    assert names(build_student(small("conv1-plain"))) == first + [
        "conv1",
        "pool1",
        "relu_conv1",
        "flatten",
        "fc1",
        "relu_fc1",
        "out",
    ]
    assert names(build_student(small("snn-2014"))) == names(build_student(small("conv1")))
    assert names(build_student(small("cnn-2014"))) == names(build_student(small("conv3")))
    conv = build_student(small("conv1"))
    assert conv.conv1.kernel_size == (5, 5) and conv.conv1.padding == (2, 2)
    assert conv.pool1(torch.zeros(1, 4, 32, 32)).shape[-2:] == (10, 10)


def test_wrong_dropout_is_refused() -> None:
    with pytest.raises(ValueError, match="3 dropouts"):
        build_student(small("conv2"), dropout=[0.1, 0.2])
    with pytest.raises(ValueError, match="mlp2 takes no dropout"):
        build_student(small("mlp2"), dropout=[0.1])
    with pytest.raises(ValueError, match="mlp1-plain takes no dropout"):
        build_student(small("mlp1-plain"), dropout=[0.1])
    with pytest.raises(ValueError, match="4 dropouts"):
        build_student(small("cnn-2014"), dropout=[0.1, 0.2])
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        build_student(small("conv2"), dropout=[0.1, 0.2, 1.0])
    with pytest.raises(ValueError, match="5 dropouts"):
        build_teacher((8, 8, 8, 8), [])
