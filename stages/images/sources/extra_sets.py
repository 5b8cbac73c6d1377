"""A further test set, as it lies on the disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from stages.store.maps import PART_BYTES, release

BLOCK = 10_000
"""Images that are read at once: 31 MB of 32 px; of large ones as many as have PART_BYTES."""


@dataclass(frozen=True)
class ExtraPart:
    """Images that lie together: those of one corruption, or all of a set.

    Attributes:
        corruption: its name; "" for a set without corruptions.
        images: opens them: uint8 (n, s, s, 3), an array or a map of a file.
    """

    corruption: str
    images: Callable[[], np.ndarray]

    def blocks(self) -> Iterator[np.ndarray]:
        """The images in blocks that fit into memory, uint8 (at most BLOCK, s, s, 3)."""
        images = self.images()
        each = images.nbytes // max(1, len(images))
        step = min(BLOCK, max(1, PART_BYTES // max(1, each)))

        for start in range(0, len(images), step):
            yield np.array(images[start : start + step])
            release(images[start : start + step])

    def fingerprint(self) -> str:
        """sha256 of the pixels, as hex."""
        state = hashlib.sha256()
        for block in self.blocks():
            state.update(block.tobytes())
        return state.hexdigest()


@dataclass(frozen=True)
class ExtraSet:
    """One test set.

    Attributes:
        name: as in params.yaml, with the version where a folder has several.
        labels: int64 (n,), the same for all parts.
        severities: 5 for corrupted images, n / 5 of each, the lowest first; else 0.
        parts: of n images each.
        notes: a line each on what was passed over.
    """

    name: str
    labels: np.ndarray
    severities: int
    parts: tuple[ExtraPart, ...]
    notes: tuple[str, ...] = ()
