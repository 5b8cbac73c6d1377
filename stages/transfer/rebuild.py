"""Images of the transfer set from stored draws."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch

from stages.images.vectors import Vectors
from stages.images.views import Views
from stages.store.epoch import Rebuild
from stages.store.prepared import read_transfer
from stages.store.transfer_manifest import TransferManifest
from stages.transfer.views import transfer_views


def rebuilder(prepared: Path, augmented: Path, device: torch.device) -> Rebuild | None:
    """What makes images from draws; None where the shards hold the images themselves.

    The originals are read when it is first called.

    Args:
        prepared: folder of the original images.
        augmented: folder of the transfer set.
    """
    manifest = TransferManifest.read(augmented)
    if manifest.store == "images":
        return None

    @cache
    def views() -> Views | Vectors:
        originals = read_transfer(prepared)[0]
        return transfer_views(originals, device, manifest.hsv, manifest.crop_min_px)

    def rebuild(index: np.ndarray, draws: np.ndarray) -> np.ndarray:
        return views()(index, draws).cpu().numpy()

    return rebuild
