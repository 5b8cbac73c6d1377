"""stored: a net in a file is the net that was saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stages.nets.stored import load_net, restore
from stages.nets.teacher import described_teacher
from stages.store.weights import save_weights

DESCRIPTION = {"widths": [2, 2, 2, 3], "dropout": [0.0] * 5, "classes": 3, "size_px": 8}


def test_a_net_comes_back_on_the_device_in_channels_last(
    tmp_path: Path, device: torch.device
) -> None:
    path = tmp_path / "weights.safetensors"
    net = described_teacher(DESCRIPTION)
    save_weights(path, net.state_dict(), DESCRIPTION)

    again = load_net(path, described_teacher, device)
    for name, tensor in again.state_dict().items():
        assert tensor.device.type == device.type and torch.equal(
            tensor.cpu(), net.state_dict()[name]
        )
    kernels = [weights for weights in again.parameters() if weights.dim() == 4]
    assert kernels and all(
        weights.is_contiguous(memory_format=torch.channels_last) for weights in kernels
    )


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    path, cpu = tmp_path / "weights.safetensors", torch.device("cpu")
    with pytest.raises(FileNotFoundError, match="weights.safetensors not found"):
        load_net(path, described_teacher, cpu)

    state = described_teacher(DESCRIPTION).state_dict()
    save_weights(path, state, {**DESCRIPTION, "classes": 4})
    with pytest.raises(ValueError, match="weights.safetensors holds no net of this kind"):
        load_net(path, described_teacher, cpu)


RESTORED = {"widths": [4, 4, 4, 8], "dropout": [0.0] * 5, "classes": 10, "size_px": 32}


def test_a_stored_net_comes_back() -> None:
    net = described_teacher(RESTORED)
    again = restore("a file", described_teacher, net.state_dict(), RESTORED)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    "change",
    [
        {"widths": 7},
        {"widths": [4, 4]},
        {"more": 1},
        {"dropout": None},
        {"widths": [4, 4, 4, 9]},
        {"classes": "x"},
    ],
    ids=str,
)
def test_weights_that_do_not_fit_their_description_are_one_line(change: dict[str, object]) -> None:
    state = described_teacher(RESTORED).state_dict()
    with pytest.raises(ValueError, match="a file holds no net of this kind") as caught:
        restore("a file", described_teacher, state, {**RESTORED, **change})
    assert "\n" not in str(caught.value)
