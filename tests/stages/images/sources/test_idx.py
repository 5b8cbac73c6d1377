"""Files of MNIST, Fashion-MNIST and EMNIST."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import EMNIST, MNIST

from stages.images.pictures import PictureRule
from stages.images.sources import idx as module
from stages.images.sources.idx import idx
from tests.helpers.image_files import one_line, pixels

RULE = PictureRule(28)


def packed(values: np.ndarray) -> bytes:
    """The bytes of an idx file."""
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def grey(count: int, seed: int = 0) -> np.ndarray:
    return np.ascontiguousarray(pixels(count, seed, 28)[..., 0])


def write(folder: Path, prefix: str = "", test: str = "t10k", suffix: str = "") -> Path:
    """Ten training and four test pictures in MNIST's files."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (part, count) in enumerate((("train", 10), (test, 4))):
        for kind, values in (
            ("images-idx3", grey(count, seed)),
            ("labels-idx1", np.arange(count, dtype=np.uint8)),
        ):
            data = packed(values)
            file = folder / f"{prefix}{part}-{kind}-ubyte{suffix}"
            file.write_bytes(gzip.compress(data) if suffix else data)
    return folder


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_is_what_torchvision_reads(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "MNIST/raw")
    peers = [MNIST(tmp_path, train=train) for train in (True, False)]
    source = idx(write(tmp_path / "mine", suffix=suffix), RULE)
    assert source.test is not None and source.validation is None and source.notes == ()
    for part, peer in zip((source.train, source.test), peers, strict=True):
        np.testing.assert_array_equal(part.images, peer.data[..., None].expand(-1, -1, -1, 3))
        np.testing.assert_array_equal(part.labels, peer.targets)
    assert source.classes == tuple("0123456789") and source.sizes == {"28 x 28": 14}


def test_emnist_is_turned_upright(tmp_path: Path) -> None:
    """Torchvision reads its pictures as they lie in the file."""
    folder = write(tmp_path / "EMNIST/raw", "emnist-digits-", "test", ".gz")
    write(tmp_path / "EMNIST/raw", "emnist-digits-", "test")
    peer = EMNIST(tmp_path, "digits", train=True)
    source = idx(folder, RULE)
    np.testing.assert_array_equal(source.train.images[..., 0], peer.data.transpose(1, 2))
    assert len(source.notes) == 1 and "upright" in source.notes[0]


def test_emnist_letters_begin_at_1_and_have_names(tmp_path: Path) -> None:
    folder = write(tmp_path, "emnist-letters-", "test")
    for part, count in (("train", 10), ("test", 4)):
        labels = 1 + np.arange(count, dtype=np.uint8) % 3
        (folder / f"emnist-letters-{part}-labels-idx1-ubyte").write_bytes(packed(labels))
    mapping = folder / "emnist-letters-mapping.txt"
    mapping.write_text("1 65 97\n2 66 98\n3 67 99\n")
    source = idx(folder, RULE)
    assert source.classes == ("Aa", "Bb", "Cc") and source.train.labels[:4].tolist() == [0, 1, 2, 0]

    mapping.write_text("1 65\n2 x\n")
    with pytest.raises(ValueError) as error:
        idx(folder, RULE)
    one_line(error, mapping, "1, 2, 3")


def test_one_split_is_chosen_by_the_path(tmp_path: Path) -> None:
    for split in ("letters", "digits"):
        write(tmp_path, f"emnist-{split}-", "test")
    with pytest.raises(ValueError) as error:
        idx(tmp_path, RULE)
    one_line(error, tmp_path / "emnist-digits", tmp_path / "emnist-letters", "prepare.path")
    assert len(idx(tmp_path / "emnist-letters", RULE).train) == 10
    with pytest.raises(FileNotFoundError) as error:
        idx(tmp_path / "emnist-balanced", RULE)
    one_line(error, "emnist-digits, emnist-letters", "prepare.path")


def test_pictures_of_another_size(tmp_path: Path) -> None:
    source = idx(write(tmp_path), PictureRule(32, "pad"))
    assert source.train.images.shape == (10, 32, 32, 3)
    with pytest.raises(ValueError, match="28 x 28 px, wanted 32 x 32"):
        idx(tmp_path, PictureRule(32))


def test_a_file_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", 3 * 28 * 28)
    source = idx(write(tmp_path, suffix=".gz"), RULE)
    np.testing.assert_array_equal(source.train.images[..., 1], grey(10))


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no idx files in"):
        idx(tmp_path, RULE)
    write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="no labels for test"):
        idx(tmp_path, RULE)
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    assert idx(tmp_path, RULE).test is None


LABELS = packed(np.arange(10, dtype=np.uint8))
SOUND = packed(grey(10))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "does not begin"),
        (SOUND[:7], "ends within its header"),
        (SOUND[:-1], "claims (10, 28, 28)"),
        (SOUND + b"\0", "claims (10, 28, 28)"),
        (b"\0\0\x0d" + SOUND[3:], "type 0x0d"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "claims"),
        (LABELS, "images are uint8 (10)"),
        (packed(grey(9)), "allowed is one for each image"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_damaged_files(tmp_path: Path, data: bytes, words: str, suffix: str) -> None:
    write(tmp_path, suffix=suffix)
    file = tmp_path / f"train-images-idx3-ubyte{suffix}"
    file.write_bytes(gzip.compress(data) if suffix else data)
    if suffix and data in (SOUND[:-1], SOUND + b"\0"):
        words = "ends before" if data == SOUND[:-1] else "goes on behind"
    with pytest.raises(ValueError) as error:
        idx(tmp_path, RULE)
    one_line(error, words)


def test_gz_bombs(tmp_path: Path) -> None:
    """One that promises more than gzip can pack, one that is cut, one that goes on and on."""
    write(tmp_path, suffix=".gz")
    file = tmp_path / "train-images-idx3-ubyte.gz"
    head = struct.pack(">HBB3I", 0, 8, 3, 2**20, 28, 28)
    whole = gzip.compress(SOUND)
    for data, words in (
        (gzip.compress(head + bytes(10**5)), "claims"),
        (whole[:-20], "not a sound idx file"),
        (gzip.compress(SOUND + bytes(10**8)), "goes on behind"),
    ):
        file.write_bytes(data)
        with pytest.raises(ValueError) as error:
            idx(tmp_path, RULE)
        one_line(error, file, words)
