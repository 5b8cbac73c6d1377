"""Teachers against independent golden counts and the layers of the paper."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stages.nets.layers import teacher_macs, teacher_params
from stages.nets.teacher import build_teacher
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
