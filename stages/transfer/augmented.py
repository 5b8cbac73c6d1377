"""Shards of augmented images, made in the processes of `augment`; the part of it with torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from stages.images.draws import draw, order
from stages.images.vectors import Vectors
from stages.images.views import Views, hsv_planes
from stages.runtime.device import choose_device
from stages.runtime.threads import ahead
from stages.store.maps import parts, release
from stages.store.pieces import Pieces
from stages.store.prepared import read_transfer
from stages.store.shards import read_images, write_images
from stages.transfer.views import transfer_views

if TYPE_CHECKING:
    from stages.transfer.epochs import EpochsJob

SAMPLE_IMAGES = 10
SAMPLE_EPOCHS = 8
CHUNK_IMAGES = 1024
"""Images whose HSV planes are made at a time."""


def make_shards(
    job: EpochsJob, epochs: list[int], on_epoch: Callable[[], None] | None = None
) -> None:
    """Make the shards of these epochs in parts, each written while the next one is computed."""
    # Processes share out the epochs; the bytes are the same for any number of threads.
    torch.set_num_threads(1)

    originals, labels = read_transfer(job.prepared)
    count = len(labels)
    shape, kind, each = originals.shape, originals.dtype, originals[0].nbytes
    views = views_of(job, originals)
    del originals  # the planes are enough

    @lru_cache(2)
    def drawn(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        return order_of(job, epoch, count), draws_of(job, epoch, count, views.size_px)

    def made(place: tuple[int, slice]) -> np.ndarray:
        epoch, part = place
        index, draws = drawn(epoch)
        return views(index[part], draws[part]).cpu().numpy()

    missing = [epoch for epoch in epochs if not is_whole(job.work, epoch)]
    wanted = parts(count, each)
    coming = ahead(made, product(missing, wanted))

    for epoch in epochs:
        if epoch in missing:
            index, draws = drawn(epoch)
            write_images(
                job.work,
                epoch,
                images=Pieces(shape, kind, islice(coming, len(wanted))),
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
    return draw(
        job.seed,
        epoch,
        "transfer",
        count,
        size_px=size_px,
        crop_min=job.images.crop_min_px,
        mirror=job.images.mirror,
    )


def views_of(job: EpochsJob, originals: np.ndarray) -> Views | Vectors:
    """Views of these images, with the planes that another process has made, if there are any."""
    planes = None
    if job.planes is not None:
        planes = np.memmap(job.planes, "<f8", "r", shape=(3, *originals.shape[:3]))

    device = choose_device(job.device)
    return transfer_views(originals, device, job.section.hsv, job.images.crop_min_px, planes)


def is_whole(folder: Path, epoch: int) -> bool:
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

    originals = read_transfer(job.prepared)[0]
    image_bytes = 8 * originals.shape[1] ** 2

    with job.planes.open("r+b") as file:
        for start in range(0, len(originals), CHUNK_IMAGES):
            chunk = originals[start : start + CHUNK_IMAGES]
            planes = hsv_planes(chunk)
            release(chunk)

            for place, plane in enumerate(planes):
                file.seek((place * len(originals) + start) * image_bytes)
                file.write(plane.contiguous().numpy().data)


def samples(job: EpochsJob) -> dict[str, np.ndarray]:
    """The first training images and their views in the first epochs, the same as in the shards.

    Returns:
        `originals` uint8 (n, s, s, 3) and `views` uint8 (n, epochs, s, s, 3), or float32 vectors.
    """
    originals = read_transfer(job.prepared)[0]
    count = len(originals)
    chosen = np.arange(min(SAMPLE_IMAGES, count), dtype=np.int32)
    views = views_of(job, originals[chosen])

    shown = []
    for epoch in range(min(SAMPLE_EPOCHS, job.section.epochs)):
        places = np.argsort(order_of(job, epoch, count))[chosen]
        draws = draws_of(job, epoch, count, views.size_px)[places]
        shown.append(views(chosen, draws).cpu().numpy())

    return {"originals": originals[chosen], "views": np.stack(shown, axis=1)}
