"""The ensemble's logits for epochs of the transfer set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from stages.fit.evaluate import mean_logits
from stages.nets.teacher import described_teacher
from stages.runtime.device import check_precision, choose_device, set_up_torch
from stages.runtime.threads import Behind, ahead
from stages.settings import common
from stages.store.epoch import EpochShard, read_epoch
from stages.store.shards import first_members, read_logits, shard_path, write_logits
from stages.transfer.members import load_members
from stages.transfer.rebuild import rebuilder

PREPARED = Path("data/prepared")
AUGMENTED = Path("data/augmented")
ENSEMBLE = Path("data/ensemble")


@dataclass(frozen=True)
class LabelJob:
    """Epochs to label; small, since it travels to every process.

    Attributes:
        work: where shards go until all are there.
        device: `execution.device`.
        sizes: numbers of first members whose mean is stored; the last one is all of them.
    """

    work: Path
    numerics: common.Numerics
    device: str
    sizes: tuple[int, ...]
    prepared: Path = PREPARED
    augmented: Path = AUGMENTED
    ensemble: Path = ENSEMBLE


def folders(job: LabelJob, root: Path) -> dict[int, Path]:
    """Number of first members -> the folder of their logits."""
    smaller = {size: first_members(root, size) for size in job.sizes[:-1]}
    return {**smaller, job.sizes[-1]: root}


def label_epochs(
    job: LabelJob, epochs: list[int], on_epoch: Callable[[], None] | None = None
) -> None:
    """Label these epochs; images are read ahead and logits written behind the nets."""
    device = choose_device(job.device)
    numerics = job.numerics
    check_precision(device, numerics.precision)
    set_up_torch(numerics.threads, device)

    nets = load_members(job.ensemble, described_teacher, device)

    with Behind() as writer:
        for epoch, shard in zip(epochs, shards(job, epochs, device), strict=True):
            if not is_labelled(job, epoch, shard):
                means = mean_logits(
                    nets, shard.images, numerics.eval_batch, numerics.precision, job.sizes
                )
                writer.submit(write, job, epoch, means, shard.images_sha256)

            if on_epoch is not None:
                on_epoch()


def shards(job: LabelJob, epochs: list[int], device: torch.device) -> Iterator[EpochShard]:
    """These epochs of the transfer set, the next one read while one is used."""
    rebuild = rebuilder(job.prepared, job.augmented, device)
    batch = job.numerics.eval_batch
    return ahead(lambda epoch: read_epoch(job.augmented, epoch, rebuild, batch), epochs)


def is_labelled(job: LabelJob, epoch: int, shard: EpochShard) -> bool:
    """Whether whole logits of these images are there from an earlier, interrupted run."""
    try:
        for folder in folders(job, job.work).values():
            read_logits(folder, epoch, shard.images_sha256)
    except (FileNotFoundError, ValueError):
        return False

    return True


def is_there(job: LabelJob, epoch: int) -> bool:
    """Whether an epoch has been labelled: its name comes last."""
    return shard_path(job.work, epoch).exists()


def write(job: LabelJob, epoch: int, means: dict[int, np.ndarray], images_sha256: str) -> None:
    """Write one epoch's shards, that of the whole ensemble last.

    Its name says that the epoch is done.
    """
    for size, folder in folders(job, job.work).items():
        write_logits(folder, epoch, means[size], images_sha256)
