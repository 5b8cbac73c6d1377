"""Which reader reads which source; used by the stage prepare."""

from __future__ import annotations

from pathlib import Path

from stages.images.pictures import PictureRule
from stages.images.sources import (
    archives,
    digits,
    folder,
    house_numbers,
    idx,
    images_npz,
    parquet,
    speech,
    stl10,
    vectors,
    webdataset,
)
from stages.images.sources.columns import Columns
from stages.images.sources.labelled import Source
from stages.settings.prepare import Prepare


def load(settings: Prepare, path: Path, seed: int) -> Source:
    """The source that is set, each part in its own order.

    Args:
        settings: the section `prepare`.
        path: where the files of `prepare.path` are.
        seed: of the images that are made, by cluttered-digits.

    Raises:
        FileNotFoundError: files are absent.
        ValueError: they are not usable.
    """
    if settings.shape is not None:
        return _vectors(settings, path, settings.shape)

    match settings.source:
        case "cluttered-digits":
            return digits.cluttered_digits(seed, *settings.made)
        case "cifar10":
            return archives.cifar10(path)
        case "cifar100":
            return archives.cifar100(path)
        case "cifar100-coarse":
            return archives.cifar100(path, "coarse")
        case "svhn":
            return archives.svhn(path)
        case "svhn-extra":
            return archives.svhn(path, True)

    assert settings.size_px is not None  # refused where the settings are read
    return _pictures(settings, path, PictureRule(settings.size_px, settings.fit))


def _vectors(settings: Prepare, path: Path, shape: tuple[int, ...]) -> Source:
    """A source of vectors."""
    if settings.source == "speech":
        return speech.speech(path, shape)
    return vectors.vectors(path, shape, settings.group)


def _pictures(settings: Prepare, path: Path, rule: PictureRule) -> Source:
    """A source of pictures of any size."""
    columns = Columns(settings.image_column, settings.label_column, settings.group)
    match settings.source:
        case "parquet":
            return parquet.parquet(path, rule, columns)
        case "image-folder":
            return folder.image_folder(path, rule, columns)
        case "npz":
            return images_npz.images_npz(path, rule, settings.group)
        case "idx":
            return idx.idx(path, rule)
        case "svhn-full":
            return house_numbers.house_numbers(path, rule)
        case "svhn-full-extra":
            return house_numbers.house_numbers(path, rule, True)
        case "stl10":
            return stl10.stl10(path, rule)
        case "webdataset":
            return webdataset.webdataset(path, rule, settings.group)

    raise AssertionError(settings.source)  # refused where the settings are read
