"""augment: epochs of augmented images -> data/augmented, which all students see alike.

Reads the training images of data/prepared, and those without labels. Writes one shard an epoch
(Urban et al. 2017, section 2.5): images in the order of presentation, their index, label and draws;
any epoch is a function of (seed, epoch) alone. Writes data/samples too: a few images and their first
views, for the plots. On a CPU epochs are made by several processes, which share the HSV planes of
the originals, if these are small enough. Each holds two parts of an epoch, whatever the number of
images and epochs. Vectors have no views: their epochs differ in their order alone.
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
from stages.store.manifest import fresh_folder
from stages.store.prepared import PreparedManifest, data_folders, unlabelled_count
from stages.store.shards import image_shard_bytes, shard_path
from stages.store.tensors import write_tensors
from stages.store.transfer_manifest import TransferManifest
from stages.transfer.epochs import EpochsJob

PREPARED = Path("data/prepared")
OUT = Path("data/augmented")
SAMPLES = Path("data/samples")
PRELOAD = ("stages.transfer.augmented", "stages.settings.prepare")
SHARED_BYTES = 4 * 2**30
"""Most memory for HSV planes that processes share; those of 40,000 images of 32 px take one GB."""
IMAGES_PER_PROCESS = 100_000
"""A process more for each: about three seconds on one CPU core, of which its start takes one."""


# torch is imported where the functions of `transfer.augmented` run and not in this process, which
# hands out the work: hence the imports inside these three functions.


def remote_make_shards(
    job: EpochsJob, epochs: list[int], on_epoch: Callable[[], None] | None = None
) -> None:
    """Make the shards of these epochs, in the process that calls this."""
    from stages.transfer.augmented import make_shards

    make_shards(job, epochs, on_epoch)


def remote_fill_planes(job: EpochsJob) -> None:
    """Write the HSV planes of the originals into shared memory, in the process that calls this."""
    from stages.transfer.augmented import fill_planes

    fill_planes(job)


def plotted_samples(job: EpochsJob) -> dict[str, np.ndarray]:
    """Originals uint8 (n, s, s, 3) and views uint8 (n, epochs, s, s, 3) for the plots."""
    from stages.transfer.augmented import samples

    return samples(replace(job, device="cpu"))


def make_all(job: EpochsJob, prepared: PreparedManifest, engine: Engine) -> None:
    """Make every shard that is missing, in this process or in several."""
    images = prepared.images["train"] + unlabelled_count(job.prepared)
    each = prepared.inputs.bytes
    epochs = job.section.epochs
    missing = [epoch for epoch in range(epochs) if not is_there(job, epoch)]

    # Refuses what does not fit on the disk.
    needed = len(missing) * image_shard_bytes(images, each, job.section.store == "images")
    remedy = "lower augment.epochs, or set augment.store to draws"
    check_space(job.work, needed, "the transfer set", remedy)

    engine, processes = shared_among(engine, len(missing) * images, IMAGES_PER_PROCESS, epochs)

    with shared_planes(job, engine, 8 * images * each) as planes:
        make_epochs(
            engine,
            remote_make_shards,
            replace(job, planes=planes),
            epochs,
            processes,
            name="augment",
            images=images,
            there=partial(is_there, job),
        )


def is_there(job: EpochsJob, epoch: int) -> bool:
    """Whether an epoch has been made."""
    return shard_path(job.work, epoch).exists()


@contextmanager
def shared_planes(job: EpochsJob, engine: Engine, size: int) -> Iterator[Path | None]:
    """HSV planes of the originals in memory that other processes map by this path.

    The memory belongs to this process and has no name on any disk: nothing is left of it, however
    this ends. None, where there is no such memory (one process, GPUs, a cluster, no jitter, systems
    other than Linux, or planes above SHARED_BYTES): each process then makes its own conversions,
    with the same result.
    """
    share = isinstance(engine, Local) and not engine.gpus and any(asdict(job.section.hsv).values())

    if not share or not hasattr(os, "memfd_create") or size > SHARED_BYTES:
        yield None
        return

    with os.fdopen(os.memfd_create("planes"), "wb") as file:
        file.truncate(size)
        planes = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        engine.submit(remote_fill_planes, replace(job, planes=planes)).result()
        yield planes


def write_outputs(job: EpochsJob, images: int) -> None:
    """The finished shards with their manifest, and the samples."""
    section = job.section

    out = fresh_folder(OUT)
    for epoch in range(section.epochs):
        link_or_copy(shard_path(job.work, epoch), shard_path(out, epoch))

    manifest = TransferManifest(
        epochs=section.epochs,
        store=section.store,
        hsv=section.hsv,
        crop_min_px=job.images.crop_min_px,
        images=images,
    )
    manifest.write(out)

    write_tensors(fresh_folder(SAMPLES) / "augmented.safetensors", plotted_samples(job), {})


def main() -> None:
    """Run the stage."""
    params = read_params()
    seed = common.seed(params)
    images = common.images(params)
    execution = common.execution(params)
    section = augment(params)

    prepared = PreparedManifest.read(PREPARED)
    without = unlabelled_count(PREPARED)
    count = prepared.images["train"] + without
    settings = {"seed": seed, "section": asdict(section), "images": asdict(images)}

    with work_folder("augment", settings, data_folders(PREPARED), __file__) as work:
        job = EpochsJob(work, PREPARED, seed, section, images, execution.device)

        with from_settings(execution, PRELOAD, data_folders(PREPARED)) as engine:
            make_all(job, prepared, engine)

        write_outputs(job, count)

    some = f" ({without:,} without labels)" if without else ""
    print(f"augment: {section.epochs} epochs of {count} images{some}, stored as {section.store}")


if __name__ == "__main__":
    entry.run(main)
