"""Labelled images, and the checks that all sources share.

Every source gives a `Source`, each part in the source's own order.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

CLASSES = {
    "cluttered-digits": 10,
    "cifar10": 10,
    "cifar100": 100,
    "cifar100-coarse": 20,
    "svhn": 10,
    "svhn-extra": 10,
    "svhn-full": 10,
    "svhn-full-extra": 10,
    "stl10": 10,
}
"""Classes of the sources that always have the same; of the others only their files tell."""
FEWEST_CLASSES = 2
MOST_CLASSES = 2**16
"""Labels are stored in 16 bits at most."""
DIGITS = ("cluttered-digits", "svhn", "svhn-extra", "svhn-full", "svhn-full-extra")
"""Sources whose images the mirror must leave alone: a mirrored digit is another digit, or none."""


@dataclass(frozen=True)
class Labelled:
    """Images or vectors, and their labels.

    Attributes:
        images: uint8 (n, s, s, 3), 0..255, or vectors (n, ...) of one to three axes: float32, or
            float64 where float32 would lose something before `prepare` takes the mean off.
        labels: int64 (n,) from 0.
        groups: str (n,), what must not be divided between parts, as a patient or a speaker; None
            where nothing is known of it.

    Raises:
        ValueError: a shape or a type is another, or a label is negative.
    """

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = self.images.shape
        square = len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3
        vectors = self.images.dtype in (np.float32, np.float64) and 2 <= len(shape) <= 4
        if not vectors and (self.images.dtype != np.uint8 or not square):
            raise ValueError(
                f"images are {self.images.dtype} {shape}, allowed is uint8 (n, s, s, 3), "
                "or vectors float32 or float64 (n, ...) of one to three axes"
            )

        if self.labels.dtype != np.int64 or self.labels.shape != shape[:1]:
            raise ValueError(
                f"labels are {self.labels.dtype} {self.labels.shape}, allowed is int64 {shape[:1]}"
            )
        if len(self.labels) and self.labels.min() < 0:
            raise ValueError(f"a label is {self.labels.min()}, allowed are integers >= 0")
        if self.groups is not None and self.groups.shape != shape[:1]:
            raise ValueError(f"groups are {self.groups.shape}, allowed is {shape[:1]}")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, places: slice | np.ndarray) -> Labelled:
        """Those at `places`."""
        groups = None if self.groups is None else self.groups[places]
        return Labelled(self.images[places], self.labels[places], groups)


@dataclass(frozen=True)
class Source:
    """What a source holds, each part in its own order.

    Attributes:
        train: what nets may be trained on; parts that the source lacks are cut from it.
        test: its own test part; None if it has none.
        classes: their names, in the order of the labels.
        validation: its own validation part; None if it has none.
        sizes: "width x height" in pixels -> number of pictures that have it, where files are read.
        notes: what the reader passed over, one line each.
    """

    train: Labelled
    test: Labelled | None
    classes: tuple[str, ...]
    validation: Labelled | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, Labelled]:
        """Those that are there, by name."""
        every = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in every.items() if part is not None}


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
