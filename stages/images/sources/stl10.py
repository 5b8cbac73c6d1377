"""STL-10: 96 px, 5,000 training and 8,000 test images, and 100,000 without labels.

Names, addresses and checksums are torchvision's. The files are read here: torchvision holds an
unpacked part in memory, and compares the checksum of all 3 GB before each.
"""

from __future__ import annotations

import contextlib
import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from stages.images.pictures import PictureRule
from stages.images.sources.archives import obtain, one_error
from stages.images.sources.arrays import all_squares
from stages.images.sources.labelled import Labelled, Source, data_folder
from stages.images.sources.pixels import PIECE_BYTES

CLASSES = tuple("airplane bird car cat deer dog horse monkey ship truck".split())
"""In the order of the labels, which are 1 to 10 in the files."""
_SIZE_PX = 96
_IMAGE = 3 * _SIZE_PX**2
_MOST = {"train": 5_000, "test": 8_000, "unlabeled": 100_000}


def stl10(path: str | Path, rule: PictureRule, download: bool = True) -> Source:
    """The labelled images of STL-10; every file that is read is compared with its checksum.

    Args:
        path: folder with stl10_binary/ or stl10_binary.tar.gz, or stl10_binary/ itself; a relative
            path starts at the environment's MIMICNETS_DATA, if set.
        rule: size and fit of the images.
        download: fetch the archive (2.6 GB) into `path` if nothing is there, unless the environment
            has MIMICNETS_OFFLINE=1.

    Raises:
        FileNotFoundError: the data are absent and may not be, or could not be, downloaded.
        ValueError: an archive or file differs from the published one, or the rule is exact and
            another size.
    """
    folder = _unpacked_or_archive(path, download)
    parts = {part: _labelled(folder, part, rule) for part in ("train", "test")}
    size = f"{_SIZE_PX} x {_SIZE_PX}"
    sizes = {size: sum(map(len, parts.values()))}
    return Source(parts["train"], parts["test"], CLASSES, sizes=sizes)


def stl10_unlabelled(path: str | Path, rule: PictureRule, download: bool = True) -> np.ndarray:
    """The 100,000 images without labels, uint8 (n, size_px, size_px, 3); as of `stl10`."""
    folder = _unpacked_or_archive(path, download)
    return _images(folder, "unlabeled", rule)


def _unpacked_or_archive(path: str | Path, download: bool) -> Path:
    """The folder with the files, or else the archive, which has been verified."""
    from torchvision.datasets import STL10

    root = data_folder(path)
    for place in (root, root / STL10.base_folder):
        if (place / "train_X.bin").is_file():
            return place

    archive = root / STL10.filename
    obtain(archive, STL10.url, STL10.tgz_md5, download)
    return archive


def _labelled(folder: Path, part: str, rule: PictureRule) -> Labelled:
    """Images and labels of a part."""
    images = _images(folder, part, rule)
    name = f"{part}_y.bin"
    with _opened(folder, name) as stream:
        data = stream.read(_MOST[part] + 1)
    _compare(folder, name, hashlib.md5(data).hexdigest())

    labels = np.frombuffer(data, np.uint8).astype(np.int64) - 1
    return Labelled(images, labels)


def _images(folder: Path, part: str, rule: PictureRule) -> np.ndarray:
    """The images of a part, a piece at a time."""
    name = f"{part}_X.bin"
    if not folder.is_dir():
        return all_squares(_MOST[part], _pieces(folder, name), f"{folder}, {name}", rule)

    file = folder / name
    size = file.stat().st_size if file.is_file() else 0
    if not size or size % _IMAGE or size > _MOST[part] * _IMAGE:
        raise ValueError(
            f"{file}: {size:,} bytes, wanted {_MOST[part] * _IMAGE:,}: unpack the archive again, or "
            "change prepare.path"
        )
    return all_squares(size // _IMAGE, _pieces(folder, name), str(file), rule)


def _pieces(folder: Path, name: str) -> Iterator[np.ndarray]:
    """Images uint8 (n, 96, 96, 3); an error behind the last one if the checksum is another."""
    digest = hashlib.md5()
    with _opened(folder, name) as stream:
        while data := stream.read(max(1, PIECE_BYTES // _IMAGE) * _IMAGE):
            digest.update(data)
            planes = np.frombuffer(data, np.uint8).reshape(-1, 3, _SIZE_PX, _SIZE_PX)
            yield planes.transpose(0, 3, 2, 1)  # stored column by column

    _compare(folder, name, digest.hexdigest())


@contextlib.contextmanager
def _opened(folder: Path, name: str) -> Iterator[IO[bytes]]:
    """A file of the folder, or a member of the archive, which is not unpacked to the disk."""
    from torchvision.datasets import STL10

    with one_error(folder / name if folder.is_dir() else folder):
        if folder.is_dir():
            with (folder / name).open("rb") as stream:
                yield stream
            return

        with tarfile.open(folder, "r|gz") as packed:
            for member in packed:
                if member.name == f"{STL10.base_folder}/{name}" and member.isreg():
                    found = packed.extractfile(member)
                    assert found is not None
                    yield found
                    return
        raise OSError(f"no {STL10.base_folder}/{name} in it")


def _compare(folder: Path, name: str, digest: str) -> None:
    """Refuse a file with another checksum."""
    from torchvision.datasets import STL10

    wanted = dict([*STL10.train_list, *STL10.test_list])[name]
    if digest != wanted:
        raise ValueError(
            f"{folder / name}: corrupt, md5 {digest}, wanted {wanted}: unpack the archive again, or "
            "change prepare.path"
        )
