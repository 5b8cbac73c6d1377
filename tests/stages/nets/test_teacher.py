"""Teachers against independent golden counts and the layers of the paper."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stages.nets.teacher import build_fast_teacher, build_teacher, described_teacher
from stages.nets.teacher_layers import fast_teacher_layers, teacher_macs, teacher_params
from stages.settings.inputs import Inputs
from tests.helpers.nets import GOLDEN, meta_macs, torch_count


@pytest.mark.parametrize("vector", GOLDEN["teachers"], ids=lambda v: str(v["widths"]))
def test_teacher_matches_its_golden_vector(vector: dict) -> None:
    with torch.device("meta"):
        net = build_teacher(vector["widths"], [0.1] * 5)
    assert teacher_params(vector["widths"]) == torch_count(net) == vector["params"]
    assert teacher_macs(vector["widths"]) == meta_macs(net, 32) == vector["forward_macs"]


def test_teacher_is_eight_3x3_convolutions() -> None:
    with torch.device("meta"):
        net = build_teacher((32, 64, 128, 512), [0.1, 0.25, 0.3, 0.2, 0.4])
    letters = {"Conv2d": "c", "MaxPool": "p", "Linear": "f", "Output": "f", "Dropout": "d"}
    order = "".join(letters.get(type(module).__name__, "") for module in net)
    assert order == "ccpdccpdccccpdfdfdf"
    assert [m.p for m in net if isinstance(m, nn.Dropout)] == [0.1, 0.25, 0.3, 0.2, 0.4]
    convs = [m for m in net if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convs] == [32, 32, 64, 64, 128, 128, 128, 128]
    assert {(m.kernel_size, m.padding, m.stride) for m in convs} == {((3, 3), (1, 1), (1, 1))}
    assert [m.in_features for m in net if isinstance(m, nn.Linear)] == [128 * 16, 512, 512]


@pytest.mark.parametrize(("size_px", "classes"), [(32, 10), (16, 3), (64, 100), (44, 2)])
def test_fast_teacher_counts_what_torch_counts(size_px: int, classes: int) -> None:
    inputs = Inputs.images(size_px)
    widths = (8, 20, 28)
    with torch.device("meta"):
        net = build_fast_teacher(widths, [0.1], classes, inputs)
    assert teacher_params(widths, classes, inputs, "fast") == torch_count(net)
    assert teacher_macs(widths, classes, inputs, "fast") == meta_macs(net, size_px)


def test_fast_teacher_is_six_normalised_convolutions() -> None:
    with torch.device("meta"):
        net = build_fast_teacher((64, 256, 256), [0.3])
    letters = {"Conv2d": "c", "MaxPool": "p", "BatchNorm2d": "n", "ReLU": "r", "Output": "f"}
    order = "".join(letters.get(type(module).__name__, "") for module in net)
    assert order == "cpnrcnr" * 3 + "pf"
    assert [m.p for m in net if isinstance(m, nn.Dropout)] == [0.0, 0.0, 0.0, 0.3]
    convs = [m for m in net if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convs] == [64, 64, 256, 256, 256, 256]
    assert all(m.bias is None for m in convs)
    assert torch_count(net) == 1_960_394


def test_fast_teacher_norms_after_its_last_convolution_and_pools_then() -> None:
    """Where its last pool leaves one pixel, batch norm sees the whole map."""
    net = build_fast_teacher((4, 4, 4), [0.0], 3, Inputs.images(16)).train()
    images = torch.randint(0, 256, (1, 16, 16, 3), dtype=torch.uint8)
    net(images).sum().backward()  # a batch of one image: its map has four values a filter
    assert net.norm_conv6.num_batches_tracked == 1

    names = [name for name, _ in net.named_children()]
    assert names.index("norm_conv6") < names.index("pool") < names.index("flatten")
    assert names.index("pool3") < names.index("norm_conv5")


def test_fast_teacher_comes_back_from_its_description() -> None:
    description = {"widths": [4, 6, 8], "dropout": [0.1], "classes": 5, "size_px": 20}
    net = described_teacher({**description, "net": "fast"})
    again = described_teacher({**description, "net": "fast"})
    again.load_state_dict(net.state_dict())
    images = torch.randint(0, 256, (3, 20, 20, 3), dtype=torch.uint8)
    assert torch.equal(net.eval()(images), again.eval()(images))
    assert net(images).shape == (3, 5)


def test_fast_teachers_refuse_what_they_cannot_see() -> None:
    with pytest.raises(ValueError, match=r"at least 16 px, got .*take teachers.net: paper"):
        fast_teacher_layers((4, 4, 4), 10, Inputs.images(15))
    with pytest.raises(ValueError, match="take teachers.net: paper"):
        fast_teacher_layers((4, 4, 4), 10, Inputs.vectors((40,)))
    with pytest.raises(ValueError, match="3 widths"):
        fast_teacher_layers((4, 4, 4, 4))
    with pytest.raises(ValueError, match="1 dropout"):
        build_fast_teacher((4, 4, 4), [0.0, 0.0])
