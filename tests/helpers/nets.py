"""Nets and counts that several tests of nets share."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stages.nets import budget as budgets
from stages.nets.families import FAMILIES, Plan
from stages.nets.initial import glorot_
from stages.nets.student import build_student
from stages.settings.budgets import parse_budget
from stages.settings.inputs import Inputs
from tools.pocket import ROOT

GOLDEN = json.loads((ROOT / "tests" / "golden" / "nets.json").read_text(encoding="utf-8"))

STUDENTS = GOLDEN["students"] + GOLDEN["hard"]

BOXES = {(v["family"], v["budget"]): v["box"] for v in GOLDEN["students"]}

TABLE_2 = sorted(
    {family for family, _ in BOXES}, key=lambda family: (family.startswith("conv"), family)
)

ADDED = ["mlp1-plain", "conv1-plain", "snn-2014", "cnn-2014"]

CONVOLUTIONAL = ["conv1", "conv2", "conv3", "conv4", "conv1-plain", "snn-2014", "cnn-2014"]

quick = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

unit = st.floats(0, 1)


def planned(vector: dict) -> Plan:
    box = vector["box"]
    return budgets.plan(vector["family"], parse_budget(vector["budget"]), vector["controls"], box)


def torch_count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def meta_student(plan: Plan) -> nn.Module:
    with torch.device("meta"):
        return build_student(plan)


def meta_macs(net: nn.Module, size_px: int) -> int:
    """Multiply-accumulates as torch counts them (its flops are twice as many)."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.empty(1, size_px, size_px, 3, dtype=torch.uint8, device="meta"))
    return counter.get_total_flops() // 2


def images(n: int, size_px: int = 32, seed: int = 0) -> torch.Tensor:
    drawn = np.random.default_rng(seed).integers(0, 256, (n, size_px, size_px, 3), np.uint8)
    return torch.from_numpy(drawn)


def small(family: str, classes: int = 10, size_px: int = 32, budget: int = 60_000) -> Plan:
    known = FAMILIES[family]
    box = None if known.ratios else [(4, 12)] * known.controls
    controls = [0.5] * known.controls
    inputs = Inputs.images(size_px)
    return budgets.plan(family, budget, controls, box, classes=classes, inputs=inputs)


def initialised(net: nn.Module, seed: int = 0) -> nn.Module:
    return glorot_(net, 1.0, torch.Generator().manual_seed(seed))


def spec_terms(family: str, widths: Sequence[int], classes: int, size_px: int) -> tuple[int, int]:
    """Parameters that do not depend on the dependent width, and parameters per unit of it."""
    if family == "mlp1-plain":
        return classes, 3 * size_px**2 + 1 + classes
    first, last = widths[0], widths[-1]
    if family == "mlp1":
        return (classes + 1) * first + classes, 3 * size_px**2 + 1 + first
    halved = [size_px]
    for _ in range(3):
        halved.append((halved[-1] - 1) // 2)  # 3x3 windows, every second one
    if family in ("conv1", "snn-2014"):
        features = first * {"conv1": size_px // 3, "snn-2014": halved[1]}[family] ** 2
        return 76 * first + (classes + 1) * last + classes, features + 1 + last
    convs = sum(25 * a * b + b for a, b in zip((3, *widths), widths, strict=False))
    quarter, eighth = size_px // 4, size_px // 8
    sides = {
        "conv1-plain": size_px // 3,
        "conv2": quarter,
        "conv3": eighth,
        "conv4": eighth,
        "cnn-2014": halved[3],
    }
    return convs + classes, sides[family] ** 2 * last + classes + 1


def names(net: nn.Module) -> list[str]:
    return [name for name, _ in net.named_children()]
