"""Counts of teachers against the printed ones, their widths, and maps against torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stages.nets.layers import chain
from stages.nets.teacher_layers import teacher_params, teacher_widths
from stages.settings.inputs import Inputs


@pytest.mark.parametrize(("control", "params"), [(0, 1_899_050), (0.5, 7_580_746), (1, 17_045_098)])
def test_teacher_space_spans_these_counts(control: float, params: int) -> None:
    boxes = {"C1": (32, 96), "C2": (64, 192), "C3": (128, 384), "H1": (512, 1536)}
    widths = teacher_widths({name: control for name in boxes}, boxes)
    assert teacher_params(widths) == params


def test_published_teachers_have_the_printed_sizes() -> None:
    for widths, printed in [
        ((76, 126, 148, 1200), 5.3),
        ((96, 171, 128, 512), 2.5),
        ((54, 158, 189, 1044), 5.8),
    ]:
        assert round(teacher_params(widths) / 1e6, 1) == printed


def test_teacher_widths_refuse_bad_controls() -> None:
    boxes = {"C1": (32, 96), "C2": (64, 192), "C3": (128, 384), "H1": (512, 1536)}
    good = {"C1": 0.0, "C2": 0.5, "C3": 1.0, "H1": 0.25, "lr": 0.02}
    assert teacher_widths(good, boxes) == (32, 128, 384, 768)
    halves = {"C1": (1, 2), "C2": (2, 3), "C3": (10, 20), "H1": (10, 20)}  # half to even
    assert teacher_widths({"C1": 0.5, "C2": 0.5, "C3": 0.27, "H1": 0.21}, halves) == (2, 2, 13, 12)
    with pytest.raises(ValueError, match=r"teachers\.space\.C3"):
        teacher_widths({**good, "C3": 1.5}, boxes)
    with pytest.raises(ValueError, match=r"teachers\.space has no H1"):
        teacher_widths({k: v for k, v in good.items() if k != "H1"}, boxes)
    with pytest.raises(ValueError, match=r"teachers\.boxes\.C1"):
        teacher_widths(good, {**boxes, "C1": (96, 32)})
    with pytest.raises(ValueError, match=r"teachers\.width_multiple"):
        teacher_widths(good, boxes, multiple=0)


def test_teacher_widths_are_the_nearest_multiples() -> None:
    boxes = {"C1": (32, 96), "C2": (64, 192), "C3": (1, 3), "H1": (512, 1536)}
    controls = {"C1": 0.3, "C2": 0.5, "C3": 0.5, "H1": 0.33}  # 51.2, 128, 2, 849.92
    assert (
        teacher_widths(controls, boxes)
        == teacher_widths(controls, boxes, multiple=1)
        == (51, 128, 2, 850)
    )
    assert teacher_widths(controls, boxes, multiple=8) == (48, 128, 8, 848)
    assert teacher_widths(controls, boxes, multiple=16) == (48, 128, 16, 848)


@pytest.mark.parametrize(("pool", "stride"), [(2, None), (2, 2), (3, 2), (3, 1), (2, 3), (3, None)])
@pytest.mark.parametrize("pools", [1, 2, 3])
def test_pools_have_the_maps_of_torch_or_are_refused(
    pool: int, stride: int | None, pools: int
) -> None:
    refused = 0
    for size_px in range(1, 70):
        options = {
            "kernel": 5,
            "pool": pool,
            "stride": stride,
            "bottleneck": None,
            "classes": 2,
            "inputs": Inputs.images(size_px),
        }
        x = torch.empty(1, 3, size_px, size_px, device="meta")
        try:
            maps = [x := nn.MaxPool2d(pool, stride)(x) for _ in range(pools)]
        except RuntimeError:  # torch leaves no map either
            with pytest.raises(ValueError, match="too small"):
                chain("p" * pools, [], [], **options)
            refused += 1
            continue
        *listed, out = chain("p" * pools, [], [], **options)
        assert [layer.map_px for layer in listed] == [tuple(found.shape[2:]) for found in maps]
        assert all((layer.kernel, layer.stride) == (pool, stride or pool) for layer in listed)
        assert out.inputs == maps[-1].numel()
    assert 0 < refused < 27
