"""The transfer set on disk: one file of images and one of logits per epoch (sections 2.5 and 2.7).

An image shard holds, in the order of presentation: `images` uint8 (n, s, s, 3), `index` int32 (n,),
`labels` uint16 (n,), `draws` uint16 (n, 9). Where the data are vectors, `images` are these, float32
(n, ...). With `store: draws` it lacks `images`. Its header carries `images_sha256`, the hash of the
image bytes. A logits shard holds `logits` float32 (n, classes) and the same `images_sha256`: a pair
that does not match is refused, so one view's logits can never be given to another view.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stages.store.atomic import alone
from stages.store.pieces import Array, pieces_of
from stages.store.tensors import (
    fits,
    kind_of_inputs,
    read_header,
    read_header_and_digest,
    read_tensors,
    write_tensors,
)


def shard_path(folder: Path, epoch: int) -> Path:
    """The file of one epoch, counted from 0."""
    return folder / f"epoch-{epoch:03d}.safetensors"


def images_hash(images: Array) -> str:
    """sha256 of the bytes of `images` uint8 (n, s, s, 3), or of vectors float32 (n, ...)."""
    state = hashlib.sha256()
    for piece in pieces_of("images", images):
        state.update(piece.data)
    return state.hexdigest()


def image_shard_bytes(images: int, each: int, keep_images: bool) -> int:
    """Bytes of one image shard, without its header of less than a thousand.

    Args:
        each: bytes of one image.
    """
    return images * ((each if keep_images else 0) + 4 + 2 + 2 * 9)


def logits_shard_bytes(images: int, classes: int) -> int:
    """Bytes of one logits shard, without its header."""
    return images * classes * 4


def write_images(
    folder: Path,
    epoch: int,
    *,
    images: Array,
    index: np.ndarray,
    labels: np.ndarray,
    draws: np.ndarray,
    keep_images: bool,
) -> None:
    """Write the image shard of one epoch; `keep_images=False` leaves the pixels out.

    Images may be made while they are written. Of those without a label, whose label is -1, the header
    says so: they are the originals from number `labelled` on.
    """
    without = labels < 0
    some = {"labelled": int(index[without].min())} if without.any() else {}
    arrays: dict[str, Array] = {
        "index": index.astype(np.int32),
        "labels": np.where(without, 0, labels).astype(np.uint16),
        "draws": draws,
    }
    header: dict[str, Any] = {"epoch": epoch, "shape": list(images.shape), **some}
    path = shard_path(folder, epoch)

    if keep_images:
        write_tensors(path, {**arrays, "images": images}, header, {"images_sha256": "images"})
    else:
        write_tensors(path, arrays, {**header, "images_sha256": images_hash(images)})


def write_logits(folder: Path, epoch: int, logits: np.ndarray, images_sha256: str) -> None:
    """Write the logits float32 (n, classes) of exactly the images with that hash."""
    write_tensors(
        shard_path(folder, epoch),
        {"logits": logits},
        {"epoch": epoch, "images_sha256": images_sha256},
    )


def first_members(folder: Path, count: int) -> Path:
    """Folder of the logits of the first `count` members, inside that of the whole ensemble's."""
    return folder / f"first-{count:02d}"


def read_images(folder: Path, epoch: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and header of one image shard, checked against its checksum; a memory map, read-only.

    Raises:
        FileNotFoundError: no such shard.
        ValueError: the file is damaged, is not an image shard, or holds another epoch.
    """
    arrays, header = read_tensors(shard_path(folder, epoch), mapped=True)
    _check_epoch(folder, epoch, header)

    kinds = {"index": (np.int32, "n"), "labels": (np.uint16, "n"), "draws": (np.uint16, ("n", 9))}
    if "images" in arrays:
        kinds["images"] = kind_of_inputs(arrays["images"])

    if not fits(arrays, kinds):
        raise ValueError(
            f"{shard_path(folder, epoch)} holds no image shard: run 'dvc repro augment'"
        )

    return arrays, header


def images_digests(folder: Path, epoch: int) -> tuple[str, str]:
    """Digests of an image shard's arrays and of its images, from its header alone.

    Raises:
        FileNotFoundError: no such shard.
        ValueError: the header is damaged, or of another epoch.
    """
    header, arrays = read_header_and_digest(shard_path(folder, epoch))
    _check_epoch(folder, epoch, header)
    return arrays, str(header["images_sha256"])


def read_logits(folder: Path, epoch: int, images_sha256: str) -> np.ndarray:
    """Logits float32 (n, classes) of the image shard whose image hash is `images_sha256`.

    A memory map, read-only.

    Raises:
        ValueError: the file is damaged, or its logits belong to other images.
    """
    arrays, header = read_tensors(shard_path(folder, epoch), mapped=True)
    _check_pair(folder, epoch, header, images_sha256)

    if not fits(arrays, {"logits": (np.float32, ("n", "classes"))}):
        raise ValueError(f"{shard_path(folder, epoch)} holds no logits: run 'dvc repro label'")

    return arrays["logits"]


def read_or_make(
    folder: Path, epoch: int, images_sha256: str, make: Callable[[], np.ndarray]
) -> np.ndarray:
    """Logits of the images with that hash, made and stored where no process has done so before.

    One process at a time makes those of an epoch; others wait for it.
    """
    with alone(shard_path(folder, epoch)):
        try:
            return read_logits(folder, epoch, images_sha256)
        except (FileNotFoundError, ValueError):
            values = make()
            write_logits(folder, epoch, values, images_sha256)
            return values


def check_pairs(images: Path, logits: Path, epochs: int) -> None:
    """Every logits shard belongs to its image shard; reads headers only.

    Raises:
        FileNotFoundError: an epoch is missing.
        ValueError: a pair does not match.
    """
    for epoch in range(epochs):
        header = read_header(shard_path(images, epoch))
        _check_epoch(images, epoch, header)

        labelled = read_header(shard_path(logits, epoch))
        _check_pair(logits, epoch, labelled, header["images_sha256"])


def _check_epoch(folder: Path, epoch: int, header: dict[str, Any]) -> None:
    if header.get("epoch") != epoch or "images_sha256" not in header:
        raise ValueError(
            f"{shard_path(folder, epoch)} holds epoch {header.get('epoch')} of the transfer set, "
            f"needed is {epoch}: run 'dvc repro augment'"
        )


def _check_pair(folder: Path, epoch: int, header: dict[str, Any], images_sha256: str) -> None:
    if header.get("images_sha256") != images_sha256:
        raise ValueError(
            f"{shard_path(folder, epoch)} holds the logits of other images "
            f"(epoch {header.get('epoch')}): run 'dvc repro label'"
        )
