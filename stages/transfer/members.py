"""The nets that label."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from stages.nets.stored import restore
from stages.nets.teacher import described_teacher
from stages.store.manifest import read_manifest
from stages.store.weights import load_weights


def load_members(folder: Path, device: torch.device) -> list[nn.Module]:
    """The ensemble's nets on the device, in the order of their choice."""
    nets: list[nn.Module] = []
    for place in range(len(read_manifest(folder)["members"])):
        path = folder / f"member-{place:02d}.safetensors"
        net = restore(path, described_teacher, *load_weights(path))
        nets.append(net.to(device).to(memory_format=torch.channels_last))
    return nets
