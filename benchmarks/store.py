"""What writing and reading an epoch of the transfer set costs, with images, draws and logits.

`stages.store.shards` and `stages.store.epoch` (two safetensors files an epoch, made durable when
written, every byte verified by sha256 when read, logits bound to their images by hash) beside plain
files of the same arrays and beside one file per sample. Images are random bytes of 32 x 32 px,
logits have ten classes. Everything that is read was written just before: the page cache is warm for
all. Processor time is compared; where files go decides the time on the clock.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch

from benchmarks.measure import Cost, Row, compare, cpu_seconds, interleaved, main
from stages.images.draws import draw, order
from stages.images.hsv import Jitter
from stages.images.views import Views
from stages.store.epoch import Rebuild, read_epoch, read_targets
from stages.store.shards import images_hash, shard_path, write_images, write_logits

UNIT = "images per CPU-second"
JITTER = Jitter(hue=0.06, saturation=0.26, value=0.20, saturation_scale=0.21, value_scale=0.13)
SHARDS = "ours: shards"
DRAWS = "ours: shards of draws, without images"
NPY = ".npy files"
TORCH = "torch.save, one file"
BARE = "safetensors library, one file"
SAMPLES = "torch.save, one file per sample"
LOGITS = "torch.save, one file per sample, logits alone"
NO_CHECK = "no checksum, no fsync"
NOTES = {
    DRAWS: "24 bytes an image instead of 3,096; reading makes the images again and verifies their hash",
    NPY: NO_CHECK,
    TORCH: f"{NO_CHECK}; read with weights_only=True; a flipped byte of an array is not noticed",
    BARE: NO_CHECK,
    SAMPLES: f"{NO_CHECK}; fewer samples, cost per sample; read with weights_only=True",
    LOGITS: (
        f"{NO_CHECK}; what torchdistill caches; images, their order and draws come on top; "
        "cost per sample"
    ),
}
Arrays = dict[str, np.ndarray]
Alternatives = dict[str, Callable[[], int]]


def epoch_arrays(count: int) -> tuple[Arrays, Rebuild]:
    """One epoch of views of random images, its logits, and what makes the images again."""
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    index = order(0, 0, "benchmark", count)
    draws = draw(0, 0, "benchmark", count)
    views = Views(originals, "cpu", JITTER)

    def rebuild(index: np.ndarray, draws: np.ndarray) -> np.ndarray:
        return views(index, draws).numpy()

    images = rebuild(index, draws)
    labels = rng.integers(0, 10, count).astype(np.uint16)
    logits = rng.normal(size=(count, 10)).astype(np.float32)
    return {
        "images": images,
        "index": index,
        "labels": labels,
        "draws": draws,
        "logits": logits,
    }, rebuild


def ours(
    folder: Path, arrays: Arrays, rebuild: Rebuild, repeats: int
) -> tuple[Alternatives, Alternatives]:
    """Writing and reading shards, with and without images."""
    count = len(arrays["images"])
    pixels = images_hash(arrays["images"])
    facts = {name: array for name, array in arrays.items() if name != "logits"}

    def write(keep_images: bool) -> Callable[[], int]:
        place = folder / ("shards" if keep_images else "draws")

        def run() -> int:
            for _ in range(repeats):
                write_images(place / "images", 0, **facts, keep_images=keep_images)
                write_logits(place / "logits", 0, arrays["logits"], pixels)
            return repeats * count

        return run

    def read(keep_images: bool) -> Callable[[], int]:
        place = folder / ("shards" if keep_images else "draws")

        def run() -> int:
            for _ in range(repeats):
                shard = read_epoch(place / "images", 0, None if keep_images else rebuild)
                shard.images.copy()  # out of the memory map, as the others have theirs
                read_targets(place / "logits", 0, shard).copy()
            return repeats * count

        return run

    return {SHARDS: write(True), DRAWS: write(False)}, {SHARDS: read(True), DRAWS: read(False)}


def whole_files(folder: Path, arrays: Arrays, repeats: int) -> tuple[Alternatives, Alternatives]:
    """The arrays of an epoch in one file, or in one file each, as libraries write them."""
    count = len(arrays["images"])
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}

    def repeated(once: Callable[[], object]) -> Callable[[], int]:
        def run() -> int:
            for _ in range(repeats):
                once()
            return repeats * count

        return run

    writing = {
        NPY: lambda: [np.save(folder / f"{name}.npy", array) for name, array in arrays.items()],
        TORCH: lambda: torch.save(tensors, folder / "all.pt"),
        BARE: lambda: safetensors.numpy.save_file(arrays, folder / "all.safetensors"),
    }
    reading = {
        NPY: lambda: [np.load(folder / f"{name}.npy") for name in arrays],
        TORCH: lambda: torch.load(folder / "all.pt", weights_only=True),
        BARE: lambda: safetensors.numpy.load_file(folder / "all.safetensors"),
    }

    return tuple(
        {name: repeated(once) for name, once in each.items()} for each in (writing, reading)
    )


def sample_files(folder: Path, arrays: Arrays, count: int) -> tuple[Alternatives, Alternatives]:
    """One small file for each of the first `count` samples, read in order; all arrays or logits."""
    # copies: torch.save writes the whole storage of a view
    samples = [
        {name: torch.from_numpy(np.array(array[i])) for name, array in arrays.items()}
        for i in range(count)
    ]
    contents = {SAMPLES: samples, LOGITS: [sample["logits"] for sample in samples]}

    def write(name: str) -> Callable[[], int]:
        place = folder / name
        place.mkdir()

        def run() -> int:
            for i, content in enumerate(contents[name]):
                torch.save(content, place / f"{i}.pt")
            return count

        return run

    def read(name: str) -> Callable[[], int]:
        def run() -> int:
            for i in range(count):
                torch.load(folder / name / f"{i}.pt", weights_only=True)
            return count

        return run

    return {name: write(name) for name in contents}, {name: read(name) for name in contents}


def sha256_rate() -> float:
    """Megabytes that sha256 takes in a second of processor time."""
    data = bytes(64 * 10**6)
    seconds = []
    for _ in range(3):
        start = cpu_seconds()
        hashlib.sha256(data).digest()
        seconds.append(cpu_seconds() - start)
    return len(data) / 1e6 / statistics.median(seconds)


def measure(arguments: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """Rows for writing and for reading, and how fast sha256 is here."""
    torch.set_num_threads(1)
    count, few, repeats, turns = (2000, 400, 4, 5) if arguments.quick else (10_000, 1000, 3, 9)
    arrays, rebuild = epoch_arrays(count)
    folder = Path(tempfile.mkdtemp(prefix="store-"))

    try:
        kinds = ours(folder, arrays, rebuild, repeats), whole_files(folder, arrays, repeats)
        writing, reading = (
            {**a, **b, **c}
            for a, b, c in zip(*kinds, sample_files(folder, arrays, few), strict=True)
        )

        rows = []
        for case, alternatives in (("write an epoch", writing), ("read an epoch", reading)):
            interleaved(alternatives, 1)  # first runs import and fill caches
            costs: dict[str, list[Cost]] = interleaved(alternatives, turns)
            rows += compare(f"{case}, {count:,} images", SHARDS, costs, UNIT, notes=NOTES)

        sizes = {
            kind: shard_path(folder / kind / "images", 0).stat().st_size
            for kind in ("shards", "draws")
        }
    finally:
        shutil.rmtree(folder)

    return rows, {
        "threads": 1,
        "images": count,
        "bytes_of_image_shard": sizes,
        "sha256_MB_per_s": round(sha256_rate()),
    }


if __name__ == "__main__":
    main("store", __doc__ or "", measure)
