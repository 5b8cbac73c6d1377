"""How well bfloat16 agrees with float32, and on CUDA captured steps with eager ones, in small runs.

Students of the smoke scale's sizes learn fixed logits and a small teacher learns labels, on
embedded images (cluttered digits), the same seeds and batches for both. A row's ratio is the best
validation accuracy in bf16 over that in fp32, the median, lowest and highest over the seeds: 1 is
agreement. Runs that differ in the last bits of one step drift apart, as two seeds do, so
"environment" holds two measures more: the largest relative difference of an epoch's loss in the
first epochs, and the mean difference of the accuracies beside their deviation between seeds; and
the curves.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import measure
from benchmarks.measure import Row
from stages.fit.batches import Pair
from stages.fit.loop import Outcome, Recipe, train
from stages.images.sources.digits import cluttered_digits
from stages.nets.budget import plan
from stages.nets.families import control_names
from stages.nets.initial import glorot_
from stages.nets.student import build_student
from stages.nets.teacher import build_teacher
from stages.runtime.device import check_precision, choose_device, set_up_torch

TRAIN = 600
VALIDATION = 400
FIRST = 3
RECIPE = Recipe("l2_on_logits", 3e-4, 0.9, 0.0, 16, 1)
CASES = {
    "mlp1 60k": ([(40, 120)], RECIPE),
    "conv2 60k": ([(8, 16), (8, 14)], RECIPE),
    "conv4 60k": ([(6, 10), (12, 16)], RECIPE),
    "teacher": (None, replace(RECIPE, loss="cross_entropy", lr=0.006)),
}


def net_of(case: str, seed: int) -> torch.nn.Module:
    """A fresh net of the case."""
    boxes = CASES[case][0]
    family = case.split()[0]
    if boxes is None:
        net: torch.nn.Module = build_teacher((16, 24, 32, 64), [0.0] * 5)
    else:
        net = build_student(plan(family, 60_000, [0.5] * len(control_names(family)), boxes))
    return glorot_(net, 1.35 if boxes is None else 0.85, torch.Generator().manual_seed(seed))


def targets_of(case: str, labels: np.ndarray) -> Tensor:
    """Labels for a teacher; for a student logits as large as an ensemble's (deviation about 4)."""
    if CASES[case][0] is None:
        return torch.from_numpy(labels)
    noise = np.random.default_rng(7).normal(0, 1, (len(labels), 10))
    return torch.from_numpy((noise + 12 * np.eye(10)[labels] - 4).astype(np.float32))


def fit(
    case: str, seed: int, epochs: int, precision: str, device: torch.device, graphs: bool = False
) -> Outcome:
    """One run: loss of every epoch and the lowest validation error."""
    learnt = cluttered_digits(0, TRAIN, VALIDATION, 10).train
    everything = torch.from_numpy(learnt.images).to(device)
    labels = learnt.labels
    images = everything[:TRAIN]
    targets = targets_of(case, labels[:TRAIN]).to(device)
    validation = everything[TRAIN:], torch.from_numpy(labels[TRAIN:]).to(device)

    def epoch(number: int) -> list[Pair]:
        order = np.random.default_rng((seed, number)).permutation(len(images))
        return [(images[order], targets[order])]

    net = net_of(case, seed).to(device, memory_format=torch.channels_last)
    recipe = replace(CASES[case][1], max_epochs=epochs, precision=precision)
    return train(net, recipe, epoch, validation, seed, graphs=graphs)


def row(case: str, peer: str, ours: list[Outcome], theirs: list[Outcome]) -> Row:
    """Best validation accuracies beside each other, one pair a seed."""
    pairs = [(1 - a.value, 1 - b.value) for a, b in zip(ours, theirs, strict=True)]
    ratios = [x / y for x, y in pairs]
    a, b = map(statistics.median, zip(*pairs, strict=True))

    return Row(
        case,
        peer,
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        "validation accuracy",
        len(pairs),
        a,
        b,
    )


def facts(ours: list[Outcome], theirs: list[Outcome]) -> dict[str, Any]:
    """The curves, and how far they are apart in the first epochs and at all."""
    pairs = [(np.array(a.losses), np.array(b.losses)) for a, b in zip(ours, theirs, strict=True)]
    accuracies = [(1 - a.value, 1 - b.value) for a, b in zip(ours, theirs, strict=True)]
    return {
        "largest_relative_difference_first_epochs": _apart(
            [(a[:FIRST], b[:FIRST]) for a, b in pairs]
        ),
        "largest_relative_difference": _apart(pairs),
        "mean_accuracy_difference": statistics.mean(a - b for a, b in accuracies),
        "deviation_between_seeds": statistics.stdev(b for _, b in accuracies),
        "losses": [[a.losses, b.losses] for a, b in zip(ours, theirs, strict=True)],
    }


def _apart(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    return max(float(np.max(np.abs(a - b) / b)) for a, b in pairs)


def run(arguments: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """All cases, one after the other."""
    device = choose_device(arguments.device)
    set_up_torch(1, device)
    check_precision(device, "bf16")
    seeds, epochs = (range(2), 3) if arguments.quick else (range(5), 16)

    rows = []
    agreement = {}
    for case in CASES:
        fp32, bf16 = (
            [fit(case, s, epochs, precision, device) for s in seeds]
            for precision in ("fp32", "bf16")
        )
        rows.append(row(f"{case}, bf16", "fp32", bf16, fp32))
        agreement[case] = facts(bf16, fp32)
        if device.type == "cuda":
            graphs = [fit(case, s, epochs, "bf16", device, graphs=True) for s in seeds]
            rows.append(row(f"{case}, bf16, captured", "eager steps", graphs, bf16))
            agreement[f"{case}, captured"] = facts(graphs, bf16)

    return rows, {"device": arguments.device, "epochs": epochs, "agreement": agreement}


def options(parser: argparse.ArgumentParser) -> None:
    """Arguments of this benchmark."""
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))


if __name__ == "__main__":
    measure.main("precision", __doc__, run, options)
