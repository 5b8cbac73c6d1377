"""CIFAR-10, CIFAR-100 and SVHN in their published archives.

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

from stages.images.sources.labelled import Labelled, Source, data_folder

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

# beside torchvision's md5, where the sha256 is known
_SHA256 = {
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
}


def cifar10(path: str | Path, download: bool = True) -> Source:
    """CIFAR-10: 50,000 training images in the order of data_batch_1..5, 10,000 test images.

    Args:
        path: folder with cifar-10-batches-py/ or cifar-10-python.tar.gz; a relative path starts at
            the environment's MIMICNETS_DATA, if set.
        download: fetch an absent archive into `path`, unless the environment has
            MIMICNETS_OFFLINE=1.

    Returns:
        Training images, test images, class names.

    Raises:
        FileNotFoundError: the data are absent and may not be, or could not be, downloaded.
        ValueError: an archive or file differs from the published one.
    """
    from torchvision import datasets

    return _cifar(datasets.CIFAR10, path, download)


def cifar100(path: str | Path, download: bool = True) -> Source:
    """CIFAR-100 with its 100 fine labels; as `cifar10`, folder cifar-100-python/."""
    from torchvision import datasets

    return _cifar(datasets.CIFAR100, path, download)


def svhn(path: str | Path, download: bool = True) -> Source:
    """SVHN cropped digits: 73,257 training and 26,032 test images; label 0 is the digit 0.

    `path` holds train_32x32.mat and test_32x32.mat; otherwise as `cifar10`.
    """
    from torchvision import datasets

    folder = data_folder(path)
    parts = []
    for split in ("train", "test"):
        url, name, md5 = datasets.SVHN.split_list[split]
        _obtain(folder / name, url, md5, download)

        with _one_error(folder / name):
            data = datasets.SVHN(folder, split=split, download=False)
        images = np.ascontiguousarray(data.data.transpose(0, 2, 3, 1))
        parts.append(Labelled(images, data.labels.astype(np.int64)))

    return parts[0], parts[1], tuple("0123456789")


def _cifar(dataset: type[CIFAR10], path: str | Path, download: bool) -> Source:
    """One of the two CIFARs, from its unpacked folder or else from the archive."""
    folder = data_folder(path)
    if (folder / dataset.base_folder).is_dir():
        return _read_cifar(dataset, folder)

    archive = folder / dataset.filename
    _obtain(archive, dataset.url, dataset.tgz_md5, download)

    # unpacked beside nothing of the user's, so that a kill leaves no half-written folder there
    with tempfile.TemporaryDirectory() as temporary:
        with _one_error(archive), tarfile.open(archive) as packed:
            packed.extractall(temporary, filter="data")
        return _read_cifar(dataset, Path(temporary))


def _read_cifar(dataset: type[CIFAR10], folder: Path) -> Source:
    """Read the unpacked archive; torchvision verifies all md5 sums before it unpickles."""
    with _one_error(folder / dataset.base_folder):
        train = dataset(folder, train=True, download=False)
        test = dataset(folder, train=False, download=False)

    parts = [
        Labelled(np.ascontiguousarray(data.data), np.array(data.targets, dtype=np.int64))
        for data in (train, test)
    ]
    return parts[0], parts[1], tuple(train.classes)


@contextlib.contextmanager
def _one_error(path: Path) -> Iterator[None]:
    """Turn what torchvision, tarfile and scipy raise on bad files into one error."""
    try:
        yield
    except (RuntimeError, OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise ValueError(
            f"{path}: incomplete or corrupt ({error}): remove it, so that the archive is unpacked "
            "or downloaded again, or point prepare.path at a good copy"
        ) from error


def _offline() -> bool:
    return os.environ.get("MIMICNETS_OFFLINE", "") not in ("", "0")


def _obtain(file: Path, url: str, md5: str, download: bool) -> None:
    """Make sure that `file` is the published one, downloading it if it is absent."""
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
