"""What the processes that make epochs of the transfer set share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stages.settings import common
from stages.settings.transfer import Augment


@dataclass(frozen=True)
class EpochsJob:
    """Epochs of augmented images to make; small, since it travels to every process.

    Attributes:
        work: where shards go until all are there.
        device: `execution.device`.
        planes: memory with the HSV planes of the originals, made by another process; None if there
            is none.
    """

    work: Path
    prepared: Path
    seed: int
    section: Augment
    images: common.Images
    device: str
    planes: Path | None = None
