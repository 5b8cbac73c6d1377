"""Training speed of `fit.loop` beside the loops a user would otherwise run, on the same nets.

Peers, written from the design of those projects, with torch's own parts and default settings:

- `PIL + DataLoader`: one `__getitem__` per image that makes a PIL image, crops it with padding,
  mirrors it, turns it into a normalised float tensor; a DataLoader; `torch.optim.SGD`; loss and
  accuracy read back at every step. What RepDistiller, mdistiller and torchdistill run to train one
  net on labels.
- `PIL + live teacher`: the same, and one forward pass of one teacher per step for the logits to be
  mimicked, as these three distil; for a teacher of middle size and for the largest of the search
  space.
- `eager, resident`: normalised float32 images on the device, sliced in order, `torch.optim.SGD`; no
  image work.

Ours reads stored uint8 views in their order, as the stage `students` does; making them once for all
trials is timed by `benchmarks.augment`. Each loop lives in a process of its own, since the pipeline
sets up the memory of its processes and no other loop may profit from that; they take turns. The
DataLoader runs without worker processes: processor time is compared on a CPU, and workers only add
to it. On CUDA the clock is compared, with eight workers. `--loops` times some of the loops, as ours
alone.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import measure
from benchmarks.measure import Row
from benchmarks.peers import resident, with_loader
from stages.fit.loop import Recipe, Steps
from stages.fit.step import SGD
from stages.nets.budget import forward_macs, plan
from stages.nets.families import control_names
from stages.nets.initial import glorot_
from stages.nets.student import build_student
from stages.nets.teacher import build_teacher
from stages.nets.teacher_layers import teacher_macs, teacher_widths
from stages.runtime.device import check_precision, choose_device, set_up_torch

BOXES = {"mlp1": [(500, 5000)], "conv2": [(20, 120)] * 2, "conv4": [(25, 100)] * 2}
"""Width boxes of the paper's Table 3 at 1M; nets are taken at the middle of each."""
TEACHER_BOXES = {"C1": (32, 96), "C2": (64, 192), "C3": (128, 384), "H1": (512, 1536)}
CASES = ("mlp1 1M", "conv2 1M", "conv4 1M", "teacher 7.6M")
LIVE = {"PIL + live 7.6M teacher": 0.5, "PIL + live 17M teacher": 1.0}
"""Peers with a teacher, and its place between the smallest and largest of the search space."""
PEERS = ("PIL + DataLoader", *LIVE, "eager, resident")
OURS = ("fp32", "bf16")
EAGER = tuple(f"{precision} without graphs" for precision in OURS)
CUDA_WORKERS = 8
PRELOAD = ("stages.fit.loop", "stages.nets.student", "torch.utils.data", "torchvision.transforms")
NOTES = {
    "PIL + DataLoader": "crops with padding instead of rescaled crops, no colour jitter; labels as targets",
    "PIL + live 7.6M teacher": (
        "the same images; the forward pass of one teacher of middle size in every step"
    ),
    "PIL + live 17M teacher": "the same images; the forward pass of the largest teacher of the search space",
    "eager, resident": "no image work at all",
}


@dataclass(frozen=True)
class Task:
    """What all loops of one case train on.

    Attributes:
        case: name of the net.
        images: uint8 (n, 32, 32, 3).
        labels: int64 (n,).
        logits: float32 (n, 10).
        device: of the training.
        batch: images per step.
    """

    case: str
    images: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    device: torch.device
    batch: int

    def net(self) -> nn.Sequential:
        """A fresh net of the case on the host."""
        family = self.case.split()[0]
        if family == "teacher":
            net = teacher(0.5)
        else:
            net = build_student(student_plan(family))
        glorot_(net, 1.0, torch.Generator().manual_seed(0))
        return net

    @property
    def mimics(self) -> bool:
        """Whether the net learns logits; a teacher learns labels."""
        return not self.case.startswith("teacher")


def student_plan(family: str) -> Any:
    """The 1M student at the middle of its boxes."""
    return plan(family, 1_000_000, [0.5] * len(control_names(family)), BOXES[family])


def teacher(control: float) -> nn.Sequential:
    """The teacher at that place of its boxes, 0 to 1; no dropout, so that all loops agree."""
    return build_teacher(
        teacher_widths(dict.fromkeys(TEACHER_BOXES, control), TEACHER_BOXES), [0.0] * 5
    )


def macs(case: str) -> int:
    """Multiply-accumulates of one image in a forward pass."""
    family = case.split()[0]
    if family == "teacher":
        return teacher_macs(teacher_widths(dict.fromkeys(TEACHER_BOXES, 0.5), TEACHER_BOXES))
    return forward_macs(student_plan(family))


def ours(task: Task, precision: str, graphs: bool = True) -> Callable[[], int]:
    """Our loop on resident uint8 images."""
    net = task.net().to(task.device, memory_format=torch.channels_last)
    loss = "l2_on_logits" if task.mimics else "cross_entropy"
    recipe = Recipe(loss, 1e-4, 0.9, 0.0, task.batch, None, precision)
    steps = Steps(net, SGD(net, recipe.momentum, recipe.weight_decay), recipe, graphs)
    images = torch.from_numpy(task.images).to(task.device)
    targets = torch.from_numpy(task.logits if task.mimics else task.labels).to(task.device)
    steps.prepare(images, targets)

    def epoch() -> int:
        steps.run(lambda share: recipe.lr, [(images, targets)])
        return len(images)

    return epoch


def loop_names(
    case: str, precisions: Sequence[str], cuda: bool, asked: Sequence[str] | None = None
) -> list[str]:
    """The loops of a case, all or those asked for; ours are named by their precision.

    Raises:
        SystemExit: the case has none of those asked for.
    """
    found = [*precisions, *PEERS]
    if case.startswith("teacher"):
        found = [name for name in found if name not in LIVE]  # it learns labels
    if cuda:
        found += [f"{precision} without graphs" for precision in precisions]

    chosen = [name for name in found if asked is None or name in asked]
    if not chosen:
        raise SystemExit(
            f"error: --loops is {', '.join(map(repr, asked or []))}, and {case} has none of them "
            f"on this device: allowed are {', '.join(map(repr, found))}"
        )
    return chosen


def make_loop(
    name: str, case: str, images: int, device_name: str, batch: int, workers: int
) -> Callable[[], int]:
    """The loop of that name in this process, run once: kernels are chosen and memory is taken."""
    device = choose_device(device_name)
    if name in PEERS:
        torch.set_num_threads(1)
    else:
        set_up_torch(1, device)

    task = make_task(case, images, device, batch)
    words = name.split()
    if name == "eager, resident":
        loop = resident(task)
    elif words[0] == "PIL":
        loop = with_loader(task, teacher(LIVE[name]) if name in LIVE else None, workers)
    else:
        loop = ours(task, words[0], graphs="without" not in words)

    loop()
    return loop


def first_step(case: str, precision: str, device_name: str, batch: int) -> Callable[[], int]:
    """What a trial does in its new process until its first step is through, imports apart."""
    device = choose_device(device_name)
    set_up_torch(1, device)
    ours(make_task(case, batch, device, batch), precision)()
    return lambda: 1


def start_up(case: str, precision: str, arguments: argparse.Namespace, turns: int) -> list[float]:
    """Seconds on the clock of `first_step` in processes of their own."""
    make = {"start": partial(first_step, case, precision, arguments.device, arguments.batch)}
    found = []
    for _ in range(turns):
        made: dict[str, measure.Cost] = {}
        with measure.processes(make, PRELOAD, made=made):
            found.append(made["start"].wall_s)
    return found


def make_task(case: str, images: int, device: torch.device, batch: int) -> Task:
    """Random pixels, labels and logits: speed does not depend on what they show."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (images, 32, 32, 3)).astype(np.uint8)
    labels = rng.integers(0, 10, images)
    return Task(
        case, pixels, labels, rng.standard_normal((images, 10)).astype(np.float32), device, batch
    )


def unit_of(cuda: bool) -> str:
    """What is compared: seconds on the clock for a GPU, else those of the processor."""
    return f"images per {'second' if cuda else 'CPU-second'}"


def rates_of(costs: dict[str, list[measure.Cost]], cuda: bool) -> dict[str, float]:
    """Each loop's median, in the unit that is compared; for ours alone there is no row."""
    return {
        name: 1 / statistics.median(cost.wall_s if cuda else cost.cpu_s for cost in found)
        for name, found in costs.items()
    }


def rows_of(
    case: str, costs: dict[str, list[measure.Cost]], precisions: tuple[str, ...], cuda: bool
) -> list[Row]:
    """One row for each precision of ours and each peer, and one for bf16 beside fp32."""
    unit = unit_of(cuda)
    rows = []
    precisions = tuple(precision for precision in precisions if precision in costs)
    for precision in precisions:
        chosen = {
            name: cost
            for name, cost in costs.items()
            if name not in precisions or name == precision
        }
        rows += measure.compare(
            f"{case}, {precision}", precision, chosen, unit, wall=cuda, notes=NOTES
        )

    if len(precisions) == 2:
        both = {name: costs[name] for name in precisions}
        rows += [
            replace(row, peer="ours in fp32")
            for row in measure.compare(f"{case}, bf16", "bf16", both, unit, wall=cuda)
        ]

    return rows


def images_of(case: str, name: str, arguments: argparse.Namespace, cuda: bool) -> int:
    """Images per turn of a loop: several steps of a small net, few of a large one.

    Costs are per image.
    """
    if cuda:
        return 40_000
    large = not case.startswith("mlp") or name in LIVE
    steps = (1 if case.startswith("teacher") else 2) if arguments.quick else 4
    return arguments.batch * (steps if large else 16 if arguments.quick else 32)


def run(arguments: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """All cases."""
    # The precisions that the device has.
    device = choose_device(arguments.device)
    precisions: tuple[str, ...] = OURS
    try:
        check_precision(device, "bf16")
    except ValueError as error:
        print(f"fp32 only: {error}")
        precisions = ("fp32",)

    cuda = device.type == "cuda"
    workers = (CUDA_WORKERS if cuda else 0) if arguments.workers is None else arguments.workers
    rows = []
    nets = {}
    turns = 2 if arguments.quick else arguments.turns

    for case in arguments.cases or (CASES[:2] if arguments.quick else CASES):
        # All loops in turns.
        names = loop_names(case, precisions, cuda, arguments.loops)
        makers = {
            name: partial(
                make_loop,
                name,
                case,
                images_of(case, name, arguments, cuda),
                arguments.device,
                arguments.batch,
                workers,
            )
            for name in names
        }
        with measure.processes(makers, PRELOAD, cuda) as loops:
            costs = measure.interleaved(loops, turns)
        rows += rows_of(case, costs, precisions, cuda)

        rates = rates_of(costs, cuda)
        for name, rate in rates.items():
            print(f"{case}, {name}: {rate:.4g} {unit_of(cuda)}")

        # The start of a trial.
        starts = start_up(case, precisions[-1], arguments, turns)
        print(
            f"{case}, {precisions[-1]}: {statistics.median(starts):.2f} s until a trial's first "
            "step is through"
        )
        nets[case] = {"forward_macs": macs(case), "start_up_s": starts, "rates": rates}

    where = torch.cuda.get_device_name(device) if cuda else "CPU, 1 thread"
    return rows, {"device": where, "batch": arguments.batch, "nets": nets}


def options(parser: argparse.ArgumentParser) -> None:
    """Arguments of this benchmark."""
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument(
        "--batch", type=int, default=128, help="images per step; 128 is the pipeline's"
    )
    parser.add_argument("--turns", type=int, default=7, help="of each loop")
    parser.add_argument(
        "--cases", nargs="*", choices=CASES, help="default: all, with --quick the first two"
    )
    parser.add_argument(
        "--loops",
        nargs="+",
        choices=(*OURS, *EAGER, *PEERS),
        help="default: all that the case has on the device; ours are fp32 and bf16",
    )
    parser.add_argument(
        "--workers",
        type=int,
        help=f"of the DataLoader; default: {CUDA_WORKERS} on CUDA, none on a CPU",
    )


if __name__ == "__main__":
    measure.main("train", __doc__, run, options)
