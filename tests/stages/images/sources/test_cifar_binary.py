"""CIFAR's binary version, and the superclasses of CIFAR-100."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from stages.images.sources import archives, cifar_binary
from stages.images.sources.archives import cifar10, cifar100
from stages.images.sources.superclasses import SUPERCLASSES, superclass_of
from tests.helpers.image_files import one_line, pixels

# the coarse labels of the fine classes 0 to 99, as lists of them that circulate have them
COARSE = (
    "4 1 14 8 0 6 7 7 18 3 3 14 9 18 7 11 3 9 7 11 6 11 5 10 7 6 13 15 3 15 0 11 1 10 12 14 16 9 11 5 "
    "5 19 8 8 15 13 14 17 18 10 16 4 17 4 2 0 17 4 18 17 10 3 2 12 12 16 12 1 9 19 2 10 0 1 16 12 9 13 "
    "15 13 16 19 2 4 6 19 5 5 8 19 18 1 2 15 6 0 17 8 14 13"
)
FINE = sorted(name for inside in SUPERCLASSES.values() for name in inside.split())


def test_superclasses() -> None:
    """Fine classes are in the order of the alphabet, and every superclass has five."""
    coarse = superclass_of(FINE)
    assert coarse.tolist() == [int(each) for each in COARSE.split()]
    assert np.bincount(coarse).tolist() == [5] * 20 and list(SUPERCLASSES) == sorted(SUPERCLASSES)
    with pytest.raises(
        ValueError, match="frog: no class of CIFAR-100.*set prepare.source to cifar100"
    ):
        superclass_of(["apple", "frog"])


def record(images: np.ndarray, *labels: list[int]) -> bytes:
    """Records: one byte of every label, then red, green and blue, row by row."""
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    columns = [np.array(each, np.uint8)[:, None] for each in labels]
    return np.concatenate([*columns, planes], axis=1).tobytes()


@pytest.fixture
def ten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images in every file of CIFAR-10."""
    kind = cifar_binary.CIFAR10
    few = dataclasses.replace(
        kind, train=dict.fromkeys(kind.train, 2), test=dict.fromkeys(kind.test, 2)
    )
    monkeypatch.setattr(cifar_binary, "CIFAR10", few)
    folder = tmp_path / kind.folder
    folder.mkdir()
    for k, name in enumerate([*kind.train, *kind.test]):
        (folder / name).write_bytes(record(pixels(2, seed=k), [k, 9]))
    names = "airplane automobile bird cat deer dog frog horse ship truck".split()
    (folder / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    return folder


def test_cifar10(ten: Path) -> None:
    for path in (ten, ten.parent):
        source = cifar10(path)
        assert source.test is not None and source.classes[3] == "cat"
        np.testing.assert_array_equal(
            source.train.images, np.concatenate([pixels(2, seed=k) for k in range(5)])
        )
        np.testing.assert_array_equal(source.test.images, pixels(2, seed=5))
        assert source.train.labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]


def test_the_python_version_comes_first(ten: Path) -> None:
    """Its archive is verified, and this one is another."""
    archive = ten.parent / "cifar-10-python.tar.gz"
    archive.write_bytes(b"other")
    with pytest.raises(ValueError) as error:
        cifar10(ten.parent)
    one_line(error, archive, "md5")


@pytest.fixture
def hundred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three training images and two test images of CIFAR-100."""
    few = dataclasses.replace(cifar_binary.CIFAR100, train={"train.bin": 3}, test={"test.bin": 2})
    monkeypatch.setattr(cifar_binary, "CIFAR100", few)
    folder = tmp_path / few.folder
    folder.mkdir()
    (folder / "train.bin").write_bytes(record(pixels(3), [19, 0, 7], [99, 50, 3]))
    (folder / "test.bin").write_bytes(record(pixels(2, seed=1), [4, 1], [0, 1]))
    (folder / "fine_label_names.txt").write_text("\n".join(FINE) + "\n")
    (folder / "coarse_label_names.txt").write_text("\n".join(SUPERCLASSES) + "\n")
    return folder


def test_cifar100(hundred: Path) -> None:
    for labels in (None, "fine"):
        source = cifar100(hundred, labels)
        assert source.test is not None and source.classes == tuple(FINE)
        assert source.train.labels.tolist() == [99, 50, 3]
        np.testing.assert_array_equal(source.train.images, pixels(3))
        np.testing.assert_array_equal(source.test.images, pixels(2, seed=1))

    source = cifar100(hundred.parent, "coarse")
    assert source.test is not None and source.classes == tuple(SUPERCLASSES)
    assert source.train.labels.tolist() == [19, 0, 7] and source.test.labels.tolist() == [4, 1]
    with pytest.raises(ValueError, match="labels is 'rough'.*: set prepare.source to cifar100"):
        cifar100(hundred, "rough")


def test_coarse_labels_of_the_python_version(
    hundred: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torchvision gives fine labels only; each becomes its superclass."""
    fine = cifar100(hundred)
    made = archives._labelled(fine, "coarse")
    assert made.train.labels.tolist() == [int(COARSE.split()[i]) for i in (99, 50, 3)]
    assert made.test is not None and made.test.labels.tolist() == [4, 1]
    assert made.classes == tuple(SUPERCLASSES) and archives._labelled(fine, "fine") is fine


def test_damage(hundred: Path) -> None:
    file = hundred / "train.bin"
    data = file.read_bytes()
    for bad in (data[:-1], data + b"\0", b""):
        file.write_bytes(bad)
        with pytest.raises(ValueError) as error:
            cifar100(hundred)
        one_line(error, file, f"{len(bad):,} bytes, wanted 9,222", "prepare.path")

    file.write_bytes(data[:3075] + b"\x64" + data[3076:])  # the fine label of the second image
    with pytest.raises(ValueError) as error:
        cifar100(hundred)
    one_line(error, file, "image 1 has label 100, allowed are 0 to 99")
    assert cifar100(hundred, "coarse").train.labels.tolist() == [19, 0, 7]

    file.write_bytes(data)
    (hundred / "fine_label_names.txt").write_text("apple\n")
    with pytest.raises(ValueError, match="1 names, wanted 100"):
        cifar100(hundred)


def test_nothing_is_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no .*cifar-100-python.tar.gz"):
        cifar100(tmp_path)
