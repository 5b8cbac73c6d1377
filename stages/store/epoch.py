"""Reading the transfer set an epoch at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.store.shards import images_hash, read_images, read_logits, shard_path

Rebuild = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""index int32 (n,), draws uint16 (n, 9) -> the images uint8 (n, s, s, 3) they stand for."""


@dataclass(frozen=True)
class EpochShard:
    """One epoch of the transfer set in its order of presentation."""

    images: np.ndarray
    labels: np.ndarray
    images_sha256: str


def read_epoch(folder: Path, epoch: int, rebuild: Rebuild | None) -> EpochShard:
    """Images uint8 (n, s, s, 3) and labels int64 (n,) of one epoch.

    Args:
        folder: data/augmented.
        epoch: from 0.
        rebuild: makes the images of a shard that holds draws only; their hash is verified.

    Raises:
        FileNotFoundError: the shard is missing.
        ValueError: it is damaged, or its images do not come back from its draws.
    """
    arrays, header = read_images(folder, epoch)
    images = arrays.get("images")

    if images is None:
        if rebuild is None:
            raise ValueError(
                f"{shard_path(folder, epoch)} holds draws only, and no images to apply them to"
            )

        images = rebuild(arrays["index"], arrays["draws"])
        if images_hash(images) != header["images_sha256"]:
            raise ValueError(
                f"{shard_path(folder, epoch)}: the images made from its draws have another hash; "
                "were data/prepared or the augmentation's code changed? run 'dvc repro augment'"
            )

    return EpochShard(images, arrays["labels"].astype(np.int64), header["images_sha256"])


def read_targets(folder: Path, epoch: int, shard: EpochShard) -> np.ndarray:
    """Ensemble logits float32 (n, classes) of exactly the images of `shard`."""
    return read_logits(folder, epoch, shard.images_sha256)
