"""How much memory a stage takes: its peak, sampled while it runs on random images.

Each stage runs as a child, `python -m stages.NAME`, on a data set of random images with nets as
small as they can be, so that memory goes to the images. Memory is the PSS of all processes of the
stage, looked up several times a second: what processes share counts once, and so do pages of files
that are mapped. Peaks that last less than that are missed. Beside it are the images of `train`
themselves, once. With `--against FOLDER`, another checkout of this project, both take turns, and
their outputs must have the same bytes. It runs on Linux only.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from benchmarks.everyday import ENVIRONMENT, adopt_orphans, wait_for_orphans
from benchmarks.measure import ROOT, Row, main
from stages.settings import common
from stages.settings.inputs import Inputs
from stages.store.ensemble_manifest import EnsembleManifest, member_path
from stages.store.manifest import write_manifest
from stages.store.pieces import Pieces
from stages.store.prepared import write_split
from stages.store.shards import shard_path, write_images, write_logits
from stages.store.tensors import read_header
from stages.store.transfer_manifest import TransferManifest
from tools.pocket import pocket_params

OURS = "this checkout"
IMAGES = "the images themselves"
LOOK_S = 0.1
CHUNK = 4096
PICTURES = 1000
"""Of different content, for `prepare`."""
CLASSES = [f"class {k}" for k in range(10)]
ADDED = (
    "fit",
    "image_column",
    "label_column",
    "group",
    "unlabelled",
    "extra_tests",
)
"""Keys of `prepare` that may be left out, and that older checkouts do not know."""
CELL = ("mimic", "--row", "mlp2", "--budget", "60k")
STAGES = {
    "prepare": ("stages.prepare",),
    "augment": ("stages.augment",),
    "label": ("stages.label",),
    "students": ("stages.students", *CELL),
    "teachers": ("stages.teachers",),
}
OUTPUTS = {
    "prepare": "data/prepared",
    "augment": "data/augmented",
    "label": "data/logits",
    "students": "data/students/mlp2-60k",
    "teachers": "data/teachers",
}
"""What is compared; files of JSON have times in them."""


@dataclass(frozen=True)
class Used:
    """What one run of a stage took.

    Attributes:
        peak: highest sum of PSS seen, in bytes.
        cpu_s: processor time of all its processes.
        wall_s: on the clock.
        sha256: of its outputs.
    """

    stage: str
    build: str
    peak: int
    cpu_s: float
    wall_s: float
    sha256: str


# The data.


def random_images(count: int, side: int, seed: int) -> Pieces:
    """Random pixels, made while they are written."""

    def made() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(seed)
        for start in range(0, count, CHUNK):
            shape = (min(CHUNK, count - start), side, side, 3)
            yield rng.integers(0, 256, shape, dtype=np.uint8)

    return Pieces((count, side, side, 3), np.dtype(np.uint8), made())


def make_prepared(folder: Path, counts: dict[str, int], side: int) -> None:
    """data/prepared of random images with random labels."""
    header = {"classes": CLASSES, "source": "cluttered-digits"}
    for seed, (split, count) in enumerate(counts.items()):
        labels = np.random.default_rng(seed).integers(0, 10, count, dtype=np.uint8)
        write_split(folder, split, random_images(count, side, seed), labels, header)

    write_manifest(folder, {**header, "size_px": side, "images": counts})


def make_augmented(folder: Path, count: int, side: int, epochs: int) -> None:
    """data/augmented of random images, in the place of views."""
    index = np.arange(count, dtype=np.int32)
    for epoch in range(epochs):
        write_images(
            folder,
            epoch,
            images=random_images(count, side, 100 + epoch),
            index=index,
            labels=(index % 10).astype(np.uint16),
            draws=np.zeros((count, 9), np.uint16),
            keep_images=True,
        )

    hsv = common.HSV(0.06, 0.26, 0.2, 0.21, 0.13)
    TransferManifest(epochs, "images", hsv, crop_of(side), count).write(folder)


def make_ensemble(folder: Path, side: int) -> None:
    """An ensemble of one small teacher that has learnt nothing."""
    import torch

    from stages.nets.initial import glorot_
    from stages.nets.teacher import described_teacher
    from stages.store.weights import save_weights

    described = {
        "widths": [3, 4, 5, 8],
        "dropout": [0.0] * 5,
        "classes": 10,
        "size_px": Inputs.images(side).size_px,
    }
    net = glorot_(described_teacher(described), 1.0, torch.Generator().manual_seed(0))
    save_weights(member_path(folder, 0), net.state_dict(), described)
    EnsembleManifest((0,), (0.1,)).write(folder)


def make_logits(folder: Path, augmented: Path, epochs: int) -> None:
    """data/logits of random numbers for these images."""
    for epoch in range(epochs):
        header = read_header(shard_path(augmented, epoch))
        shape = (header["shape"][0], 10)
        values = np.random.default_rng(epoch).normal(size=shape).astype(np.float32)
        write_logits(folder, epoch, values, header["images_sha256"])

    write_manifest(folder, {"epochs": epochs, "members": 1})


def make_raw(folder: Path, counts: dict[str, int], side: int) -> None:
    """Picture files in the layout of the source image-folder: a thousand JPEG files, linked.

    A million files are a million names of these: read and decoded each, and on the disk once.
    """
    folder.mkdir(parents=True)
    made = []
    images = np.random.default_rng(3).integers(0, 256, (PICTURES, side, side, 3), dtype=np.uint8)
    for number, image in enumerate(images):
        made.append(folder / f".{number}.jpg")  # names with a dot are passed over
        Image.fromarray(image).save(made[-1], "JPEG")

    for part, count in counts.items():
        for label in range(10):
            (folder / part / str(label)).mkdir(parents=True)
        for place in range(count):
            file = folder / part / str(place % 10) / f"{place}.jpg"
            os.link(made[place * 7 % PICTURES], file)


def crop_of(side: int) -> int:
    """The paper's smallest crop, 24 of 32 px, at another side."""
    return 3 * side // 4


def others_of(count: int) -> int:
    """Images for validation, and for testing, beside so many for training."""
    return min(10_000, max(100, count // 20))


def write_params(folder: Path, arguments: argparse.Namespace) -> None:
    """params.yaml: pocket-sized nets and searches, the epochs that are asked for."""
    side, epochs, slots = arguments.side, arguments.epochs, arguments.slots
    one = {"trials": 1, "start": 1, "lag": 1, "engine": "sobol"}
    params = pocket_params(
        {
            "prepare.source": "image-folder",
            "prepare.path": "raw",
            "prepare.train": arguments.images,
            "prepare.validation": others_of(arguments.images),
            "prepare.test": others_of(arguments.images),
            "prepare.size_px": side,
            "ablation_rows": {},
            "tabulate.data": "random images",
            "images.crop_min_px": crop_of(side),
            "augment.epochs": epochs,
            "students.sweep": one,
            "students.rows": ["mlp2"],
            "students.training.max_epochs": epochs,
            "students.training.batch_size": 128,
            "students.final_seeds": 0,
            "teachers.sweep": one,
            "teachers.training.max_epochs": 1,
            "teachers.training.batch_size": 128,
            "ensemble.members": 1,
            "execution.engine": "serial" if slots == 1 else "local",
            "execution.slots": slots,
        }
    )
    for key in ADDED:
        params["prepare"].pop(key, None)

    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(params, file)


def make_inputs(folder: Path, stage: str, arguments: argparse.Namespace) -> None:
    """What a stage reads, unless an earlier stage has left it."""
    data = folder / "data"
    count, side, epochs = arguments.images, arguments.side, arguments.epochs
    others = others_of(count)

    makers: dict[str, Callable[[Path], None]] = {
        "prepared": lambda path: make_prepared(
            path, {"train": count, "validation": others, "test": others}, side
        ),
        "augmented": lambda path: make_augmented(path, count, side, epochs),
        "ensemble": lambda path: make_ensemble(path, side),
        "logits": lambda path: make_logits(path, data / "augmented", epochs),
    }
    if stage == "prepare":
        if not (folder / "raw").exists():
            make_raw(folder / "raw", {"train": count + others, "test": others}, side)
        return

    needed = {
        "augment": ("prepared",),
        "label": ("prepared", "augmented", "ensemble"),
        "students": ("prepared", "augmented", "ensemble", "logits"),
        "teachers": ("prepared",),
    }

    for name in needed[stage]:
        if not (data / name / "manifest.json").exists():
            makers[name](data / name)


# The memory.


def descendants(pid: int) -> Iterator[int]:
    """A process's children, their children and so on; without those that have just ended."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(word) for word in path.read_text().split()]
        except OSError:
            continue

        for child in children:
            yield child
            yield from descendants(child)


def pss(pid: int) -> int:
    """Memory of a process in bytes, pages that several share by parts; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0

    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def used_by(words: tuple[str, ...], checkout: Path, folder: Path) -> tuple[int, float, float]:
    """Peak in bytes, processor time and time on the clock of a module of a checkout.

    Raises:
        RuntimeError: it ends with an error.
    """
    log = folder / "memory.log"
    environment = {**ENVIRONMENT, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    before = os.times()
    started = time.perf_counter()

    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

        peak = 0
        while process.poll() is None:
            peak = max(peak, sum(map(pss, descendants(os.getpid()))))
            time.sleep(LOOK_S)

    wall = time.perf_counter() - started
    wait_for_orphans()
    after = os.times()

    if process.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        raise RuntimeError("\n".join([f"{' '.join(words)} of {checkout} failed:", *lines]))

    cpu = after.children_user + after.children_system
    return peak, cpu - before.children_user - before.children_system, wall


def fingerprint(folder: Path) -> str:
    """sha256 over the tensors of an output folder."""
    state = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        state.update(f"{path.relative_to(folder)} {digest}\n".encode())

    return state.hexdigest()


def run(stage: str, build: str, checkout: Path, folder: Path) -> Used:
    """One run of a stage from nothing."""
    for name in ("work", "metrics", OUTPUTS[stage]):
        shutil.rmtree(folder / name, ignore_errors=True)

    peak, cpu, wall = used_by(STAGES[stage], checkout, folder)
    found = Used(stage, build, peak, cpu, wall, fingerprint(folder / OUTPUTS[stage]))
    print(f"{stage}, {build}: {peak / 1e9:.2f} GB, {cpu:.1f} CPU-s, {wall:.1f} s", flush=True)
    return found


# The tables.


def shown(runs: list[Used]) -> str:
    """Medians of all runs of a stage and build, as a Markdown table."""
    lines = [
        "| stage | build | peak PSS, GB | CPU-s | wall, s | n |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for stage, build in dict.fromkeys((each.stage, each.build) for each in runs):
        those = [each for each in runs if (each.stage, each.build) == (stage, build)]
        peak, cpu, wall = (
            statistics.median(getattr(each, name) for each in those)
            for name in ("peak", "cpu_s", "wall_s")
        )
        lines.append(
            f"| {stage} | {build} | {peak / 1e9:.2f} | {cpu:.1f} | {wall:.1f} | {len(those)} |"
        )

    return "\n".join(lines)


def row(case: str, peer: str, unit: str, ours: list[float], theirs: list[float]) -> Row:
    """One comparison, turn by turn; above 1 ours takes less."""
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    middle = statistics.median
    return Row(
        case,
        peer,
        middle(ratios),
        min(ratios),
        max(ratios),
        unit,
        len(ratios),
        middle(ours),
        middle(theirs),
    )


def rows_of(runs: list[Used], size: int) -> list[Row]:
    """Peaks beside the images, and beside the other build's; processor time beside the other's.

    Args:
        size: bytes of the images of `train`.

    Raises:
        ValueError: two builds have left other bytes.
    """
    rows = []
    for stage in dict.fromkeys(each.stage for each in runs):
        those = [each for each in runs if each.stage == stage]
        if len({each.sha256 for each in those}) != 1:
            raise ValueError(f"{stage}: the builds have left different outputs")

        ours = [each for each in those if each.build == OURS]
        peaks = [each.peak / 1e9 for each in ours]
        rows.append(row(stage, IMAGES, "GB at its peak", peaks, [size / 1e9] * len(peaks)))

        others = [each for each in those if each.build != OURS]
        if others:
            peer = others[0].build
            rows += [
                row(stage, peer, "GB at its peak", peaks, [each.peak / 1e9 for each in others]),
                row(
                    stage,
                    peer,
                    "CPU-seconds",
                    [each.cpu_s for each in ours],
                    [each.cpu_s for each in others],
                ),
            ]

    return rows


def measure(arguments: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """Every stage, by every build in turn."""
    adopt_orphans()
    if arguments.quick:
        arguments.images, arguments.side, arguments.turns = 400, 32, 1

    builds = {OURS: ROOT}
    if arguments.against is not None:
        builds[arguments.name] = arguments.against.resolve()

    runs = []
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="memory-") as name:
        folder = Path(name)
        write_params(folder, arguments)

        for stage in arguments.stages:
            make_inputs(folder, stage, arguments)
            for turn in range(arguments.turns):
                order = list(builds) if turn % 2 == 0 else list(reversed(builds))
                runs += map(partial(_run, stage, builds, folder), order)

    print(f"\n{shown(runs)}\n")
    facts = {
        name: getattr(arguments, name) for name in ("images", "side", "epochs", "slots", "turns")
    }
    size = arguments.images * Inputs.images(arguments.side).bytes
    return rows_of(runs, size), {**facts, "runs": [asdict(each) for each in runs]}


def _run(stage: str, builds: dict[str, Path], folder: Path, build: str) -> Used:
    return run(stage, build, builds[build], folder)


def options(parser: argparse.ArgumentParser) -> None:
    """How much data, which stages, and beside what."""
    parser.add_argument("--images", type=int, default=20_000, help="of train (default 20000)")
    parser.add_argument("--side", type=int, default=64, help="in pixels (default 64)")
    parser.add_argument("--epochs", type=int, default=2, help="of the transfer set (default 2)")
    parser.add_argument("--slots", type=int, default=1, help="processes at a time (default 1)")
    parser.add_argument("--turns", type=int, default=1, help="of each build (default 1)")
    parser.add_argument(
        "--stages", nargs="+", choices=STAGES, default=list(STAGES), help="default all"
    )
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout")
    parser.add_argument("--name", default="the other checkout", help="what to call it in the table")
    parser.add_argument("--folder", type=Path, help="for the data; a temporary one by default")


if __name__ == "__main__":
    main("memory", __doc__ or "", measure, options)
