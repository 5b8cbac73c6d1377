"""STL-10, unpacked and in its archive, as torchvision reads it."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import STL10

from stages.images.pictures import PictureRule
from stages.images.sources import stl10 as module
from stages.images.sources.stl10 import stl10, stl10_unlabelled
from tests.helpers.image_files import one_line, pixels

COUNTS = {"train": 4, "test": 3, "unlabeled": 5}
EXACT = PictureRule(96)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A few images in the files of STL-10, whose checksums torchvision is told."""
    inside = tmp_path / "data/stl10_binary"
    inside.mkdir(parents=True)
    sums = {}
    for k, (part, count) in enumerate(COUNTS.items()):
        images = pixels(count, seed=k, size=96).transpose(0, 3, 2, 1)
        files = {f"{part}_X.bin": images.tobytes()}
        if part != "unlabeled":
            files[f"{part}_y.bin"] = bytes([10, 1, 2, 3][:count])
        for name, data in files.items():
            (inside / name).write_bytes(data)
            sums[name] = md5(data)

    for which in ("train_list", "test_list"):
        made = [[name, sums[name]] for name, _ in getattr(STL10, which)]
        monkeypatch.setattr(STL10, which, made)
    monkeypatch.setattr(module, "_MOST", COUNTS)
    (inside / "class_names.txt").write_text("\n".join(module.CLASSES))
    return inside.parent


def pack(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The archive alone."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        packed.add(folder / "stl10_binary", "stl10_binary")
    for file in (folder / "stl10_binary").iterdir():
        file.unlink()
    (folder / "stl10_binary").rmdir()
    archive = folder / STL10.filename
    archive.write_bytes(stream.getvalue())
    monkeypatch.setattr(STL10, "tgz_md5", md5(archive.read_bytes()))
    return archive


@pytest.mark.parametrize("way", ["folder", "itself", "archive"])
def test_it_is_what_torchvision_reads(
    folder: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = [STL10(folder, split=split) for split in ("train", "test", "unlabeled")]
    if way == "archive":
        pack(folder, monkeypatch)

    monkeypatch.setattr(module, "PIECE_BYTES", 2 * 3 * 96 * 96)
    path = folder / "stl10_binary" if way == "itself" else folder
    source = stl10(path, EXACT)
    assert source.test is not None and list(source.classes) == peers[0].classes
    for part, peer in zip((source.train, source.test), peers, strict=False):
        np.testing.assert_array_equal(part.images, peer.data.transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(part.labels, peer.labels)

    rest = stl10_unlabelled(path, EXACT)
    np.testing.assert_array_equal(rest, peers[2].data.transpose(0, 2, 3, 1))
    left = sorted(file.name for file in folder.iterdir())
    assert left == (["stl10_binary.tar.gz"] if way == "archive" else ["stl10_binary"])


def test_another_size(folder: Path) -> None:
    source = stl10(folder, PictureRule(32, "stretch"))
    first = Image.fromarray(pixels(4, size=96)[0]).resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(source.train.images[0], np.asarray(first))
    with pytest.raises(ValueError, match="96 x 96 px, wanted 32 x 32: set prepare.size_px"):
        stl10(folder, PictureRule(32))


@pytest.mark.parametrize("name", ["train_X.bin", "test_y.bin"])
def test_other_files_are_refused(folder: Path, name: str) -> None:
    file = folder / "stl10_binary" / name
    data = file.read_bytes()
    for bad in (data[:-1], bytes([1]) + data[1:], data * 3):
        file.write_bytes(bad)
        with pytest.raises(ValueError) as error:
            stl10(folder, EXACT)
        one_line(error, file, "unpack the archive again")
    file.unlink()
    with pytest.raises((ValueError, FileNotFoundError), match=name.replace("train_X", "")):
        stl10(folder, EXACT)


def test_other_archives_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "stl10_binary/test_y.bin").rename(folder / "stl10_binary/other")
    archive = pack(folder, monkeypatch)
    with pytest.raises(ValueError) as error:
        stl10(folder, EXACT)
    one_line(error, archive, "no stl10_binary/test_y.bin in it")

    archive.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(ValueError) as error:
        stl10(folder, EXACT)
    one_line(error, archive, "md5")

    archive.unlink()
    with pytest.raises(FileNotFoundError) as error:
        stl10_unlabelled(folder, EXACT)
    one_line(error, STL10.url, "MIMICNETS_OFFLINE")
