"""augment: epochs of augmented training images -> data/augmented, what every student sees in the
same order.

Reads the training images of data/prepared. Writes one shard an epoch (Urban et al. 2017, section
2.5): images in the order of presentation, their index, label and draws; any epoch is a function of
(seed, epoch) alone. Writes data/samples too: a few images and their first views, for the plots. On
a CPU epochs are made by several processes, which share the HSV planes of the originals; each holds
two epochs of images, whatever the number of epochs. Vectors have no views: their epochs differ in
their order alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from stages.runtime import entry
from stages.runtime.engines import Engine, from_settings
from stages.runtime.executors import Local
from stages.runtime.shares import make_epochs, shared_among
from stages.runtime.work import work_folder
from stages.settings import common
from stages.settings.read import read_params
from stages.settings.transfer import augment
from stages.store.atomic import link_or_copy
from stages.store.disk_space import check_space
from stages.store.manifest import fresh_folder, read_manifest, write_manifest
from stages.store.shards import image_shard_bytes, input_bytes, shard_path
from stages.store.tensors import write_tensors
from stages.transfer.job import EpochsJob

PREPARED = Path("data/prepared")
OUT = Path("data/augmented")
SAMPLES = Path("data/samples")
PRELOAD = ("stages.transfer.augmented", "stages.settings.prepare")
SHARED_BYTES = 4 * 2**30
"""Most memory for HSV planes that processes share; those of 40,000 images of 32 px take one GB."""
IMAGES_PER_PROCESS = 100_000
"""A process more for each: about three seconds of work on one CPU core, one of which its start
takes.
"""


def make_shards(
    job: EpochsJob, epochs: list[int], on_epoch: Callable[[], None] | None = None
) -> None:
    """Make the shards of these epochs; torch is imported there and not here."""
    from stages.transfer.augmented import make_shards

    make_shards(job, epochs, on_epoch)


def fill_planes(job: EpochsJob) -> None:
    """Write the HSV planes of the originals into shared memory."""
    from stages.transfer.augmented import fill_planes

    fill_planes(job)


def samples(job: EpochsJob) -> dict[str, np.ndarray]:
    """Originals uint8 (n, s, s, 3) and views uint8 (n, epochs, s, s, 3) for the plots."""
    from stages.transfer.augmented import samples

    return samples(job)


def make_all(
    job: EpochsJob, count: int, size_px: int | None, shape: list[int] | None, engine: Engine
) -> None:
    """Every shard that is missing, in this process or in several.

    Args:
        count: training images, of `size_px`, or vectors of this shape.
    """
    each, epochs = input_bytes(size_px, shape), job.section.epochs
    missing = [epoch for epoch in range(epochs) if not is_there(job, epoch)]
    needed = len(missing) * image_shard_bytes(count, each, job.section.store == "images")
    check_space(
        job.work, needed, "the transfer set", "lower augment.epochs, or set augment.store to draws"
    )
    engine, processes = shared_among(engine, len(missing) * count, IMAGES_PER_PROCESS, epochs)
    with shared_planes(job, engine, 8 * count * each) as planes:
        make_epochs(
            engine,
            make_shards,
            replace(job, planes=planes),
            epochs,
            processes,
            name="augment",
            images=count,
            there=partial(is_there, job),
        )


def is_there(job: EpochsJob, epoch: int) -> bool:
    """Whether an epoch has been made."""
    return shard_path(job.work, epoch).exists()


@contextmanager
def shared_planes(job: EpochsJob, engine: Engine, size: int) -> Iterator[Path | None]:
    """HSV planes of the originals in memory that other processes map by this path; None where there
    are none.

    The memory belongs to this process and has no name on any disk: nothing is left of it, however
    this ends. Without it (one process, GPUs, a cluster, systems other than Linux, or planes above
    SHARED_BYTES) each makes its own conversions, with the same result.
    """
    share = isinstance(engine, Local) and not engine.gpus and any(asdict(job.section.hsv).values())
    if not share or not hasattr(os, "memfd_create") or size > SHARED_BYTES:
        yield None
        return
    with os.fdopen(os.memfd_create("planes"), "wb") as file:
        file.truncate(size)
        planes = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        engine.submit(fill_planes, replace(job, planes=planes)).result()
        yield planes


def main() -> None:
    """Run the stage."""
    params = read_params()
    section, images, seed = augment(params), common.images(params), common.seed(params)
    execution = common.execution(params)
    settings = {"seed": seed, "section": asdict(section), "images": asdict(images)}
    facts = read_manifest(PREPARED)
    count = facts["images"]["train"]
    with work_folder("augment", settings, [PREPARED], __file__) as work:
        job = EpochsJob(work, PREPARED, seed, section, images, execution.device)
        with from_settings(execution, PRELOAD, [PREPARED]) as engine:
            make_all(job, count, facts["size_px"], facts.get("shape"), engine)
        out = fresh_folder(OUT)
        for epoch in range(section.epochs):
            link_or_copy(shard_path(work, epoch), shard_path(out, epoch))
        made = {"epochs": section.epochs, "store": section.store, "hsv": asdict(section.hsv)}
        write_manifest(out, {**made, "crop_min_px": images.crop_min_px, "images": count})
        write_tensors(
            fresh_folder(SAMPLES) / "augmented.safetensors", samples(replace(job, device="cpu")), {}
        )
    print(f"augment: {section.epochs} epochs of {count} images, stored as {section.store}")


if __name__ == "__main__":
    entry.run(main)
