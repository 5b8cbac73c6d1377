"""Several trials on one device: images a second of all together, beside one eager trial at a time.

For every net and every number of trials at a time, as many processes train the same net on resident
random images, as `local` does with `execution.trials_per_gpu`. "plain" runs every step from Python,
"graphs" captures it once and replays it; with MPS the processes share the GPU's units instead of
taking turns (`--mps` starts nvidia-cuda-mps-control for the time of the measurement, in a folder of
its own, and says so where that does not work). A ratio is images a second of all trials over those
of one plain trial alone. Memory is the sum of what the processes' allocators had reserved at
most, with what a graph keeps for itself; a process's own CUDA context (about 0.5 GB) comes on top.

On a CPU there are no graphs and no MPS; the cores are what is shared there, and `--device cpu` is
for tests.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from ruamel.yaml import YAML

from benchmarks.measure import Row, main
from benchmarks.train import make_task, teacher
from commands.sizing.scales import compose
from stages.fit.loop import Recipe, Steps
from stages.fit.step import SGD
from stages.nets.budget import plan
from stages.nets.families import FAMILIES
from stages.nets.initial import glorot_
from stages.nets.student import build_student
from stages.runtime.device import check_precision, choose_device, set_up_torch
from stages.settings.budgets import parse_budget
from stages.settings.students import row

CASES = ("mlp1 1M", "mlp1 31.6M", "conv1 1M", "conv4 10M", "teacher")
ALONE = "one plain trial at a time"
PRELOAD = ("stages.fit.loop", "stages.nets.student", "benchmarks.train")


@dataclass(frozen=True)
class Load:
    """What each of the processes does: a net, its batches, for so many seconds."""

    case: str
    graphs: bool
    device: str
    precision: str
    batch: int
    images: int
    seconds: float


@dataclass(frozen=True)
class Found:
    """Of one process: images a second, and bytes reserved by its allocator at most (0 on a CPU)."""

    speed: float
    memory: int


def net_of(case: str) -> torch.nn.Sequential:
    """The net of a case: a student in the middle of the paper's boxes, or the middle teacher."""
    if case == "teacher":
        net = teacher(0.5)
    else:
        family, budget = case.split()
        boxes = row(YAML(typ="safe").load(compose("paper")), "mimic", family).boxes
        middle = [0.5] * FAMILIES[family].controls
        net = build_student(
            plan(family, parse_budget(budget), middle, None if boxes is None else boxes[budget])
        )

    glorot_(net, 1.0, torch.Generator().manual_seed(0))
    return net


def train(load: Load, ready: Any, answers: Any) -> None:
    """One trial's process: make everything, wait for the others, train until the time is over."""
    device = choose_device(load.device)
    set_up_torch(1, device)
    task = make_task(
        "teacher" if load.case == "teacher" else "mlp1 1M", load.images, device, load.batch
    )
    net = net_of(load.case).to(device).to(memory_format=torch.channels_last)
    loss = "l2_on_logits" if task.mimics else "cross_entropy"
    recipe = Recipe(loss, 1e-6, 0.9, 0.0, load.batch, None, load.precision)
    steps = Steps(net, SGD(net, recipe.momentum, recipe.weight_decay), recipe, load.graphs)
    images = torch.from_numpy(task.images).to(device)
    targets = torch.from_numpy(task.logits if task.mimics else task.labels).to(device)
    steps.prepare(images, targets)
    steps.run(lambda share: recipe.lr, [(images, targets)])
    ready.wait()

    # A step ends with the loss on the host: nothing is left in the queue.
    count = 0
    begun = time.perf_counter()
    while time.perf_counter() - begun < load.seconds:
        steps.run(lambda share: recipe.lr, [(images, targets)])
        count += len(images)
    past = time.perf_counter() - begun

    reserved = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else 0
    answers.put(Found(count / past, reserved))


def together(load: Load, trials: int) -> list[Found]:
    """So many processes at a time.

    Raises:
        ChildProcessError: one of them died, for want of memory as a rule.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    ready = context.Barrier(trials)
    answers = context.SimpleQueue()
    workers = [
        context.Process(target=train, args=(load, ready, answers), daemon=True)
        for _ in range(trials)
    ]
    for worker in workers:
        worker.start()

    try:
        for worker in workers:
            while worker.is_alive():
                worker.join(0.2)
                if any(other.exitcode for other in workers):
                    break

            if any(other.exitcode for other in workers):
                raise ChildProcessError(
                    f"{trials} trials of {load.case} at a time: one of them died, see above"
                )

        return [answers.get() for _ in workers]
    finally:
        for worker in workers:
            worker.kill()


@contextmanager
def sharing(wanted: bool) -> Iterator[str]:
    """MPS for the processes that are started meanwhile; yields "on", "off", or why it is not on."""
    program = shutil.which("nvidia-cuda-mps-control")
    if not wanted or program is None:
        yield "nvidia-cuda-mps-control is not installed" if wanted else "off"
        return

    with tempfile.TemporaryDirectory() as folder:
        names = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY")
        os.environ.update(dict.fromkeys(names, folder))
        done = subprocess.run([program, "-d"], capture_output=True, text=True)
        state = "on"
        if done.returncode != 0:
            state = f"not started: {(done.stdout + done.stderr).strip()[:200]}"

        try:
            yield state
        finally:
            subprocess.run([program], input="quit\n", capture_output=True, text=True)
            for name in names:
                del os.environ[name]


def packed(
    load: Load, packs: list[int], modes: list[tuple[str, bool]]
) -> tuple[list[Row], dict[str, Any]]:
    """Rows of one net, each beside one plain trial alone, and the memory of each."""
    rows = []
    memory = {}
    alone = 0.0
    for mode, graphs in modes:
        for trials in packs:
            name = f"{load.case}, {trials} x {mode}"
            try:
                found = together(Load(**{**vars(load), "graphs": graphs}), trials)
            except ChildProcessError as error:
                memory[name] = str(error)
                print(f"{name}: {error}")
                break

            speed = sum(each.speed for each in found)
            memory[name] = sum(each.memory for each in found)
            if not alone:
                alone = speed  # the first of all is one plain trial
            else:
                rows.append(
                    Row(name, ALONE, *[speed / alone] * 3, "images per second", 1, speed, alone)
                )

    return rows, memory


def measure(arguments: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """All nets."""
    device = choose_device(arguments.device)
    check_precision(device, arguments.precision)
    cuda = device.type == "cuda"
    rows = []
    memory = {}
    cases = arguments.cases or (CASES[:1] if arguments.quick else CASES)
    packs = [1, 2] if arguments.quick else sorted({1, *arguments.packs})
    images = arguments.images or (40_960 if cuda else 2 * arguments.batch)
    seconds = 1.0 if arguments.quick else arguments.seconds
    modes = [("plain", False), *([("graphs", True)] if cuda else [])]

    # the server of the processes must not be there yet: what it was started with is what they have
    with sharing(arguments.mps) as mps:
        for case in cases:
            load = Load(
                case, False, device.type, arguments.precision, arguments.batch, images, seconds
            )
            more, held = packed(load, packs, modes)
            rows += more
            memory |= held

    where = torch.cuda.get_device_name(device) if cuda else "CPU, 1 thread a trial"
    return rows, {
        "device": where,
        "mps": mps,
        "memory_bytes": memory,
        "precision": arguments.precision,
    }


def options(parser: argparse.ArgumentParser) -> None:
    """Arguments of this benchmark."""
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument(
        "--batch", type=int, default=128, help="images per step; 128 is the pipeline's"
    )
    parser.add_argument(
        "--images", type=int, help="resident images; default 40,960 on a GPU, two batches on a CPU"
    )
    parser.add_argument(
        "--packs",
        type=int,
        nargs="*",
        default=[1, 2, 4, 8],
        help="trials at a time (default 1 2 4 8)",
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="of each measurement (default 5)"
    )
    parser.add_argument(
        "--cases", nargs="*", choices=CASES, help="nets; default: all, with --quick the first"
    )
    parser.add_argument("--mps", action="store_true", help="with NVIDIA's Multi-Process Service")


if __name__ == "__main__":
    main("packing", __doc__ or "", measure, options)
