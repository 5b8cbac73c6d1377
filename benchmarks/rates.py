"""Rates of this device for each kind of work, from which `commands.scale --cost` predicts hours.

Timed is the project's own code: `fit.loop.Steps` on the mid-box nets of `benchmarks.train` in
batches of 128, `fit.evaluate.logits` of a teacher on batches of 1000, `images.views.Views`, and the
shards of `stages.store`. Rates are per CPU-second of one thread; on CUDA per second on the clock,
but for the shards, which the host reads and writes there too. "train conv" gives conv2, conv4 and
the teacher equal numbers of operations. Files are in the page cache, and waiting for a disk is not
counted.

`--write` puts the entry of this device into commands/sizing/rates.json in the place of the one of
that name. A GPU's entry also replaces what was assumed for it. Rows compare bf16 with fp32, where
the device has both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import measure, store, train
from benchmarks.measure import Cost, Row
from commands.sizing.cost import FLOPS_PER_MAC, PER_CORE, RATES, TRAINING_PASSES, Device, devices
from stages.fit.evaluate import logits
from stages.images.draws import draw, order
from stages.images.views import Views
from stages.runtime.device import check_precision, choose_device, set_up_torch
from stages.store.epoch import read_epoch, read_targets
from stages.store.shards import images_hash, shard_path, write_images, write_logits

TRAINED = {"train conv": ("conv2 1M", "conv4 1M", "teacher 7.6M"), "train mlp": ("mlp1 1M",)}
LABELLED = "teacher 7.6M"
EVAL_BATCH = 1000
Works = dict[str, Callable[[], int]]
"""Name -> a function that does some work and returns how many operations, images or bytes."""


def device_name(device: torch.device) -> str:
    """As in rates.json: "1 core of AMD EPYC (AVX-512, bf16)", "one NVIDIA H200"."""
    if device.type == "cuda":
        return f"one {torch.cuda.get_device_name(device)}"
    flags = _flags()
    known = {"AVX-512": "avx512f", "bf16": "avx512_bf16", "AMX": "amx_bf16"}
    able = [name for name, flag in known.items() if flag in flags]
    return f"{PER_CORE}{measure.environment()['processor']}" + (
        f" ({', '.join(able)})" if able else ""
    )


def _flags() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].split() for line in lines if line.startswith("flags"))
    except (OSError, StopIteration):
        return [platform.machine()]


def precisions(device: torch.device) -> tuple[str, ...]:
    """fp32, and bf16 where the device computes it."""
    try:
        check_precision(device, "bf16")
    except ValueError as error:
        print(f"fp32 only: {error}", file=sys.stderr)
        return ("fp32",)
    return ("fp32", "bf16")


def training(case: str, precision: str, device: torch.device, images: int) -> Callable[[], int]:
    """Operations of an epoch of one net in training."""
    loop = train.ours(train.make_task(case, images, device, 128), precision)
    each = train.macs(case) * FLOPS_PER_MAC * TRAINING_PASSES
    return lambda: loop() * each


def labelling(precision: str, device: torch.device, images: int) -> Callable[[], int]:
    """Operations of a teacher's forward passes."""
    task = train.make_task(LABELLED, images, device, 128)
    net = task.net().to(device, memory_format=torch.channels_last)
    pixels = torch.from_numpy(task.images).to(device)
    each = train.macs(LABELLED) * FLOPS_PER_MAC

    def run() -> int:
        logits(net, pixels, EVAL_BATCH, precision).cpu()
        return images * each

    return run


def viewing(device: torch.device, images: int) -> Callable[[], int]:
    """Images of one augmented epoch, back on the host, their planes kept as in `augment`."""
    originals = train.make_task("mlp1 1M", images, device, 128).images
    views = Views(originals, device, store.JITTER)
    index = order(0, 0, "benchmark", images)
    draws = draw(0, 0, "benchmark", images)
    return lambda: len(views(index, draws).cpu().numpy())


def storing(folder: Path, images: int, epochs: int = 1) -> Works:
    """Bytes of some epochs of the transfer set, written and read, with images and logits."""
    arrays, _ = store.epoch_arrays(images)
    facts = {name: array for name, array in arrays.items() if name != "logits"}
    pixels = images_hash(arrays["images"])
    both = folder / "images", folder / "logits"

    def size() -> int:
        return sum(
            shard_path(place, epoch).stat().st_size for place in both for epoch in range(epochs)
        )

    def write() -> int:
        for epoch in range(epochs):
            write_images(both[0], epoch, **facts, keep_images=True)
            write_logits(both[1], epoch, arrays["logits"], pixels)
        return size()

    def read() -> int:
        for epoch in range(epochs):
            read_targets(both[1], epoch, read_epoch(both[0], epoch, None))
        return size()

    return {"store write": write, "store read": read}


def works(device: torch.device, folder: Path, quick: bool) -> Works:
    """Everything that is timed, run once: kernels are chosen and files are there."""
    cuda = device.type == "cuda"
    conv, mlp, many = (
        (16_384, 40_960, 40_000) if cuda else (128, 2048, 1000) if quick else (256, 8192, 4000)
    )
    label = 16_000 if cuda else 200 if quick else EVAL_BATCH

    found: Works = {}
    for precision in precisions(device):
        for work, cases in TRAINED.items():
            for case in cases:
                few = 128 if case == LABELLED and not cuda else mlp if work == "train mlp" else conv
                found[f"{work}, {case} {precision}"] = training(case, precision, device, few)
        found[f"label {precision}"] = labelling(precision, device, label)

    found |= {"views": viewing(device, many), **storing(folder, many)}
    for run in found.values():
        run()
    return found


def rates(costs: Mapping[str, list[Cost]], cuda: bool) -> dict[str, list[float]]:
    """Amount a second of each turn; nets that share a rate count for equal operations."""
    seconds: dict[str, list[list[float]]] = {}
    for name, turns in costs.items():
        work, _, rest = name.partition(", ")
        key = f"{work} {rest.split()[-1]}" if rest else name
        clock = cuda and not name.startswith("store")
        seconds.setdefault(key, []).append([cost.wall_s if clock else cost.cpu_s for cost in turns])

    return {
        key: [1 / statistics.mean(turn) for turn in zip(*each, strict=True)]
        for key, each in seconds.items()
    }


def entry(
    found: Mapping[str, list[float]], device: torch.device, turns: int, load: float
) -> Device:
    """This device for rates.json: medians, to three digits."""
    options = " --device cuda" if device.type == "cuda" else ""
    how = (
        f"`python -m benchmarks.rates{options} --write`, load {load:.1f} on {os.cpu_count()} cores"
    )
    medians = {key: float(f"{statistics.median(each):.3g}") for key, each in found.items()}
    return Device(device_name(device), torch.__version__.split("+")[0], how, turns, True, medians)


def write(new: Device, path: Path = RATES) -> None:
    """Put an entry in place of the one of its name, and of what was assumed for its device."""

    def same(old: Device) -> bool:
        return old.device == new.device or (
            not old.measured and old.device.split()[-1] in new.device.split()
        )

    kept = [old for old in devices(path) if not same(old)]
    listed = sorted(
        [*kept, new], key=lambda device: (not device.device.startswith(PER_CORE), device.device)
    )
    path.write_text(
        json.dumps([asdict(device) for device in listed], indent=1) + "\n", encoding="utf-8"
    )


def rows_of(costs: Mapping[str, list[Cost]], cuda: bool) -> list[Row]:
    """bf16 beside fp32, for each net."""
    rows = []
    for name in costs:
        if name.endswith(" bf16"):
            other = name.removesuffix("bf16") + "fp32"
            pair = {"bf16": costs[name], "ours in fp32": costs[other]}
            unit = f"operations per {'second' if cuda else 'CPU-second'}"
            rows += measure.compare(name, "bf16", pair, unit, wall=cuda)
    return [replace(row, note="another rounding of the same operations") for row in rows]


def run(arguments: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """Rows, and the entry with the rates of every turn."""
    device = choose_device(arguments.device)
    set_up_torch(1, device)
    cuda = device.type == "cuda"
    turns = 3 if arguments.quick else 9
    load = os.getloadavg()[0]
    folder = Path(tempfile.mkdtemp(prefix="rates-"))

    try:
        costs = measure.interleaved(works(device, folder, arguments.quick), turns)
    finally:
        shutil.rmtree(folder)

    found = rates(costs, cuda)
    new = entry(found, device, turns, load)
    print(json.dumps(asdict(new), indent=1))
    if arguments.write:
        write(new)
    spread = {key: [min(each), max(each)] for key, each in found.items()}

    return rows_of(costs, cuda), {"entry": asdict(new), "lowest_and_highest": spread}


def options(parser: argparse.ArgumentParser) -> None:
    """Arguments of this benchmark."""
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument(
        "--write", action="store_true", help="put the entry into commands/sizing/rates.json"
    )


if __name__ == "__main__":
    measure.main("rates", __doc__ or "", run, options)
