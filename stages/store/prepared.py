"""The prepared data set, data/prepared: three splits of images or vectors, and their manifest.

Splits are read as memory maps: their images are read-only, and take memory only where they are
used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from stages.settings.inputs import Inputs
from stages.settings.read import strict
from stages.store.manifest import read_manifest_as, write_manifest
from stages.store.pieces import Array, Pieces
from stages.store.tensors import fits, kind_of_inputs, read_tensors, write_tensors

SPLITS = ("train", "validation", "test")
BESIDE = "unlabelled"
"""Folder beside that of the data set, for images without labels: teachers do not depend on it."""
TRANSFER = "transfer"
"""The originals of the transfer set, where some have no label; else those of train are."""
UNLABELLED = -1
"""The label of an image that has none."""


@strict
class PreparedManifest:
    """The manifest of data/prepared.

    Attributes:
        classes: their names, in the order of the labels.
        source: where the data are from, `prepare.source`.
        size_px: side of the images; None for vectors.
        images: split -> number of its images.
        shape: of the vectors; None for images.
        fit: how pictures of another size became squares, see `images.pictures`; None for vectors.
    """

    classes: tuple[str, ...]
    source: str
    size_px: int | None
    images: dict[str, int]
    shape: tuple[int, ...] | None = None
    fit: Literal["exact", "crop", "pad", "stretch"] | None = None

    @property
    def inputs(self) -> Inputs:
        """What the nets see."""
        return Inputs(self.size_px, self.shape)

    @classmethod
    def read(cls, folder: Path) -> PreparedManifest:
        """The manifest of `folder`.

        Raises:
            FileNotFoundError: the folder or its manifest is missing.
            ValueError: it is another manifest.
        """
        return read_manifest_as(cls, folder)


@strict
class UnlabelledManifest:
    """The manifest of data/unlabelled: number of its images."""

    images: int


def write_split(
    folder: Path, split: str, images: Array, labels: np.ndarray, header: dict[str, Any]
) -> str:
    """Write one split; returns its digest.

    Args:
        images: uint8 (n, s, s, 3), or vectors float32 (n, ...). They may be a memory map, or made
            while they are written: they go to the file in pieces.
        labels: uint8 or uint16 (n,).
        header: `classes` and whatever else is known of the data.
    """
    return write_tensors(
        folder / f"{split}.safetensors", {"images": images, "labels": labels}, header
    )


def write_unlabelled(
    folder: Path, train: np.ndarray, labels: np.ndarray, unlabelled: np.ndarray | None
) -> None:
    """Write data/unlabelled: the originals of the transfer set, where some have no label.

    Args:
        folder: empty.
        train: training images uint8 (n, s, s, 3).
        labels: theirs, uint8 or uint16 (n,).
        unlabelled: images without labels, uint8 (m, s, s, 3); they follow the others. None: nothing
            but a manifest that says so is written.
    """
    if unlabelled is not None:
        count = len(train) + len(unlabelled)
        images = Pieces((count, *train.shape[1:]), train.dtype, (train, unlabelled))
        filled = np.concatenate([labels, np.zeros(len(unlabelled), labels.dtype)])
        write_tensors(
            folder / f"{TRANSFER}.safetensors",
            {"images": images, "labels": filled},
            {"classes": [], "labelled": len(train)},
        )

    write_manifest(folder, {"images": 0 if unlabelled is None else len(unlabelled)})


def data_folders(prepared: Path) -> list[Path]:
    """The folder of the data set, and that of images without labels where it is there."""
    beside = prepared.with_name(BESIDE)
    return [prepared, beside] if beside.is_dir() else [prepared]


def unlabelled_count(prepared: Path) -> int:
    """Number of the images without labels that belong to the data set in `prepared`.

    Raises:
        ValueError: their manifest is another one.
    """
    folder = prepared.with_name(BESIDE)
    return read_manifest_as(UnlabelledManifest, folder).images if folder.is_dir() else 0


def read_transfer(prepared: Path) -> tuple[np.ndarray, np.ndarray]:
    """Originals of the transfer set: the training images, and after them those without labels.

    Args:
        prepared: folder of the data set; those without labels lie beside it.

    Returns:
        images uint8 (n, s, s, 3) or vectors float32 (n, ...), read-only, and labels int64 (n,), -1
        where there is none.

    Raises:
        FileNotFoundError: the files are missing.
        ValueError: they are damaged, or hold something else.
    """
    if not unlabelled_count(prepared):
        return read_train(prepared)[:2]

    folder = prepared.with_name(BESIDE)
    images, labels, header = _read(folder, TRANSFER)
    labelled = header.get("labelled")
    if not isinstance(labelled, int) or not 0 < labelled < len(labels):
        raise ValueError(
            f"{folder / TRANSFER}.safetensors does not say how many images have labels: run 'dvc repro "
            "--force prepare'"
        )

    labels[labelled:] = UNLABELLED
    return images, labels


def read_train(folder: Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Training images, labels and header.

    Returns:
        images uint8 (n, s, s, 3) or vectors float32 (n, ...), read-only, labels int64 (n,), and the
        header with `classes`, the names of the classes.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged, or holds something else.
    """
    return _read(folder, "train")


def read_validation(folder: Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Validation images, labels and header; the only data that any selection sees."""
    return _read(folder, "validation")


def read_test(folder: Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Test images, labels and header. The only function that opens the test set.

    Called after every choice has been made, to report; never to choose (Urban et al. 2017, section
    2.5).
    """
    return _read(folder, "test")


def _read(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    path = folder / f"{split}.safetensors"
    arrays, header = read_tensors(path, mapped=True)

    labels = np.uint16 if "labels" in arrays and arrays["labels"].dtype == np.uint16 else np.uint8
    kinds = {"images": kind_of_inputs(arrays.get("images")), "labels": (labels, "n")}

    if not fits(arrays, kinds) or not isinstance(header.get("classes"), list):
        raise ValueError(f"{path} holds no prepared images: run 'dvc repro prepare'")

    return arrays["images"], arrays["labels"].astype(np.int64), header
