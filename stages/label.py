"""label: the ensemble's logits for exactly the augmented images -> data/logits, the targets of every mimic net.

Reads data/ensemble, data/augmented (and data/prepared where only draws were stored). Writes one shard an epoch:
float32 logits, the arithmetic mean over members of their pre-softmax outputs, not standardised (Urban et al. 2017,
sections 2.2 and 2.7; assumption 18), bound to their images by hash. Folders `first-NN` inside hold the mean over the
first NN members alone, for each size of `label.members`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from stages.fit.device import check_precision, choose_device, set_up_torch
from stages.fit.environment import describe
from stages.fit.evaluate import mean_logits
from stages.images.vectors import views_of
from stages.nets.stored import restore
from stages.nets.teacher import described_teacher
from stages.settings import common
from stages.settings.prepare import label
from stages.settings.read import read_params
from stages.store import door
from stages.store.atomic import link_or_copy
from stages.store.environment import record
from stages.store.prepared import read_train
from stages.store.shards import first_members, logits_shard_bytes, read_logits, shard_path, write_logits
from stages.store.space import check_space
from stages.store.transfer import EpochShard, Rebuild, read_epoch
from stages.store.weights import load_weights
from stages.store.work import fresh_folder, read_manifest, work_folder, write_manifest
from stages.workers.background import Behind, ahead
from stages.workers.engines import Engine, from_settings
from stages.workers.shares import make_epochs, shared_among

PREPARED = Path("data/prepared")
AUGMENTED = Path("data/augmented")
ENSEMBLE = Path("data/ensemble")
OUT = Path("data/logits")
PRELOAD = ("stages.fit.evaluate", "stages.nets.teacher")
PASSES_PER_PROCESS = 10_000
"""A process more for each ten thousand images through a net: some seconds of work on one CPU core."""


@dataclass(frozen=True)
class Job:
    """What the processes of this stage share.

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


def rebuilder(prepared: Path, augmented: Path, device: torch.device) -> Rebuild | None:
    """What makes images from draws, where the shards hold draws only."""
    facts = read_manifest(augmented)
    if facts["store"] == "images":
        return None
    views = views_of(
        read_train(prepared)[0], device, facts["hsv"].values(), facts["crop_min_px"]
    )
    return lambda index, draws: views(index, draws).cpu().numpy()


def load_members(folder: Path, device: torch.device) -> list[nn.Module]:
    """The ensemble's nets on the device, in the order of their choice."""
    nets: list[nn.Module] = []
    for place in range(len(read_manifest(folder)["members"])):
        path = folder / f"member-{place:02d}.safetensors"
        net = restore(path, described_teacher, *load_weights(path))
        nets.append(net.to(device).to(memory_format=torch.channels_last))
    return nets


def folders(job: Job, root: Path) -> dict[int, Path]:
    """Number of first members -> the folder of their logits."""
    return {size: first_members(root, size) for size in job.sizes[:-1]} | {job.sizes[-1]: root}


def have(job: Job, epoch: int, shard: EpochShard) -> bool:
    """Whether whole logits of these images are there from an earlier, interrupted run."""
    try:
        for folder in folders(job, job.work).values():
            read_logits(folder, epoch, shard.images_sha256)
    except (FileNotFoundError, ValueError):
        return False
    return True


def write(job: Job, epoch: int, values: dict[int, np.ndarray], images_sha256: str) -> None:
    """One epoch's shards; that of the whole ensemble last, since its name says that the epoch is done."""
    for size, folder in folders(job, job.work).items():
        write_logits(folder, epoch, values[size], images_sha256)


def label_epochs(job: Job, epochs: list[int], on_epoch: Callable[[], None] | None = None) -> None:
    """Logits of these epochs: the next images are read and the last logits written beside the nets."""
    device = choose_device(job.device)
    check_precision(device, job.numerics.precision)
    set_up_torch(job.numerics.threads, device)
    nets = load_members(job.ensemble, device)
    with Behind() as writer:
        for epoch, shard in zip(epochs, shards(job, epochs, device), strict=True):
            if not have(job, epoch, shard):
                numerics = job.numerics
                values = mean_logits(nets, shard.images, numerics.eval_batch, numerics.precision, job.sizes)
                writer.submit(write, job, epoch, values, shard.images_sha256)
            if on_epoch is not None:
                on_epoch()


def shards(job: Job, epochs: list[int], device: torch.device) -> Iterator[EpochShard]:
    """These epochs of the transfer set, the next one read while one is used."""
    rebuild = rebuilder(job.prepared, job.augmented, device)
    return ahead(lambda epoch: read_epoch(job.augmented, epoch, rebuild), epochs)


def label_all(job: Job, epochs: int, images: int, engine: Engine, processes: int) -> None:
    """Every epoch, in this process or in several."""
    classes = len(read_manifest(job.prepared)["classes"])
    missing = [epoch for epoch in range(epochs) if not is_there(job, epoch)]
    needed = len(missing) * logits_shard_bytes(images, classes) * len(job.sizes)
    check_space(job.work, needed, "the ensemble's logits", "lower augment.epochs")
    make_epochs(engine, label_epochs, job, epochs, processes, name="label", images=images, there=partial(is_there, job))


def is_there(job: Job, epoch: int) -> bool:
    """Whether an epoch has been labelled: its name comes last."""
    return shard_path(job.work, epoch).exists()


def main() -> None:
    """Run the stage."""
    params = read_params()
    numerics, execution = common.numerics(params), common.execution(params)
    facts = read_manifest(AUGMENTED)
    epochs, images = facts["epochs"], facts["images"]
    members = len(read_manifest(ENSEMBLE)["members"])
    sizes = (*label(params).members, members)
    settings = {"numerics": asdict(numerics), "members": sizes}
    with work_folder("label", settings, [AUGMENTED, ENSEMBLE], __file__) as work:
        job = Job(work, numerics, execution.device, sizes)
        with from_settings(execution, PRELOAD, [PREPARED, AUGMENTED, ENSEMBLE]) as asked:
            engine, processes = shared_among(asked, epochs * images * members, PASSES_PER_PROCESS, epochs)
            label_all(job, epochs, images, engine, processes)
            found = engine.submit(describe, execution.device, numerics.threads).result()
        out = fresh_folder(OUT)
        for source, target in zip(folders(job, work).values(), folders(job, out).values(), strict=True):
            for epoch in range(epochs):
                link_or_copy(shard_path(source, epoch), shard_path(target, epoch))
        write_manifest(out, {"epochs": epochs, "members": members})
        record("label", {**found, "precision": numerics.precision, "seed": common.seed(params)})
    print(f"label: {epochs} epochs of {images} images by {members} nets")


if __name__ == "__main__":
    door.run(main)
