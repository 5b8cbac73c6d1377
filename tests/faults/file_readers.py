"""The readers of tensors, shards, weights, images, parquet and archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torchvision import datasets

from stages.fit.checkpoint import Checkpoint
from stages.images.pictures import PictureRule, read_picture
from stages.images.sources import archives, extra, folder, parquet, vectors
from stages.images.sources.extra_sets import ExtraSet
from stages.settings.prepare import ExtraTest
from stages.store.predictions import read_test_logits, write_test_logits
from stages.store.prepared import read_train, write_split
from stages.store.shards import (
    check_pairs,
    images_hash,
    read_images,
    read_logits,
    shard_path,
    write_images,
    write_logits,
)
from stages.store.tensors import read_header, read_tensors, write_tensors
from stages.store.weights import load_weights, save_weights
from tests.faults.corrupt import edit_head, rewrite, spoil
from tests.faults.readers import Reader, among, equal, new_folder, spoiler
from tests.helpers import extra_sets
from tests.helpers.image_files import pixels


def _arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "images": rng.integers(0, 256, (3, 4, 4, 3), dtype=np.uint8),
        "labels": np.array([0, 2, 1], np.uint8),
        "logits": rng.normal(size=(3, 3)).astype(np.float32),
        "scalar": np.array(1.5),
    }


def tensor_readers(root: Path) -> list[Reader]:
    """read_tensors, read_header, and read_test_logits, also with a checksum that is right."""
    path, other = root / "a.safetensors", root / "b.safetensors"
    header = {"classes": ["a", "b", "c"], "errors": [0.5, 0.25]}
    write_tensors(path, _arrays(), header)
    write_tensors(other, {**_arrays(), "scalar": np.array(2.5)}, header)
    first, second, data = read_tensors(path), read_tensors(other), path.read_bytes()
    spoilt = spoiler(path, other)

    def broken(rng: Random) -> Path:
        if rng.random() < 0.6:
            return spoilt(rng)
        path.write_bytes(edit_head(rng, data))
        return path

    outputs = root / "test.safetensors"
    write_test_logits(
        outputs, {"trials": {0: _arrays()["logits"], 4: _arrays()["logits"]}, "retrained": {}}
    )
    sound = outputs.read_bytes()

    def other_outputs(rng: Random) -> Path:
        outputs.write_bytes(sound if (kind := rng.random()) > 0.4 else spoil(rng, sound))
        if kind > 0.7:
            outputs.write_bytes(edit_head(rng, sound))
        elif kind > 0.4:
            rewrite(rng, outputs)
        return outputs

    def judge_outputs(item: Any, value: Any) -> str:
        for nets in value.values():
            assert all(type(number) is int for number in nets)
            assert all(net.dtype == np.float32 and net.ndim == 2 for net in nets.values())
        return "valid"

    return [
        Reader("test logits", other_outputs, read_test_logits, judge_outputs, outputs.name, 4),
        Reader("tensors", broken, read_tensors, among(first, second), path.name, 12),
        Reader("tensor header", broken, read_header, among(header), path.name, 6),
    ]


def assert_inputs(images: np.ndarray, n: int) -> None:
    """So many images, uint8 (n, s, s, 3), or vectors, float32 of two to four dimensions."""
    if images.dtype == np.float32:
        assert images.ndim in (2, 3, 4) and len(images) == n, images.shape
    else:
        assert images.dtype == np.uint8, images.dtype
        assert images.shape == (n, images.shape[1], images.shape[1], 3), images.shape


def shard_readers(root: Path) -> list[Reader]:
    """Shards of images and logits, also with checksums that are right, and the prepared split."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (2, 5, 4, 4, 3), dtype=np.uint8)
    hashes = [images_hash(entry) for entry in images]
    shard, logits, split = (
        new_folder(root / "augmented"),
        new_folder(root / "logits"),
        new_folder(root / "prepared"),
    )
    index = np.arange(5, dtype=np.int32)
    for epoch in (0, 1):
        draws = rng.integers(0, 9, (5, 9), dtype=np.uint16)
        write_images(
            shard,
            epoch,
            images=images[epoch],
            index=index,
            labels=index,
            draws=draws,
            keep_images=True,
        )
        write_logits(logits, epoch, rng.normal(size=(5, 3)).astype(np.float32), hashes[epoch])
    write_split(split, "train", images[0], index.astype(np.uint8), {"classes": list("abcde")})
    sound = {
        f: f.read_bytes()
        for f in (shard_path(shard, 0), shard_path(logits, 0), split / "train.safetensors")
    }

    def breaker(path: Path, other: Path | None) -> Callable[[Random], Path]:
        spoilt = spoiler(path, *([other] if other else []))

        def broken(rng: Random) -> Path:
            path.write_bytes(sound[path])
            if (kind := rng.random()) < 0.4:
                return spoilt(rng)
            if kind < 0.7:
                path.write_bytes(edit_head(rng, sound[path]))
            else:
                rewrite(rng, path)
            return path

        return broken

    def judge_images(item: Any, value: Any) -> str:
        arrays, header = value
        n = len(arrays["index"])
        kinds = {
            "index": (np.int32, (n,)),
            "labels": (np.uint16, (n,)),
            "draws": (np.uint16, (n, 9)),
        }
        for name, (kind, shape) in kinds.items():
            assert (arrays[name].dtype, arrays[name].shape) == (kind, shape), (
                name,
                arrays[name].shape,
            )
        assert header["epoch"] == 0
        if "images" in arrays:
            assert_inputs(arrays["images"], n)
        return "valid"

    def judge_logits(item: Any, value: np.ndarray) -> str:
        assert value.dtype == np.float32 and value.ndim == 2 and np.isfinite(value).all(), (
            value.dtype,
            value.shape,
        )
        return "valid"

    def judge_split(item: Any, value: Any) -> str:
        images, labels, header = value
        assert_inputs(images, len(labels))
        assert labels.shape == (len(images),)
        assert isinstance(header["classes"], list) and labels.dtype == np.int64
        return "valid"

    one, two = shard_path(shard, 0), shard_path(logits, 0)
    train = split / "train.safetensors"
    restore = lambda path: (path.write_bytes(sound[path]), None)[1]  # noqa: E731

    def pairs(path: Path) -> None:
        other = two if path == one else one
        restore(other)
        check_pairs(shard, logits, 1)

    other_images, other_logits = (
        breaker(one, shard_path(shard, 1)),
        breaker(two, shard_path(logits, 1)),
    )
    return [
        Reader(
            "image shard", other_images, lambda p: read_images(shard, 0), judge_images, one.name, 6
        ),
        Reader(
            "logits",
            other_logits,
            lambda p: read_logits(logits, 0, hashes[0]),
            judge_logits,
            two.name,
            6,
        ),
        Reader("pairs", breaker(two, one), pairs, lambda i, v: "valid", two.name, 3),
        Reader(
            "prepared", breaker(train, one), lambda p: read_train(split), judge_split, train.name, 5
        ),
    ]


def state_readers(root: Path) -> list[Reader]:
    """Weights and checkpoints; a damaged checkpoint falls back to the one before it."""
    state = {"0.weight": torch.arange(6.0).reshape(2, 3), "0.bias": torch.ones(2)}
    path = root / "weights.safetensors"
    save_weights(path, state, {"widths": [2]})
    checkpoint = Checkpoint(root / "checkpoint.safetensors", 0)
    checkpoint.save([0.5], [1.0], state)
    checkpoint.save([0.5, 0.25], [1.0, 0.5], state)
    newest, before = checkpoint.path.read_bytes(), checkpoint.previous.read_bytes()
    first = checkpoint.load()

    def broken(rng: Random) -> None:
        checkpoint.path.write_bytes(newest)
        checkpoint.previous.write_bytes(before)
        for file, data in ((checkpoint.path, newest), (checkpoint.previous, before))[
            : rng.choice((1, 2))
        ]:
            file.write_bytes(edit_head(rng, data) if rng.random() < 0.4 else spoil(rng, data))

    def judge(item: Any, saved: Any) -> str:
        if saved is not None:
            errors = {(0.5,): [1.0], (0.5, 0.25): [1.0, 0.5]}
            assert errors[tuple(saved.errors)] == saved.losses and equal(
                saved.tensors, first.tensors
            )
        return "same"

    return [
        Reader(
            "weights",
            spoiler(path, checkpoint.path),
            load_weights,
            among(
                (state, {"widths": [2]}),
                (first.tensors, {"errors": [0.5, 0.25], "losses": [1.0, 0.5]}),
            ),
            path.name,
            4,
        ),
        Reader("checkpoint", broken, lambda item: checkpoint.load(), judge, "", 3),
    ]


def _image(rng: np.random.Generator, kind: str, size: int = 8) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def judge_source(item: Any, source: Any) -> str:
    """Square uint8 images of one size with labels of the named classes."""
    train, test, classes = source.train, source.test, source.classes
    for part in source.parts.values():
        n, side = part.images.shape[:2]
        assert (
            part.images.dtype == np.uint8
            and part.images.shape == (n, side, side, 3)
            and side <= 256
        )
        assert part.labels.dtype == np.int64 and part.labels.shape == (n,) and n
        assert 0 <= part.labels.min() <= part.labels.max() < len(classes)
    assert test is None or train.images.shape[1:] == test.images.shape[1:]
    assert all(type(name) is str for name in classes)
    return "valid"


def judge_sets(item: Any, sets: list[ExtraSet]) -> str:
    """One set, as many images of the size that was asked for in each part as there are labels."""
    (found,) = sets
    for part in found.parts:
        blocks = [*part.blocks()]
        assert all(block.dtype == np.uint8 and block.shape[1:] == (8, 8, 3) for block in blocks)
        assert sum(map(len, blocks)) == len(found.labels) == 15
    return "valid"


def judge_vectors(item: Any, source: Any) -> str:
    """Finite vectors of the shape that was asked for, with labels of the named classes.

    They are float32, or float64 where float32 cannot keep their values.
    """
    classes = source.classes
    for part in source.parts.values():
        assert (
            part.images.dtype in (np.float32, np.float64)
            and part.images.shape[1:] == (3, 2)
            and np.isfinite(part.images).all()
        )
        assert part.labels.dtype == np.int64 and len(part.labels) == len(part.images) > 0
        assert 0 <= part.labels.min() <= part.labels.max() < len(classes)
    return "valid"


def source_readers(root: Path) -> list[Reader]:
    """Single images, a folder of images, parquet files, CIFAR's batches and archives."""
    rng = np.random.default_rng(2)
    shown = new_folder(root / "images")
    for split in ("train", "test"):
        for name, kind in (("a", "png"), ("b", "jpeg")):
            (new_folder(shown / split / name) / f"0.{kind}").write_bytes(_image(rng, kind))
    png, jpeg = shown / "train/a/0.png", shown / "train/b/0.jpeg"

    def judge_image(item: Any, value: np.ndarray) -> str:
        assert value.dtype == np.uint8 and value.shape == (8, 8, 3)
        return "valid"

    def read_image(path: Path) -> np.ndarray:
        return read_picture(path.read_bytes(), str(path), PictureRule(8, "crop")).pixels

    tables = new_folder(root / "parquet")
    for split in ("train", "test"):
        write_parquet(
            tables / f"{split}-00000-of-00001.parquet",
            [_image(rng, "png") for _ in range(3)],
            [0, 1, 2],
        )
    table = tables / "train-00000-of-00001.parquet"
    npz = new_folder(root / "npz")
    for split in ("train", "test"):
        np.savez_compressed(
            npz / f"{split}.npz", inputs=rng.normal(size=(5, 3, 2)), labels=np.arange(5) % 3
        )
    further = extra_sets.corrupted(root / "further", pixels(3, size=8), np.arange(3))
    copies = new_folder(root / "copies")
    loose = [Path(shutil.copyfile(file, copies / file.name)) for file in (png, jpeg)]
    batches, archive, kind = small_cifar(new_folder(root / "cifar"))
    sound = archives._read_cifar(kind, batches)

    def as_arrays(source: Any) -> list[Any]:
        train, test = source.train, source.test
        return [train.images, train.labels, test.images, test.labels, source.classes]

    def read_archive(path: Path) -> Any:
        packed = type("Broken", (kind,), {"tgz_md5": hashlib.md5(path.read_bytes()).hexdigest()})
        return as_arrays(archives._cifar(packed, path.parent, download=False))

    def keeping(breaker: Callable[[Random], Path]) -> Callable[[Random], Path]:
        data = {png: png.read_bytes(), jpeg: jpeg.read_bytes()}

        def broken(rng: Random) -> Path:
            for path in data:
                path.write_bytes(data[path])
            return breaker(rng)

        return broken

    same, image = among(as_arrays(sound)), keeping(spoiler(png, jpeg))
    batch = batches / kind.base_folder / "train_batch"
    eight = PictureRule(8)
    return [
        Reader("png", spoiler(loose[0], loose[1]), read_image, judge_image, loose[0].name, 4),
        Reader("jpeg", spoiler(loose[1], loose[0]), read_image, judge_image, loose[1].name, 4),
        Reader(
            "image folder",
            image,
            lambda p: folder.image_folder(shown, eight),
            judge_source,
            "",
            1,
        ),
        Reader(
            "npz",
            spoiler(npz / "train.npz"),
            lambda p: vectors.vectors(npz, (3, 2)),
            judge_vectors,
            "npz",
            4,
        ),
        Reader(
            "parquet",
            spoiler(table),
            lambda p: parquet.parquet(tables, eight),
            judge_source,
            "parquet",
            6,
        ),
        Reader(
            "further test set",
            spoiler(further / "fog.npy"),
            lambda p: extra.read_extra("x", ExtraTest(str(further)), ("a", "b", "c"), eight),
            judge_sets,
            "fog.npy",
            4,
        ),
        Reader(
            "CIFAR batch",
            spoiler(batch),
            lambda p: as_arrays(archives._read_cifar(kind, batches)),
            same,
            "",
            2,
        ),
        Reader("CIFAR archive", spoiler(archive), read_archive, same, "", 3),
    ]


def write_parquet(path: Path, images: list[bytes], labels: list[int], **options: Any) -> None:
    """A file in the layout of the Hugging Face hub's cifar10."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    column = pa.array([{"bytes": data, "path": None} for data in images], kind)
    pq.write_table(
        pa.table({"img": column, "label": pa.array(labels, pa.int64())}), path, **options
    )


def small_cifar(root: Path) -> tuple[Path, Path, type[datasets.CIFAR10]]:
    """Four images in CIFAR-10's format, their archive elsewhere, and a class with their md5."""
    rng = np.random.default_rng(3)
    inside = new_folder(root / "batches" / "small")
    sums = {}
    for name in ("train_batch", "test_batch"):
        batch = {"data": rng.integers(0, 256, (2, 3072), dtype=np.uint8), "labels": [0, 1]}
        (inside / name).write_bytes(pickle.dumps(batch, protocol=2))
        sums[name] = hashlib.md5((inside / name).read_bytes()).hexdigest()
    (inside / "meta").write_bytes(pickle.dumps({"label_names": ["a", "b"]}, protocol=2))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(inside, "small")
    archive = new_folder(root / "packed") / "small.tar.gz"
    archive.write_bytes(gzip.compress(packed.getvalue(), mtime=0))
    facts = {
        "base_folder": "small",
        "filename": archive.name,
        "tgz_md5": hashlib.md5(archive.read_bytes()).hexdigest(),
        "train_list": [["train_batch", sums["train_batch"]]],
        "test_list": [["test_batch", sums["test_batch"]]],
        "meta": {
            "filename": "meta",
            "key": "label_names",
            "md5": hashlib.md5((inside / "meta").read_bytes()).hexdigest(),
        },
    }
    return root / "batches", archive, type("Small", (datasets.CIFAR10,), facts)
