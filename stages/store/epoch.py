"""Reading the transfer set an epoch at a time."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.store.maps import parts
from stages.store.pieces import Array, Pieces
from stages.store.prepared import UNLABELLED
from stages.store.shards import images_hash, read_images, read_logits, shard_path

Rebuild = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""index int32 (n,), draws uint16 (n, 9) -> the images uint8 (n, s, s, 3) they stand for."""


@dataclass(frozen=True)
class EpochShard:
    """One epoch of the transfer set in its order of presentation.

    Attributes:
        images: a memory map, or made from draws, see `read_epoch`.
    """

    images: Array
    labels: np.ndarray
    images_sha256: str


def read_epoch(
    folder: Path, epoch: int, rebuild: Rebuild | None, batch: int | None = None
) -> EpochShard:
    """Images uint8 (n, s, s, 3) and labels int64 (n,), -1 for none, of one epoch.

    Args:
        folder: data/augmented.
        epoch: from 0.
        rebuild: makes the images of a shard that holds draws only; their hash is verified.
        batch: if many images are made from draws, they are `Pieces` of multiples of so many. Their
            hash is verified after the last piece, which is an error then. None: one array.

    Raises:
        FileNotFoundError: the shard is missing.
        ValueError: it is damaged, or its images do not come back from its draws.
    """
    arrays, header = read_images(folder, epoch)
    images: Array | None = arrays.get("images")

    if images is None:
        path = shard_path(folder, epoch)
        if rebuild is None:
            raise ValueError(f"{path} holds draws only, and no images to apply them to")

        made = _Rebuilt(path, arrays["index"], arrays["draws"], header, rebuild, batch or 1)
        images = made.whole() if batch is None or len(made.places) == 1 else made.pieces()

    labels = arrays["labels"].astype(np.int64)
    if "labelled" in header:
        labels[arrays["index"] >= header["labelled"]] = UNLABELLED

    return EpochShard(images, labels, header["images_sha256"])


@dataclass(frozen=True)
class _Rebuilt:
    """Images made from the draws of a shard, anew each time; then their hash is verified."""

    path: Path
    index: np.ndarray
    draws: np.ndarray
    header: dict[str, Any]
    rebuild: Rebuild
    batch: int

    @property
    def places(self) -> list[slice]:
        """Parts of multiples of `batch`, by the shape that was noted when they were made."""
        shape = self.header.get("shape")
        each = 1
        if isinstance(shape, list) and all(isinstance(length, int) for length in shape):
            each = math.prod(shape[1:])

        return parts(len(self.index), each, self.batch)

    def whole(self) -> np.ndarray:
        """All of them."""
        images = self.rebuild(self.index, self.draws)
        self._check(images_hash(images))
        return images

    def pieces(self) -> Pieces:
        """All of them, part by part."""
        first = self.rebuild(self.index[:1], self.draws[:1])
        return Pieces((len(self.index), *first.shape[1:]), first.dtype, self)

    def __iter__(self) -> Iterator[np.ndarray]:
        state = hashlib.sha256()
        for part in self.places:
            images = self.rebuild(self.index[part], self.draws[part])
            state.update(np.ascontiguousarray(images).data)
            yield images

        self._check(state.hexdigest())

    def _check(self, sha256: str) -> None:
        if sha256 != self.header["images_sha256"]:
            raise ValueError(
                f"{self.path}: the images made from its draws have another hash; "
                "were data/prepared or the augmentation's code changed? run 'dvc repro augment'"
            )


def read_targets(folder: Path, epoch: int, shard: EpochShard) -> np.ndarray:
    """Ensemble logits float32 (n, classes) of exactly the images of `shard`."""
    return read_logits(folder, epoch, shard.images_sha256)
