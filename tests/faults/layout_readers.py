"""The readers of data sets in files of arrays, of bytes and of samples."""

from __future__ import annotations

import dataclasses
import gzip
import io
import struct
import tarfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from stages.images.pictures import PictureRule
from stages.images.sources import cifar_binary
from stages.images.sources.folder import image_folder
from stages.images.sources.house_numbers import house_numbers
from stages.images.sources.idx import idx
from stages.images.sources.images_npz import images_npz
from stages.images.sources.labelled import Source
from stages.images.sources.speech import speech
from stages.images.sources.vectors import vectors
from stages.images.sources.webdataset import webdataset
from tests.faults.readers import Reader, new_folder, spoiler
from tests.helpers import house_files

RULE = PictureRule(8, "stretch")


def judge_images(size_px: int) -> Callable[[Any, Source], str]:
    """Square uint8 images of this size with labels of the named classes."""

    def judge(item: Any, source: Source) -> str:
        for part in source.parts.values():
            n = len(part.labels)
            assert part.images.dtype == np.uint8 and part.images.shape == (n, size_px, size_px, 3)
            judge_labels(source, part.labels)
        return "valid"

    return judge


def judge_vectors(item: Any, source: Source) -> str:
    """Finite vectors of two features with labels of the named classes."""
    for part in source.parts.values():
        assert part.images.dtype in (np.float32, np.float64) and part.images.shape[1:] == (2,)
        assert np.isfinite(part.images).all()
        judge_labels(source, part.labels)
    return "valid"


def judge_labels(source: Source, labels: np.ndarray) -> None:
    """At least one label, all of them of classes that have a name."""
    assert labels.dtype == np.int64 and len(labels)
    assert 0 <= labels.min() <= labels.max() < len(source.classes)
    assert all(type(name) is str for name in source.classes)


def layout_readers(root: Path) -> list[Reader]:
    """NumPy's, MNIST's, CIFAR's, HTK's and Kaldi's files, and tar files of samples."""
    rng = np.random.default_rng(4)
    return [
        *npz_readers(root, rng),
        *byte_readers(root, rng),
        *tar_readers(root, rng),
        *list_readers(root, rng),
        *htk_readers(root, rng),
        *(house_readers(root) if find_spec("h5py") else []),
        *(speech_readers(root, rng) if find_spec("kaldiio") else []),
    ]


def npz_readers(root: Path, rng: np.random.Generator) -> list[Reader]:
    """MedMNIST's file, packed, and vectors with names, not packed."""
    medical = new_folder(root / "medical") / "medical.npz"
    pictures = rng.integers(0, 256, (5, 8, 8), dtype=np.uint8)
    labels = (np.arange(5, dtype=np.uint8) % 3)[:, None]
    np.savez_compressed(
        medical,
        train_images=pictures,
        train_labels=labels,
        test_images=pictures,
        test_labels=labels,
    )
    frames = new_folder(root / "frames") / "train.npz"
    names = np.array(["sh", "ah", "sh", "s", "ah"])
    np.savez(frames, inputs=rng.normal(size=(5, 2)), labels=names, classes=np.unique(names))

    hot = new_folder(root / "hot") / "train.npz"
    np.savez(hot, images=pictures, labels=np.eye(3)[labels[:, 0]])

    return [
        Reader(
            "npz one-hot",
            spoiler(hot),
            lambda path: images_npz(hot.parent, RULE),
            judge_images(8),
            hot.name,
            1,
        ),
        Reader(
            "npz images",
            spoiler(medical),
            lambda path: images_npz(path, RULE),
            judge_images(8),
            medical.name,
            2,
        ),
        Reader(
            "npz names",
            spoiler(frames),
            lambda path: vectors(frames.parent, (2,)),
            judge_vectors,
            frames.name,
            2,
        ),
    ]


def byte_readers(root: Path, rng: np.random.Generator) -> list[Reader]:
    """MNIST's files, packed and not, and CIFAR's binary version."""
    plain, packed = new_folder(root / "idx"), new_folder(root / "idx-gz")
    pictures = rng.integers(0, 256, (6, 9, 7), dtype=np.uint8)
    for kind, values in (("images-idx3", pictures), ("labels-idx1", np.arange(6, dtype=np.uint8))):
        sides = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
        (plain / f"train-{kind}-ubyte").write_bytes(sides + values.tobytes())
        (packed / f"train-{kind}-ubyte.gz").write_bytes(gzip.compress(sides + values.tobytes()))

    binary = new_folder(root / "cifar")
    few = dataclasses.replace(cifar_binary.CIFAR100, train={"train.bin": 2}, test={"test.bin": 1})
    for name, count in (*few.train.items(), *few.test.items()):
        rows = rng.integers(0, 20, (count, 3074), dtype=np.uint8)
        (binary / name).write_bytes(rows.tobytes())
    for file, count in few.names.values():
        (binary / file).write_text("".join(f"class {i}\n" for i in range(count)))

    return [
        Reader(
            "idx",
            either(plain / "train-images-idx3-ubyte", plain / "train-labels-idx1-ubyte"),
            lambda path: idx(plain, RULE),
            judge_images(8),
            "ubyte",
            2,
        ),
        Reader(
            "idx packed",
            either(packed / "train-images-idx3-ubyte.gz", packed / "train-labels-idx1-ubyte.gz"),
            lambda path: idx(packed, RULE),
            judge_images(8),
            "ubyte.gz",
            1,
        ),
        Reader(
            "CIFAR binary",
            either(binary / "train.bin", binary / "fine_label_names.txt"),
            lambda path: cifar_binary.read_binary(binary, few),
            judge_images(32),
            "",
            1,
        ),
    ]


def tar_readers(root: Path, rng: np.random.Generator) -> list[Reader]:
    """A tar file of four samples, packed and not."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        for i in range(4):
            picture = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(picture, "PNG")
            label = ("json", b'{"label": 1}') if i % 2 else ("cls", b"0")
            for kind, data in (("png", picture.getvalue()), label):
                info = tarfile.TarInfo(f"{i}.{kind}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))

    plain = new_folder(root / "tar") / "train-0.tar"
    plain.write_bytes(stream.getvalue())
    packed = new_folder(root / "tar-gz") / "train-0.tar.gz"
    packed.write_bytes(gzip.compress(stream.getvalue()))
    return [
        Reader(
            f"{file.parent.name}",
            spoiler(file),
            lambda path: webdataset(path.parent, RULE),
            judge_images(8),
            "tar",
            weight,
        )
        for file, weight in ((plain, 2), (packed, 1))
    ]


def speech_readers(root: Path, rng: np.random.Generator) -> list[Reader]:
    """Kaldi's archives of features and of labels, by themselves and through their lists."""
    part = new_folder(root / "speech/train")
    files: dict[str, bytes] = {"feats.ark": b"", "ali.ark": b""}
    lists: dict[str, str] = {"feats.scp": "", "ali.scp": ""}
    for key, frames in (("a", 3), ("b", 4)):
        values = rng.normal(size=(frames, 2)).astype("<f4")
        numbers = [frames, *(i % 2 for i in range(frames))]
        made = {
            "feats": b"\0BFM " + struct.pack("<bibi", 4, frames, 4, 2) + values.tobytes(),
            "ali": b"\0B" + b"".join(struct.pack("<bi", 4, each) for each in numbers),
        }
        for name, data in made.items():
            files[f"{name}.ark"] += f"{key} ".encode()
            lists[f"{name}.scp"] += f"{key} {name}.ark:{len(files[f'{name}.ark'])}\n"
            files[f"{name}.ark"] += data

    for name, data in files.items():
        (part / name).write_bytes(data)
    (part / "feats.scp").write_text(lists["feats.scp"])

    broken = either(part / "feats.scp", *(part / name for name in files))
    return [
        Reader(
            "speech", broken, lambda path: speech(part.parent, (2,)), judge_vectors, str(part), 2
        )
    ]


def htk_readers(root: Path, rng: np.random.Generator) -> list[Reader]:
    """HTK's parameter files, compressed and not, with a label file and with one for all."""
    beside, master = new_folder(root / "htk/train"), new_folder(root / "htk-mlf/train")
    values = rng.normal(size=(4, 2)).astype(">f4").tobytes()
    scales = np.ones((2, 2), ">f4").tobytes()
    plain = struct.pack(">iihH", 4, 100_000, 8, 6) + values
    packed = struct.pack(">iihH", 8, 100_000, 4, 6 | 0o2000) + scales + values[:16]
    for folder in (beside, master):
        (folder / "a.mfc").write_bytes(plain)
        (folder / "b.mfc").write_bytes(packed)
    for name in ("a", "b"):
        (beside / f"{name}.lab").write_text("0 100000 s2 -7.5 aa\n100000 400000 s3\n")
    (master / "all.mlf").write_text('#!MLF!#\n"*/a.lab"\nyes\n.\n"*/b.lab"\n"no"\n.\n')

    def reader(name: str, folder: Path, labels: str) -> Reader:
        broken = either(folder / "a.mfc", folder / "b.mfc", folder / labels)
        read = lambda path: speech(folder.parent, (2,))  # noqa: E731
        return Reader(name, broken, read, judge_vectors, str(folder), 2)

    return [reader("HTK", beside, "a.lab"), reader("HTK master", master, "all.mlf")]


def list_readers(root: Path, rng: np.random.Generator) -> list[Reader]:
    """Pictures with a list that has a column for each class, and Tiny ImageNet."""
    listed, tiny = new_folder(root / "listed"), new_folder(root / "tiny")
    picture = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(picture, "PNG")
    names = ("grün.png", "b.png", "train/n01/images/0.png", "train/n02/images/0.png")
    for name in (*names, "val/images/0.png", "val/images/1.png", "test/images/0.png"):
        file = (tiny if "/" in name else listed) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture.getvalue())

    table, notes = listed / "list.csv", tiny / "val/val_annotations.txt"
    table.write_text("image,NV,MEL\ngru\u0308n,0,1\nb,1.0,0.0\n", encoding="utf-8")
    notes.write_text("0.png\tn02\t0\t1\t2\t3\n1.png\tn01\t0\t1\t2\t3\n")
    return [
        Reader(
            name,
            spoiler(file),
            lambda path, folder=folder: image_folder(folder, RULE),
            judge_images(8),
            str(folder),
            1,
        )
        for name, folder, file in (("list", listed, table), ("Tiny ImageNet", tiny, notes))
    ]


def house_readers(root: Path) -> list[Reader]:
    """SVHN's list of houses, in MATLAB's file 7.3, and its pictures."""
    houses: dict[str, house_files.Boxes] = {
        "1.png": [(0, 0, 8, 8, 1), (3, 1, 8, 8, 10)],
        "2.png": [(-1, 2, 9, 8, 3)],
    }
    folder = house_files.write_houses(root / "houses/train", houses)
    broken = either(folder / "digitStruct.mat")
    return [
        Reader(
            "house numbers",
            broken,
            lambda path: house_numbers(folder.parent, RULE),
            judge_images(8),
            str(folder),
            2,
        )
    ]


def either(*files: Path) -> Callable[[Random], Path]:
    """Spoils one of the files, and leaves the others sound."""
    sound = {file: file.read_bytes() for file in files}
    breakers = [spoiler(file) for file in files]

    def broken(rng: Random) -> Path:
        for file, data in sound.items():
            file.write_bytes(data)
        return rng.choice(breakers)(rng)

    return broken
