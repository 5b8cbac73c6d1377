"""The least memory of training, and too many trials for a GPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stages.fit.memory import check_room, least_bytes, left_behind


def small_net() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(48, 20), nn.ReLU(), nn.Dropout(0.5), nn.Linear(20, 3)
    )


def test_least_memory_of_training() -> None:
    """Four of each parameter; of each image the float input and the first layer's output."""
    images = torch.rand(2, 3, 4, 4)
    wanted = 4 * 4 * (48 * 20 + 20 + 20 * 3 + 3) + 32 * 4 * (48 + 20)
    assert least_bytes(small_net(), images, 32, "fp32") == wanted
    net = small_net().train()
    least_bytes(net, images, 32, "fp32")
    assert net.training


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_least_memory_grows_with_the_batch_as_a_real_one(precision: str) -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 5)
    )
    images = torch.rand(24, 3, 8, 8)
    whole = left_behind(net, images, precision) + 4 * 4 * sum(p.numel() for p in net.parameters())
    assert least_bytes(net, images, 24, precision) == whole


def test_a_captured_step_keeps_a_batch_of_its_own() -> None:
    images = torch.rand(2, 3, 4, 4)
    wanted = 4 * 4 * (48 * 20 + 20 + 20 * 3 + 3) + 2 * 32 * 4 * (48 + 20)
    assert least_bytes(small_net(), images, 32, "fp32", graphs=True) == wanted


@pytest.mark.parametrize("graphs", [True, False])
def test_more_trials_than_a_gpu_has_room_for_are_refused(
    monkeypatch: pytest.MonkeyPatch, graphs: bool
) -> None:
    """What others hold of the GPU is not there."""
    net, images, gpu = small_net(), torch.rand(2, 3, 4, 4), torch.device("cuda")
    least = least_bytes(net, images, 32, "fp32", graphs)

    def check(batch: int, device: torch.device, trials: int) -> None:
        check_room(net, images, batch, "fp32", device, trials, graphs)

    check(32, torch.device("cpu"), 10**9)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3 * least, 2**40))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    check(32, gpu, 3)
    with pytest.raises(
        ValueError,
        match="execution.trials_per_gpu is 4: .* at least .* GiB and a GPU has .* of its 1.02e\\+03 "
        "GiB free: lower it to 3 or less",
    ):
        check(32, gpu, 4)
    with pytest.raises(ValueError, match="is 1: .*: lower training.batch_size"):
        check(32_000, gpu, 1)
