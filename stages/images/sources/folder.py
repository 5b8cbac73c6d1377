"""A folder of image files, one folder per class."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from stages.images.sources.decode import check_file_bytes, check_total, decode
from stages.images.sources.labelled import Labelled, Source, existing_folder

_SUFFIXES = (".png", ".jpg", ".jpeg")


def image_folder(path: str | Path, size_px: int | None = None) -> Source:
    """Images of `path`/train/<class>/ and `path`/test/<class>/, PNG or JPEG.

    The classes are the folders of train, sorted. Images are ordered by the sha256 of their path
    below train or test, which mixes the classes and does not depend on the file system. Names that
    start with a dot are skipped; any file that is not an image is refused rather than ignored.

    Args:
        path: the folder.
        size_px: side of every image in pixels; None takes that of the first training image.

    Returns:
        Training images, test images, class names.

    Raises:
        FileNotFoundError: the folder, train or test is missing.
        ValueError: a class or an image is not usable; the message names it.
    """
    root = existing_folder(path, "train/<class>/*.png and test/<class>/*.png")
    classes = tuple(sorted(p.name for p in _visible(_part(root, "train"))))
    if not classes:
        raise ValueError(f"{root / 'train'}: no class folders, wanted train/<class>/*.png")

    train = _read(_part(root, "train"), classes, size_px)
    test = _read(_part(root, "test"), classes, train.images.shape[1])
    return train, test, classes


def _part(root: Path, name: str) -> Path:
    part = root / name
    if not part.is_dir():
        raise FileNotFoundError(f"no folder {part}, wanted one with <class>/*.png: create it")
    return part


def _visible(folder: Path) -> list[Path]:
    """What is in a folder, but for names that start with a dot."""
    return [p for p in folder.iterdir() if not p.name.startswith(".")]


def _read(part: Path, classes: tuple[str, ...], size_px: int | None) -> Labelled:
    """All images of train or test, with their labels."""
    files = _files(part, classes)
    images = np.empty((0, 0, 0, 3), dtype=np.uint8)

    for i, file in enumerate(files):
        check_file_bytes(file.stat().st_size, str(file))
        image = decode(file.read_bytes(), str(file), size_px)

        # allocated once and filled: a list of images and their stack would need twice the memory
        if i == 0:
            size_px = image.shape[0]
            check_total(len(files), size_px, str(part))
            images = np.empty((len(files), *image.shape), dtype=np.uint8)
        images[i] = image

    number = {name: i for i, name in enumerate(classes)}
    labels = np.array([number[file.parent.name] for file in files], dtype=np.int64)
    return Labelled(images, labels)


def _files(part: Path, classes: tuple[str, ...]) -> list[Path]:
    """Image files below `part` in the order of the hash of their relative path."""
    files = []
    for folder in _visible(part):
        if not folder.is_dir():
            raise ValueError(f"{folder}: a file, allowed are class folders here: move or remove it")
        if folder.name not in classes:
            raise ValueError(f"{folder}: class {folder.name} has no folder in train: add it there")
        inside = _visible(folder)
        if not inside:
            raise ValueError(f"{folder}: no images, wanted at least one: fill or remove the folder")
        files += inside

    for file in files:
        if file.suffix.lower() not in _SUFFIXES or not file.is_file():
            raise ValueError(
                f"{file}: not an image file, allowed are {', '.join(_SUFFIXES)}: move or remove it"
            )

    if not files:
        raise ValueError(f"{part}: no images, wanted <class>/*.png: fill it")

    def key(file: Path) -> bytes:
        return hashlib.sha256(file.relative_to(part).as_posix().encode()).digest()

    return sorted(files, key=key)
