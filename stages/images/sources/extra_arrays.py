"""Further test sets in NumPy files: CIFAR-10-C and CIFAR-10.1.

They are mapped into memory and read block by block, since those of CIFAR-10-C have 2.9 GB, and never
unpickled.
"""

from __future__ import annotations

import tokenize
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stages.images.sources.classes import FileLabels
from stages.images.sources.extra_labels import matched
from stages.images.sources.extra_sets import ExtraPart, ExtraSet
from stages.images.sources.files import visible

SEVERITIES = 5
"""Blocks of a file of CIFAR-10-C: severity 1 of all images, then 2, and so on."""
LABELS = "labels.npy"
DATA_END = "_data.npy"
LABELS_END = "_labels.npy"
NOT_NPY = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,
    OverflowError,
    RecursionError,
    SyntaxError,
    TypeError,
    tokenize.TokenError,
)
"""What numpy raises for a file that is damaged or something else."""


def corrupted(name: str, folder: Path, classes: tuple[str, ...], size_px: int) -> ExtraSet:
    """A set in the layout of CIFAR-10-C (Hendrycks and Dietterich 2019)."""
    labels = _labels(folder / LABELS, classes)
    each = len(labels) // SEVERITIES
    blocks = labels[: each * SEVERITIES].reshape(SEVERITIES, each)
    if each * SEVERITIES != len(labels) or not each or (blocks != blocks[0]).any():
        raise ValueError(
            f"{folder / LABELS}: {len(labels):,} labels, wanted are those of the same images "
            f"{SEVERITIES} times, once for each severity: download it again"
        )

    files = [path for path in npy_files(folder) if path.name != LABELS]
    if not files:
        raise ValueError(f"{folder} holds {LABELS} and no CORRUPTION.npy: complete the folder")

    parts = []
    for file in files:
        _images(file, len(labels), size_px)  # refuses it now, and not after hours
        parts.append(ExtraPart(file.stem, _opener(file, len(labels), size_px)))

    return ExtraSet(name, labels, SEVERITIES, tuple(parts))


def versions(name: str, folder: Path, classes: tuple[str, ...], size_px: int) -> list[ExtraSet]:
    """Sets in the layout of CIFAR-10.1 (Recht et al. 2018): a version a pair of files."""
    sets = []
    stems = [path.name.removesuffix(DATA_END) for path in npy_files(folder, DATA_END)]

    for stem in stems:
        data = folder / f"{stem}{DATA_END}"
        beside = folder / f"{stem}{LABELS_END}"
        if not beside.is_file():
            raise ValueError(f"{data} has no {beside.name} beside it: complete the folder")

        labels = _labels(beside, classes)
        _images(data, len(labels), size_px)
        version = name if len(stems) == 1 else f"{name}-{stem.rpartition('_')[2]}"
        part = ExtraPart("", _opener(data, len(labels), size_px))
        sets.append(ExtraSet(version, labels, 0, (part,)))

    return sets


def npy_files(folder: Path, end: str = ".npy") -> list[Path]:
    """The files of a folder whose names end so, sorted; hidden ones, as `._fog.npy`, are none."""
    return [path for path in sorted(visible(folder)) if path.name.endswith(end)]


def _opener(file: Path, count: int, size_px: int) -> Callable[[], np.ndarray]:
    return lambda: _images(file, count, size_px)


def _images(file: Path, count: int, size_px: int) -> np.ndarray:
    """A map of the images of a file, uint8 (count, s, s, 3)."""
    images = _mapped(file)
    wanted = (count, size_px, size_px, 3)
    if images.dtype != np.uint8 or images.shape != wanted:
        raise ValueError(
            f"{file} holds {images.dtype} {images.shape}, wanted is uint8 {wanted}: an image for each "
            f"label, {size_px} px as the training images"
        )
    return images


def _labels(file: Path, classes: tuple[str, ...]) -> np.ndarray:
    """The labels of a file, int64 (n,), numbers of the training classes."""
    labels = _mapped(file)
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or not len(labels):
        raise ValueError(f"{file} holds {labels.dtype} {labels.shape}, wanted are integers (n,)")
    return matched([FileLabels(str(file), np.array(labels), None)], classes)[0]


def _mapped(file: Path) -> np.ndarray:
    """The array of a .npy file, as a map of it that can only be read."""
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except NOT_NPY as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{file}: not a readable .npy file ({reason}): download it again"
        ) from error

    if not isinstance(array, np.ndarray):
        raise ValueError(f"{file}: an archive of arrays, wanted is one array: download it again")
    return array
