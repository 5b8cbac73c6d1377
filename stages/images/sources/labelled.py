"""Labelled images, and the checks that all sources share.

Every source gives (training images, test images, class names), each set in the source's own order.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CLASSES = {"cluttered-digits": 10, "cifar10": 10, "cifar100": 100, "svhn": 10}
"""Classes of the sources that always have the same; of the others only their files tell."""
FEWEST_CLASSES = 2
MOST_CLASSES = 2**16
"""Labels are stored in 16 bits at most."""
DIGITS = ("cluttered-digits", "svhn")
"""Sources whose images the mirror must leave alone: a mirrored digit is another digit, or none."""


@dataclass(frozen=True)
class Labelled:
    """Images or vectors, and their labels.

    Attributes:
        images: uint8 (n, s, s, 3), 0..255, or vectors float32 (n, ...) of one to three axes.
        labels: int64 (n,) from 0.

    Raises:
        ValueError: a shape or a type is another, or a label is negative.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        shape = self.images.shape
        square = len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3
        vectors = self.images.dtype == np.float32 and 2 <= len(shape) <= 4
        if not vectors and (self.images.dtype != np.uint8 or not square):
            raise ValueError(
                f"images are {self.images.dtype} {shape}, allowed is uint8 (n, s, s, 3), "
                "or vectors float32 (n, ...)"
            )

        if self.labels.dtype != np.int64 or self.labels.shape != shape[:1]:
            raise ValueError(
                f"labels are {self.labels.dtype} {self.labels.shape}, allowed is int64 {shape[:1]}"
            )
        if len(self.labels) and self.labels.min() < 0:
            raise ValueError(f"a label is {self.labels.min()}, allowed are integers >= 0")


Source = tuple[Labelled, Labelled, tuple[str, ...]]
"""Training images, test images, class names."""


def data_folder(path: str | Path) -> Path:
    """The folder `path`; a relative one starts at the environment's MIMICNETS_DATA, if set."""
    return Path(os.environ.get("MIMICNETS_DATA", ".")) / Path(path).expanduser()


def existing_folder(path: str | Path, holds: str) -> Path:
    """`data_folder(path)`, which must exist; `holds` says what it should contain.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = data_folder(path)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no folder {folder}, wanted one with {holds}: "
            "change prepare.path, or set MIMICNETS_DATA to the folder that it starts from"
        )
    return folder
