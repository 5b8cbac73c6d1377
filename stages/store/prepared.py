"""The prepared data set: data/prepared, written by prepare, read by every door that needs
images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stages.store.tensors import fits, kind_of_inputs, read_tensors, write_tensors

SPLITS = ("train", "validation", "test")


def write_split(
    folder: Path, split: str, images: np.ndarray, labels: np.ndarray, header: dict[str, Any]
) -> str:
    """Write one split; returns its digest.

    Args:
        images: uint8 (n, s, s, 3), or vectors float32 (n, ...).
        labels: uint8 or uint16 (n,).
    """
    return write_tensors(
        folder / f"{split}.safetensors", {"images": images, "labels": labels}, header
    )


def _read(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    arrays, header = read_tensors(folder / f"{split}.safetensors")
    labels = np.uint16 if "labels" in arrays and arrays["labels"].dtype == np.uint16 else np.uint8
    known = fits(arrays, {"images": kind_of_inputs(arrays.get("images")), "labels": (labels, "n")})
    if not known or not isinstance(header.get("classes"), list):
        raise ValueError(
            f"{folder / f'{split}.safetensors'} holds no prepared images: run 'dvc repro prepare'"
        )
    return arrays["images"], arrays["labels"].astype(np.int64), header


def read_train(folder: Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Training images uint8 (n, s, s, 3) or vectors float32 (n, ...), labels int64 (n,), header
    (`classes`, ...).
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
