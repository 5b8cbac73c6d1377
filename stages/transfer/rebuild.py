"""Images from draws."""

from __future__ import annotations

from pathlib import Path

import torch

from stages.images.vectors import views_of
from stages.store.epoch import Rebuild
from stages.store.manifest import read_manifest
from stages.store.prepared import read_train


def rebuilder(prepared: Path, augmented: Path, device: torch.device) -> Rebuild | None:
    """What makes images from draws, where the shards hold draws only."""
    facts = read_manifest(augmented)
    if facts["store"] == "images":
        return None
    views = views_of(read_train(prepared)[0], device, facts["hsv"].values(), facts["crop_min_px"])
    return lambda index, draws: views(index, draws).cpu().numpy()
