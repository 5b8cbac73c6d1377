"""CIFAR-10, CIFAR-100 and SVHN in their published archives, and how an archive is obtained.

Reading is torchvision's, with its checksums. The CIFAR archives hold pickles, which can run code
when they are opened: nothing is opened before its checksum is verified.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.images.sources import cifar_binary
from stages.images.sources.cifar_binary import BinaryCifar, binary_folder, read_binary
from stages.images.sources.labelled import Labelled, Source, data_folder
from stages.images.sources.pixels import PIECE_BYTES, Pixels, pieces
from stages.images.sources.superclasses import SUPERCLASSES, superclass_of
from stages.store.maps import rows

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

# beside torchvision's md5, where the sha256 is known
_SHA256 = {
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
}

MIXED_BY = 0
"""Seed of the order in which svhn-extra has its training images."""


def cifar10(path: str | Path, download: bool = True) -> Source:
    """CIFAR-10: 50,000 training images in the order of data_batch_1..5, 10,000 test images.

    Args:
        path: folder with cifar-10-batches-py/, cifar-10-python.tar.gz or cifar-10-batches-bin/, or
            one of these folders; a relative path starts at the environment's MIMICNETS_DATA, if set.
        download: fetch an absent archive into `path`, unless the environment has
            MIMICNETS_OFFLINE=1.

    Raises:
        FileNotFoundError: the data are absent and may not be, or could not be, downloaded.
        ValueError: an archive or file differs from the published one.
    """
    from torchvision import datasets

    return _cifar(datasets.CIFAR10, path, download, cifar_binary.CIFAR10)


def cifar100(path: str | Path, labels: str | None = None, download: bool = True) -> Source:
    """CIFAR-100; as `cifar10`, folders cifar-100-python/ and cifar-100-binary/.

    Args:
        path, download: as of `cifar10`.
        labels: "fine" or None for its 100 classes, "coarse" for its 20 superclasses.
    """
    from torchvision import datasets

    if labels not in (None, "fine", "coarse"):
        raise ValueError(
            f"labels is {labels!r}, allowed are fine and coarse: set prepare.source to cifar100 or "
            "cifar100-coarse"
        )

    return _cifar(datasets.CIFAR100, path, download, cifar_binary.CIFAR100, labels or "fine")


def svhn(path: str | Path, extra: bool = False, download: bool = True) -> Source:
    """SVHN cropped digits: 73,257 training and 26,032 test images; label 0 is the digit 0.

    Args:
        path: folder with train_32x32.mat and test_32x32.mat; otherwise as of `cifar10`.
        extra: whether the 531,131 easier images of extra_32x32.mat (1.3 GB) are training images
            too. Then all are in one fixed order that mixes both, see `_mixed`, so that validation,
            which is cut from the end, is of both kinds as well.
        download: as of `cifar10`.
    """
    folder = data_folder(path)
    train = _svhn_part(folder, "train", download)
    test = _svhn_part(folder, "test", download)
    if extra:
        train = _mixed(train, _svhn_part(folder, "extra", download))
    return Source(train, test, tuple("0123456789"))


def _svhn_part(folder: Path, split: str, download: bool) -> Labelled:
    """One file of SVHN."""
    from torchvision import datasets

    url, name, md5 = datasets.SVHN.split_list[split]
    obtain(folder / name, url, md5, download)

    with one_error(folder / name):
        data = datasets.SVHN(folder, split=split, download=False)

    planes = data.data
    pixels = Pixels(len(planes), planes.shape[2], name)
    for piece in pieces(planes):
        pixels.put(piece.start, planes[piece].transpose(0, 2, 3, 1))
    return Labelled(pixels.whole(), data.labels.astype(np.int64))


def _mixed(first: Labelled, second: Labelled) -> Labelled:
    """Both in one order, which only their number decides.

    It is that of the numbers that PCG64 draws from the seed MIXED_BY; NumPy keeps these the same in
    all versions.
    """
    count = len(first) + len(second)
    order = np.argsort(np.random.PCG64(MIXED_BY).random_raw(count), kind="stable")
    labels = np.concatenate([first.labels, second.labels])

    pixels = Pixels(count, first.images.shape[1], "svhn-extra")
    step = max(1, PIECE_BYTES // pixels.each)
    for start in range(0, count, step):
        places = order[start : start + step]
        of_first = places < len(first)
        block = np.empty((len(places), *first.images.shape[1:]), np.uint8)
        block[of_first] = rows(first.images, places[of_first])
        block[~of_first] = rows(second.images, places[~of_first] - len(first))
        pixels.put(start, block)

    return Labelled(pixels.whole(), labels[order])


def _cifar(
    dataset: type[CIFAR10],
    path: str | Path,
    download: bool,
    binary: BinaryCifar | None = None,
    labels: str = "fine",
) -> Source:
    """One of the two CIFARs: unpacked, from its archive, or else from its binary version."""
    folder = data_folder(path)
    if (folder / dataset.base_folder).is_dir():
        return _labelled(_read_cifar(dataset, folder), labels)
    if (folder / dataset.train_list[0][0]).is_file():
        return _labelled(_read_unpacked(dataset, folder), labels)

    archive = folder / dataset.filename
    found = binary_folder(folder, binary) if binary and not archive.exists() else None
    if binary and found:
        return read_binary(found, binary, labels)

    obtain(archive, dataset.url, dataset.tgz_md5, download)

    # unpacked beside nothing of the user's, so that a kill leaves no half-written folder there
    with tempfile.TemporaryDirectory() as temporary:
        with one_error(archive), tarfile.open(archive) as packed:
            packed.extractall(temporary, filter="data")
        return _labelled(_read_cifar(dataset, Path(temporary)), labels)


def _read_unpacked(dataset: type[CIFAR10], place: Path) -> Source:
    """Read the folder `place`, whatever it is called."""
    whole = place.resolve()
    renamed = type(dataset.__name__, (dataset,), {"base_folder": whole.name})
    return _read_cifar(renamed, whole.parent)


def _read_cifar(dataset: type[CIFAR10], folder: Path) -> Source:
    """Read the unpacked archive; torchvision verifies all md5 sums before it unpickles."""
    with one_error(folder / dataset.base_folder):
        train = dataset(folder, train=True, download=False)
        test = dataset(folder, train=False, download=False)

    parts = [
        Labelled(np.ascontiguousarray(data.data), np.array(data.targets, dtype=np.int64))
        for data in (train, test)
    ]
    return Source(parts[0], parts[1], tuple(train.classes))


def _labelled(source: Source, labels: str) -> Source:
    """The source with its own labels, or with those of CIFAR-100's superclasses.

    Torchvision does not read the coarse labels; each is the superclass of the fine one.
    """
    if labels == "fine":
        return source

    coarse = superclass_of(source.classes)
    assert source.test is not None
    train, test = (
        Labelled(part.images, coarse[part.labels]) for part in (source.train, source.test)
    )
    return Source(train, test, tuple(SUPERCLASSES))


@contextlib.contextmanager
def one_error(path: Path) -> Iterator[None]:
    """Turn what torchvision, tarfile and scipy raise on bad files into one error, which names `path`."""
    try:
        yield
    except (RuntimeError, OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise ValueError(
            f"{path}: incomplete or corrupt ({error}): remove it, so that the archive is unpacked "
            "or downloaded again, or point prepare.path at a good copy"
        ) from error


def _offline() -> bool:
    return os.environ.get("MIMICNETS_OFFLINE", "") not in ("", "0")


def obtain(file: Path, url: str, md5: str, download: bool) -> None:
    """Make sure that `file` is the published one, downloading it if it is absent.

    Args:
        file: where it is, or will be.
        url, md5: of the published one.
        download: whether an absent one may be fetched, unless MIMICNETS_OFFLINE is set.

    Raises:
        FileNotFoundError: it is absent.
        ValueError: it is another.
    """
    if not file.exists():
        if _offline() or not download:
            why = "MIMICNETS_OFFLINE is set" if _offline() else "download is off"
            raise FileNotFoundError(
                f"no {file}, and {why}: put a copy of {url} there, set prepare.path or "
                "MIMICNETS_DATA to a folder that has it, or choose another prepare.source"
            )
        _download(file, url, md5)

    _verify(file, file.name, url, md5)


def _verify(file: Path, name: str, url: str, md5: str) -> None:
    """Compare the checksums of `file` with those of the archive `name`."""
    checks = {"md5": md5}
    if name in _SHA256:
        checks["sha256"] = _SHA256[name]

    for kind, wanted in checks.items():
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, kind).hexdigest()

        if digest != wanted:
            raise ValueError(
                f"{file}: corrupt, {kind} {digest}, wanted {wanted} ({file.stat().st_size:,} "
                f"bytes): remove it to download it again, or copy {url} there"
            )


def _download(file: Path, url: str, md5: str) -> None:
    """Fetch to `file`.part, resuming where an earlier attempt stopped; verify, rename."""
    part = file.with_name(file.name + ".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, part)
    except (OSError, urllib.error.URLError) as error:
        raise FileNotFoundError(
            f"no {file}, and {url} could not be downloaded ({error}): run again to go on, put a "
            "copy there, or choose another prepare.source"
        ) from error

    try:
        _verify(part, file.name, url, md5)
    except ValueError:
        part.unlink()  # nothing to resume from
        raise

    part.replace(file)


def _fetch(url: str, part: Path) -> None:
    """Download what `part` does not have yet."""
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to fetch; the checksum will tell
            return
        raise

    with answer, part.open("ab" if answer.status == 206 else "wb") as stream:
        wanted = answer.length
        got = 0
        while block := answer.read(1 << 20):
            got += stream.write(block)

    if wanted is not None and got < wanted:
        raise OSError(f"the connection ended after {got:,} of {wanted:,} bytes")
