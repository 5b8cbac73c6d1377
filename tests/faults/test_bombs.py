"""Archives write nothing outside their folder, and bombs are refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import resource
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from stages.images.pictures import PictureRule
from stages.images.sources import archives
from stages.images.sources.folder import image_folder
from stages.images.sources.idx import idx
from stages.images.sources.images_npz import images_npz
from stages.images.sources.parquet import parquet
from stages.images.sources.webdataset import webdataset
from tests.faults.file_readers import small_cifar, write_parquet


def member(kind: bytes, name: str, link: str = "") -> tarfile.TarInfo:
    """An entry of an archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 3 if kind == tarfile.REGTYPE else 0
    return info


MEMBERS = {
    "parent": [member(tarfile.REGTYPE, "../out")],
    "inner parent": [member(tarfile.REGTYPE, "small/../../out")],
    "absolute": [member(tarfile.REGTYPE, "{root}/out")],
    "symlink": [
        member(tarfile.SYMTYPE, "small/l", "{root}"),
        member(tarfile.REGTYPE, "small/l/out"),
    ],
    "parent symlink": [member(tarfile.SYMTYPE, "l", "../.."), member(tarfile.REGTYPE, "l/out")],
    "hard link": [member(tarfile.LNKTYPE, "small/l", "{root}/secret")],
    "device": [member(tarfile.CHRTYPE, "small/l")],
    "pipe": [member(tarfile.FIFOTYPE, "small/l")],
}


@pytest.mark.parametrize("name", MEMBERS)
def test_an_archive_writes_nothing_outside_its_folder(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even one with the right checksum, which no published archive has."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "unpacked").mkdir()
    (tmp_path / "small").mkdir()
    _, archive, kind = small_cifar(tmp_path / "small")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "unpacked"))
    with tarfile.open(archive, "w:gz") as packed:
        for info in MEMBERS[name]:
            made = member(
                info.type, info.name.format(root=tmp_path), info.linkname.format(root=tmp_path)
            )
            packed.addfile(made, io.BytesIO(b"out") if made.size else None)
    with pytest.raises(ValueError, match="corrupt"):
        archives._cifar(kind, archive.parent, download=False)  # by its checksum
    monkeypatch.setattr(kind, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError):
        archives._cifar(kind, archive.parent, download=False)
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "secret").stat().st_nlink == 1
    assert not (tmp_path.parent / "out").exists()


def test_archives_are_not_opened_before_their_checksum_is_known(
    tmp_path: Path, monkeypatch: Any
) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    for name in (
        "cifar-10-python.tar.gz",
        "cifar-100-python.tar.gz",
        "train_32x32.mat",
        "test_32x32.mat",
    ):
        (tmp_path / name).write_bytes(bomb)
    opened = lambda *args, **kwargs: pytest.fail("opened")  # noqa: E731
    monkeypatch.setattr(tarfile, "open", opened)
    monkeypatch.setattr("scipy.io.loadmat", opened)
    monkeypatch.setattr(pickle, "load", opened)
    for read in (archives.cifar10, archives.cifar100, archives.svhn):
        with pytest.raises(ValueError, match="md5"):
            read(tmp_path, download=False)


def png(width: int, height: int, *extra: bytes) -> bytes:
    """A PNG file that claims this size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = [*extra, chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")]
    texts = [chunk(kind, data) for kind, data in zip(body[:-2:2], body[1:-2:2], strict=True)]
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(texts + body[-2:])


def bombs() -> dict[str, bytes]:
    """Images of a few kilobytes that would take gigabytes, or are large files."""
    zeros = zlib.compress(bytes(300_000_000), 9)
    return {
        "huge": png(60_000, 60_000),
        "large": png(4_000, 4_000),
        "no memory": png(2**31 - 1, 2**31 - 1),
        "text": png(8, 8, b"zTXt", b"k\0\0" + zeros),
        "profile": png(8, 8, b"iCCP", b"k\0\0" + zeros),
        "file": png(8, 8, b"tEXt", b"k\0" + bytes(5_000_000)),
    }


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Three gigabytes of address space above what is in use, for this test."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (3 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("which", bombs())
def test_image_bombs_are_refused(tmp_path: Path, little_memory: None, which: str) -> None:
    data = bombs()[which]
    (tmp_path / "parquet").mkdir()
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        (tmp_path / split / "a/0.png").write_bytes(data)
        write_parquet(tmp_path / "parquet" / f"{split}-0.parquet", [data], [0])
    for read in (
        lambda: image_folder(tmp_path, PictureRule(8)),
        lambda: image_folder(tmp_path, PictureRule(8, "crop")),
        lambda: parquet(tmp_path / "parquet"),
    ):
        with pytest.raises(ValueError, match=r"0\.(png|parquet)"):
            read()


@pytest.mark.slow
def test_parquet_bombs_are_refused(tmp_path: Path, little_memory: None) -> None:
    """A value of 20 MB that is given 500 times in 2 kB, and more rows than a file may have."""
    file, big = tmp_path / "train-0.parquet", pa.array([bytes(20_000_000)])
    many = pa.DictionaryArray.from_arrays(pa.array(np.zeros(500, np.int32)), big)
    nothing = pa.nulls(2_000_001, pa.binary())
    image = Image.new("RGB", (256, 256))
    image.save(tmp_path / "small.png")
    small = pa.array([(tmp_path / "small.png").read_bytes()])
    same = pa.DictionaryArray.from_arrays(pa.array(np.zeros(90_000, np.int32)), small)
    for column, words in (
        (many, "500 of 500 pictures are not usable: .*row 0: not a readable picture"),
        (nothing, "rows, allowed are"),
        (same, "are more than 16 GiB"),
    ):
        struct_column = pa.StructArray.from_arrays([column], ["bytes"])
        table = pa.table({"img": struct_column, "label": pa.array(np.zeros(len(column), np.int64))})
        for name in (file, tmp_path / "test-0.parquet"):
            pq.write_table(table, name, compression="zstd")
        assert file.stat().st_size < 40_000
        with pytest.raises(ValueError, match=words):
            parquet(tmp_path, PictureRule(256))


def layout_bombs(folder: Path) -> dict[str, Path]:
    """Files of a few megabytes that would take tens of gigabytes, each with its reader's name."""
    for name in ("npz", "idx", "tar"):
        (folder / name).mkdir()

    head = struct.pack(">HBB3I", 0, 8, 3, 1_000_000, 60, 50)
    idx = folder / "idx/train-images-idx3-ubyte.gz"
    idx.write_bytes(gzip.compress(head + bytes(30_000_000), 1) + bytes(3_000_000))
    (folder / "idx/train-labels-idx1-ubyte").write_bytes(
        struct.pack(">HBBI", 0, 8, 1, 1_000_000) + bytes(1_000_000)
    )

    npz = folder / "npz/train.npz"
    with zipfile.ZipFile(npz, "w", zipfile.ZIP_DEFLATED) as file:
        for name, shape in (("images", (100_000, 1000, 300)), ("labels", (100_000,))):
            head_of_array = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                head_of_array, {"descr": "|u1", "fortran_order": False, "shape": shape}
            )
            file.writestr(f"{name}.npy", head_of_array.getvalue() + bytes(100_000))

    samples = folder / "tar/train-0.tar.gz"
    info = tarfile.TarInfo("a.npy")
    info.size = 8 << 30
    blocks = [gzip.compress(info.tobuf()), *[gzip.compress(bytes(8 << 20))] * 40]
    samples.write_bytes(b"".join(blocks))
    return {"idx": idx, "npz": npz, "tar": samples}


@pytest.mark.parametrize("which", ["idx", "npz", "tar"])
def test_bombs_in_other_layouts_are_refused(
    tmp_path: Path, little_memory: None, which: str
) -> None:
    readers = {"idx": idx, "npz": images_npz, "tar": webdataset}
    file = layout_bombs(tmp_path)[which]
    assert file.stat().st_size < 10_000_000
    with pytest.raises(ValueError, match=file.name):
        readers[which](file.parent, PictureRule(8, "stretch"))
