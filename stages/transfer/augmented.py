"""What the processes of augment compute: the part of that door that imports torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from stages.images.draws import draw, order
from stages.images.vectors import Vectors
from stages.images.vectors import views_of as presented
from stages.images.views import Views, hsv_planes
from stages.runtime.device import choose_device
from stages.runtime.threads import Behind
from stages.store.prepared import read_train
from stages.store.shards import read_images, write_images

if TYPE_CHECKING:
    from stages.transfer.job import EpochsJob

SAMPLE_IMAGES, SAMPLE_EPOCHS = 10, 8


def make_shards(
    job: EpochsJob, epochs: list[int], on_epoch: Callable[[], None] | None = None
) -> None:
    """Make the shards of these epochs, each written while the next one is computed."""
    torch.set_num_threads(
        1
    )  # processes share out the epochs; the bytes are the same for any number
    pixels, labels, _ = read_train(job.prepared)
    views, count = views_of(job, pixels), len(labels)
    del pixels  # the planes are enough
    with Behind() as writer:
        for epoch in epochs:
            if not have(job.work, epoch):
                index, draws = (
                    order_of(job, epoch, count),
                    draws_of(job, epoch, count, views.size_px),
                )
                writer.submit(
                    write_images,
                    job.work,
                    epoch,
                    images=views(index, draws).cpu().numpy(),
                    index=index,
                    labels=labels[index],
                    draws=draws,
                    keep_images=job.section.store == "images",
                )
            if on_epoch is not None:
                on_epoch()


def order_of(job: EpochsJob, epoch: int, count: int) -> np.ndarray:
    """Order of presentation: a permutation int32 (count,)."""
    return order(job.seed, epoch, "transfer", count)


def draws_of(job: EpochsJob, epoch: int, count: int, size_px: int | None) -> np.ndarray:
    """uint16 (count, 9), in the order of presentation."""
    crop, mirror = job.images.crop_min_px, job.images.mirror
    return draw(job.seed, epoch, "transfer", count, size_px=size_px, crop_min=crop, mirror=mirror)


def views_of(job: EpochsJob, pixels: np.ndarray) -> Views | Vectors:
    """Views of these images, with the planes that another process has made, if there are any."""
    planes = None
    if job.planes is not None:
        planes = np.memmap(job.planes, "<f8", "r", shape=(3, *pixels.shape[:3]))
    hsv = asdict(job.section.hsv).values()
    return presented(pixels, choose_device(job.device), hsv, job.images.crop_min_px, planes)


def have(folder: Path, epoch: int) -> bool:
    """Whether a whole shard of this epoch is there from an earlier, interrupted run."""
    try:
        read_images(folder, epoch)
    except (FileNotFoundError, ValueError):
        return False
    return True


def fill_planes(job: EpochsJob) -> None:
    """Write the HSV planes of the originals into the memory at `job.planes`."""
    assert job.planes is not None  # only a job with memory for them asks
    torch.set_num_threads(1)
    pixels = read_train(job.prepared)[0]
    each = 8 * pixels.shape[1] ** 2
    with job.planes.open("r+b") as file:
        for start in range(0, len(pixels), 1024):
            for place, plane in enumerate(hsv_planes(pixels[start : start + 1024])):
                file.seek((place * len(pixels) + start) * each)
                file.write(plane.contiguous().numpy().data)


def samples(job: EpochsJob) -> dict[str, np.ndarray]:
    """The first training images and their views in the first epochs, the same as in the shards."""
    pixels = read_train(job.prepared)[0]
    count = len(pixels)
    chosen = np.arange(min(SAMPLE_IMAGES, count), dtype=np.int32)
    views, shown = views_of(job, pixels[chosen]), []
    for epoch in range(min(SAMPLE_EPOCHS, job.section.epochs)):
        place = np.argsort(order_of(job, epoch, count))[chosen]
        shown.append(views(chosen, draws_of(job, epoch, count, views.size_px)[place]).cpu().numpy())
    return {"originals": pixels[chosen], "views": np.stack(shown, axis=1)}
