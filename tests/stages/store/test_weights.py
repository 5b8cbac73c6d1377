"""weights: state dicts in any memory format."""

from __future__ import annotations

from pathlib import Path

import torch

from stages.store.weights import load_weights, save_weights
from tests.helpers.stored import sha256


def test_weights_round_trip_in_any_memory_format(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    net = net.to(memory_format=torch.channels_last)
    checksum = save_weights(tmp_path / "w.safetensors", net.state_dict(), {"widths": [4]})
    state, description = load_weights(tmp_path / "w.safetensors")
    assert description == {"widths": [4]}
    assert state.keys() == net.state_dict().keys()
    for name, tensor in net.state_dict().items():
        assert state[name].shape == tensor.shape and state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)
    plain = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    assert save_weights(tmp_path / "plain.safetensors", plain, {"widths": [4]}) == checksum
    assert sha256(tmp_path / "w.safetensors") == sha256(tmp_path / "plain.safetensors")
