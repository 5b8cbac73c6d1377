"""The prepared data set, data/prepared: three splits of images or vectors, and their manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stages.settings.inputs import Inputs
from stages.settings.read import strict
from stages.store.manifest import read_manifest_as
from stages.store.tensors import fits, kind_of_inputs, read_tensors, write_tensors

SPLITS = ("train", "validation", "test")


@strict
class PreparedManifest:
    """The manifest of data/prepared.

    Attributes:
        classes: their names, in the order of the labels.
        source: where the data are from, `prepare.source`.
        size_px: side of the images; None for vectors.
        images: split -> number of its images.
        shape: of the vectors; None for images.
    """

    classes: tuple[str, ...]
    source: str
    size_px: int | None
    images: dict[str, int]
    shape: tuple[int, ...] | None = None

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


def write_split(
    folder: Path, split: str, images: np.ndarray, labels: np.ndarray, header: dict[str, Any]
) -> str:
    """Write one split; returns its digest.

    Args:
        images: uint8 (n, s, s, 3), or vectors float32 (n, ...).
        labels: uint8 or uint16 (n,).
        header: `classes` and whatever else is known of the data.
    """
    return write_tensors(
        folder / f"{split}.safetensors", {"images": images, "labels": labels}, header
    )


def read_train(folder: Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Training images, labels and header.

    Returns:
        images uint8 (n, s, s, 3) or vectors float32 (n, ...), labels int64 (n,), and the header
        with `classes`, the names of the classes.

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
    arrays, header = read_tensors(path)

    labels = np.uint16 if "labels" in arrays and arrays["labels"].dtype == np.uint16 else np.uint8
    kinds = {"images": kind_of_inputs(arrays.get("images")), "labels": (labels, "n")}

    if not fits(arrays, kinds) or not isinstance(header.get("classes"), list):
        raise ValueError(f"{path} holds no prepared images: run 'dvc repro prepare'")

    return arrays["images"], arrays["labels"].astype(np.int64), header
