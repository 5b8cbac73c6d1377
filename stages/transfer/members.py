"""The nets that label."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from stages.nets.stored import Built, Description, load_net
from stages.store.ensemble_manifest import EnsembleManifest, member_path


def load_members(
    folder: Path,
    build: Callable[[Description], Built],
    device: torch.device,
    count: int | None = None,
) -> list[Built]:
    """The nets of an ensemble on the device, in the order of their choice.

    Args:
        folder: of the ensemble.
        build: makes the net of a description, e.g. `described_teacher`.
        count: how many of the first ones; None for all.
    """
    if count is None:
        count = len(EnsembleManifest.read(folder).members)

    return [load_net(member_path(folder, place), build, device) for place in range(count)]
