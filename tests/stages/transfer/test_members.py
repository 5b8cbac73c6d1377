"""members: the nets of an ensemble, in the order of their choice."""

from __future__ import annotations

from pathlib import Path

import torch

from stages.nets.teacher import described_teacher
from stages.store.ensemble_manifest import EnsembleManifest, member_path
from stages.store.weights import save_weights
from stages.transfer.members import load_members

CPU = torch.device("cpu")
DESCRIPTION = {"widths": [2, 2, 2, 3], "dropout": [0.0] * 5, "classes": 3, "size_px": 8}


def test_all_members_or_the_first_ones(tmp_path: Path) -> None:
    for place in range(3):
        net = described_teacher(DESCRIPTION)
        with torch.no_grad():
            next(net.parameters()).fill_(float(place))
        save_weights(member_path(tmp_path, place), net.state_dict(), DESCRIPTION)
    EnsembleManifest((5, 1, 4)).write(tmp_path)

    def first_weights(count: int | None) -> list[float]:
        nets = load_members(tmp_path, described_teacher, CPU, count)
        return [next(net.parameters()).detach().flatten()[0].item() for net in nets]

    assert first_weights(None) == [0.0, 1.0, 2.0]
    assert first_weights(2) == [0.0, 1.0]
