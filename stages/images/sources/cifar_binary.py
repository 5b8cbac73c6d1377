"""CIFAR-10 and CIFAR-100 in their binary version: a byte or two of labels, then 3,072 of an image.

The page of CIFAR has checksums of the archives alone, so what is checked of the files is their size
and their labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.images.sources.labelled import Labelled, Source

_IMAGE = 3 * 32 * 32
_MOST_NAMES = 1 << 14
"""Bytes of a list of names."""


@dataclass(frozen=True)
class BinaryCifar:
    """One of the two.

    Attributes:
        folder: that its archive unpacks into.
        train, test: file -> number of images in it.
        labels: what the bytes before an image are.
        names: kind of label -> file with the names, and their number.
    """

    folder: str
    train: dict[str, int]
    test: dict[str, int]
    labels: tuple[str, ...]
    names: dict[str, tuple[str, int]]


CIFAR10 = BinaryCifar(
    folder="cifar-10-batches-bin",
    train={f"data_batch_{i}.bin": 10_000 for i in range(1, 6)},
    test={"test_batch.bin": 10_000},
    labels=("fine",),
    names={"fine": ("batches.meta.txt", 10)},
)
CIFAR100 = BinaryCifar(
    folder="cifar-100-binary",
    train={"train.bin": 50_000},
    test={"test.bin": 10_000},
    labels=("coarse", "fine"),
    names={"fine": ("fine_label_names.txt", 100), "coarse": ("coarse_label_names.txt", 20)},
)


def binary_folder(folder: Path, kind: BinaryCifar) -> Path | None:
    """Where the binary version lies: in `folder`, or in its usual folder inside; None if nowhere."""
    for place in (folder, folder / kind.folder):
        if (place / kind.names["fine"][0]).is_file() and (place / next(iter(kind.train))).is_file():
            return place
    return None


def read_binary(folder: Path, kind: BinaryCifar, labels: str = "fine") -> Source:
    """Training and test images in the order of the files, and the names of the classes.

    Args:
        folder: with the files.
        kind: which of the two.
        labels: "fine", or of CIFAR-100 "coarse".

    Raises:
        ValueError: a file is missing, has another size, or a label that has no name.
    """
    file, count = kind.names[labels]
    classes = _names(folder / file, count)
    train = _part(folder, kind, kind.train, labels, count)
    test = _part(folder, kind, kind.test, labels, count)
    return Source(train, test, classes)


def _part(
    folder: Path, kind: BinaryCifar, files: dict[str, int], labels: str, classes: int
) -> Labelled:
    """The images of several files."""
    each = len(kind.labels) + _IMAGE
    rows = []
    for name, count in files.items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else 0
        if size != count * each:
            raise ValueError(
                f"{path}: {size:,} bytes, wanted {count * each:,} ({count:,} images of {each:,} "
                f"bytes): unpack {folder.name} again, or change prepare.path"
            )

        found = np.fromfile(path, np.uint8).reshape(count, each)
        of_class = found[:, kind.labels.index(labels)]
        bad = np.flatnonzero(of_class >= classes)
        if len(bad):
            raise ValueError(
                f"{path}: image {bad[0]} has label {of_class[bad[0]]}, allowed are 0 to "
                f"{classes - 1}: unpack {folder.name} again, or change prepare.path"
            )
        rows.append(found)

    whole = np.concatenate(rows)
    planes = whole[:, len(kind.labels) :].reshape(-1, 3, 32, 32)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    return Labelled(images, whole[:, kind.labels.index(labels)].astype(np.int64))


def _names(path: Path, count: int) -> tuple[str, ...]:
    """The names of the classes, a line each."""
    try:
        with path.open(encoding="ascii") as file:
            names = tuple(line.strip() for line in file.read(_MOST_NAMES).splitlines())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: not a list of names ({error}): unpack the folder again"
        ) from error

    names = tuple(filter(None, names))
    if len(names) != count:
        raise ValueError(f"{path}: {len(names)} names, wanted {count}: unpack the folder again")
    return names
