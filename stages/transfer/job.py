"""What the processes of augment share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stages.settings import common
from stages.settings.transfer import Augment


@dataclass(frozen=True)
class EpochsJob:
    """What the processes of this stage share.

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
