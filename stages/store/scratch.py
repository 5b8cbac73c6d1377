"""Copies of the transfer set's images on a machine's own disk, shared by the trials that run there.

A folder that many machines share is read once by each machine and not by each trial, and images
that are stored as draws are made once. A copy is named by the digests in its source's header and
verified each time it is read, so one that is damaged, or belongs to another transfer set, is never
used.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from stages.store.atomic import alone
from stages.store.disk_space import check_space
from stages.store.epoch import EpochShard, Rebuild, read_epoch
from stages.store.shards import images_digests
from stages.store.tensors import fits, kind_of_inputs, read_tensors, write_tensors

REMEDY = ": name a folder on the machine's own disk, or set it to null"


def copies_in(scratch: str) -> Path:
    """This user's folder for copies in `execution.scratch`, made if it is not there.

    Raises:
        OSError: it cannot be made or written to, or is somebody else's.
    """
    folder = Path(scratch) / f"mimicnets-{os.getuid()}"

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"execution.scratch is {scratch} and {folder} cannot be made there ({error}){REMEDY}"
        ) from None

    if folder.stat().st_uid != os.getuid() or not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(
            f"execution.scratch is {scratch} and {folder} there is not this user's to write to"
            f"{REMEDY}"
        )

    return folder


def check_scratch(copies: Path, folder: Path, epochs: Iterable[int], each: int) -> None:
    """Refuse to begin where there is no room for the copies that are missing.

    Args:
        copies: from `copies_in`.
        folder: data/augmented.
        each: bytes of the images of one epoch.

    Raises:
        OSError: there is no room.
    """
    missing = sum(not copy_path(copies, folder, epoch).exists() for epoch in epochs)
    remedy = f"delete those of earlier runs in {copies}, or set execution.scratch to null"
    check_space(copies, missing * each, "a copy of the transfer set", remedy)


def copy_path(copies: Path, folder: Path, epoch: int) -> Path:
    """Where the copy of an epoch of `folder` belongs; reads the header of its shard only."""
    digests = "".join(images_digests(folder, epoch))
    return copies / f"{hashlib.sha256(digests.encode()).hexdigest()[:32]}.safetensors"


def read_copy(copies: Path, folder: Path, epoch: int, rebuild: Rebuild | None) -> EpochShard:
    """The same as `read_epoch`, from the copy on this machine.

    Where there is none or a damaged one, it is made. One process at a time makes a copy; others
    wait for it.
    """
    path = copy_path(copies, folder, epoch)
    images_sha256 = images_digests(folder, epoch)[1]

    shard = _whole_copy(path, images_sha256)
    if shard is not None:
        return shard

    with alone(path):
        # Another process may have made it meanwhile.
        shard = _whole_copy(path, images_sha256)

        if shard is None:
            made = read_epoch(folder, epoch, rebuild, batch=1)
            arrays = {"images": made.images, "labels": made.labels}
            write_tensors(path, arrays, {"images_sha256": images_sha256})
            shard = (
                made if isinstance(made.images, np.ndarray) else _whole_copy(path, images_sha256)
            )

    if shard is None:
        raise ValueError(f"{path} was damaged while it was written: is the disk in order?")
    return shard


def _whole_copy(path: Path, images_sha256: str) -> EpochShard | None:
    """The copy of exactly these images; None if it is missing or damaged."""
    try:
        arrays, header = read_tensors(path, mapped=True)
    except (FileNotFoundError, ValueError):
        return None

    kinds = {"images": kind_of_inputs(arrays.get("images")), "labels": (np.int64, "n")}
    if header.get("images_sha256") != images_sha256 or not fits(arrays, kinds):
        return None

    return EpochShard(arrays["images"], arrays["labels"], images_sha256)
