"""Room nets: counts against independent vectors and torch, properties of plans, modules."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from commands.models.absorb import absorb
from stages.nets import budget as budgets
from stages.nets.budget import FAMILIES, Plan, forward_macs
from stages.nets.families import check_row, control_names, dropout_names
from stages.nets.initial import glorot_
from stages.nets.layers import chain
from stages.nets.pixels import Standardise
from stages.nets.stored import restore
from stages.nets.student import build_student
from stages.nets.teacher import (
    build_teacher,
    described_teacher,
    teacher_macs,
    teacher_params,
    teacher_widths,
)
from stages.settings.budgets import parse_budget
from tools.pocket import ROOT

GOLDEN = json.loads((ROOT / "tests" / "golden" / "nets.json").read_text(encoding="utf-8"))
STUDENTS = GOLDEN["students"] + GOLDEN["hard"]
BOXES = {(v["family"], v["budget"]): v["box"] for v in GOLDEN["students"]}
TABLE_3 = [cell for cell in BOXES if BOXES[cell] is not None]
RATIO_CELLS = [cell for cell in BOXES if BOXES[cell] is None]
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
    return budgets.plan(family, budget, controls, box, classes=classes, size_px=size_px)


def initialised(net: nn.Module, seed: int = 0) -> nn.Module:
    return glorot_(net, 1.0, torch.Generator().manual_seed(seed))


# --- budgets ---


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1M", 1_000_000),
        ("3.16M", 3_162_278),
        ("10M", 10_000_000),
        ("31.6M", 31_622_777),
        ("100k", 100_000),
        ("2.5M", 2_500_000),
        ("0.3M", 300_000),
        (250_000, 250_000),
        ("250000", 250_000),
        (2.5e6, 2_500_000),
        (10**6.5, 3_162_278),
        ("1e6", 1_000_000),
        (" 1M ", 1_000_000),
        ("3.17M", 3_170_000),
        (3_160_000, 3_160_000),
    ],
)
def test_budget_is_read_as_a_number(text: str | int | float, number: int) -> None:
    parsed = parse_budget(text)
    assert parsed == number and isinstance(parsed, int)


def test_half_decades_are_powers_of_ten() -> None:
    assert parse_budget("3.16M") == round(10**6.5) and parse_budget("31.6M") == round(10**7.5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "M",
        "1G",
        "ten",
        "-1M",
        0,
        "0",
        "0.0000001M",
        -5,
        float("nan"),
        float("inf"),
        "nan",
        "-inf",
        True,
        "1 000",
        "1e400",
        "1e999999999",
        "-1e999999999",
        "9e999999M",
        "snan",
        "infM",
    ],
)
def test_bad_budget_is_refused(text: str | int | float) -> None:
    with pytest.raises(ValueError, match=r"students\.budgets") as caught:
        parse_budget(text)
    assert "\n" not in str(caught.value)


# --- golden counts ---


@pytest.mark.parametrize("vector", STUDENTS, ids=lambda v: f"{v['family']}@{v['budget']}")
def test_student_matches_its_golden_vector(vector: dict) -> None:
    plan = planned(vector)
    assert list(plan.widths) == vector["widths"]
    assert plan.dependent == vector["dependent"]
    assert plan.params == vector["params"]
    assert forward_macs(plan) == vector["forward_macs"]
    if "rel_err" in vector:
        assert round(plan.rel_err, 6) == vector["rel_err"]
    net = meta_student(plan)
    assert torch_count(net) == vector["params"]
    assert meta_macs(net, 32) == vector["forward_macs"]


@pytest.mark.parametrize("vector", GOLDEN["teachers"], ids=lambda v: str(v["widths"]))
def test_teacher_matches_its_golden_vector(vector: dict) -> None:
    with torch.device("meta"):
        net = build_teacher(vector["widths"], [0.1] * 5)
    assert teacher_params(vector["widths"]) == torch_count(net) == vector["params"]
    assert teacher_macs(vector["widths"]) == meta_macs(net, 32) == vector["forward_macs"]


@pytest.mark.parametrize(("control", "params"), [(0, 1_899_050), (0.5, 7_580_746), (1, 17_045_098)])
def test_teacher_space_spans_these_counts(control: float, params: int) -> None:
    boxes = {"C1": (32, 96), "C2": (64, 192), "C3": (128, 384), "H1": (512, 1536)}
    widths = teacher_widths({name: control for name in boxes}, boxes)
    assert teacher_params(widths) == params


def test_published_teachers_have_the_printed_sizes() -> None:
    for widths, printed in [
        ((76, 126, 148, 1200), 5.3),
        ((96, 171, 128, 512), 2.5),
        ((54, 158, 189, 1044), 5.8),
    ]:
        assert round(teacher_params(widths) / 1e6, 1) == printed


# --- plans: properties ---


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


@pytest.mark.parametrize(("family", "budget"), TABLE_3)
def test_any_student_in_the_box_meets_its_budget(family: str, budget: str) -> None:
    box, number = BOXES[family, budget], parse_budget(budget)
    bound = {("conv1", "1M"): 0.0082, ("conv1", "3.16M"): 0.0053}.get((family, budget), 0.0040)

    @quick
    @given(st.lists(unit, min_size=len(box), max_size=len(box)))
    def check(controls: list[float]) -> None:
        plan = budgets.plan(family, number, controls, box)
        assert abs(plan.rel_err) <= bound
        free = [round(low + (high - low) * c) for (low, high), c in zip(box, controls, strict=True)]
        assert plan.widths == tuple(free[group] for group in FAMILIES[family].groups)
        fixed, per_unit = spec_terms(family, plan.widths, 10, 32)
        assert plan.dependent == round((number - fixed) / per_unit) >= 10
        assert plan.params == fixed + per_unit * plan.dependent

    check()


@pytest.mark.parametrize(("family", "budget"), RATIO_CELLS)
def test_ratio_students_meet_their_budget(family: str, budget: str) -> None:
    number, layers = parse_budget(budget), FAMILIES[family].controls
    draws = np.random.default_rng(layers).uniform(0.05, 1, (1000, layers))
    plans = [budgets.plan(family, number, ratios, None) for ratios in draws.tolist()]
    assert max(abs(plan.rel_err) for plan in plans) < 0.0018
    assert min(min(plan.widths) for plan in plans) >= (13 if budget != "1M" else 7)
    for plan, ratios in list(zip(plans, draws.tolist(), strict=True))[:100]:
        widths = [round(bisected_scale(number, ratios) * ratio) for ratio in ratios]
        corrected = widths[-1] + round((number - mlp_count(widths)) / (widths[-2] + 11))
        if 2 * corrected >= widths[-1]:  # else the first layer gave up a unit
            assert list(plan.widths) == [*widths[:-1], min(corrected, 2 * widths[-1])]


@pytest.mark.parametrize("family", ["mlp2", "mlp3", "mlp4", "mlp5"])
@pytest.mark.parametrize("budget", [60_000, 180_000, 316_228])
def test_ratio_students_keep_their_last_layer_at_small_budgets(family: str, budget: int) -> None:
    draws = np.random.default_rng(7).uniform(0.4, 1, (300, FAMILIES[family].controls))
    for ratios in draws.tolist():
        plan = budgets.plan(family, budget, ratios, None, ratio_min=0.4)
        last = round(bisected_scale(budget, ratios) * ratios[-1])
        assert (last + 1) // 2 <= plan.widths[-1] <= 2 * last
        assert abs(plan.rel_err) < 0.04


def mlp_count(widths: Sequence[float]) -> float:
    """Weights and biases of a plain MLP; also of widths that are not whole."""
    sides = [3072, *widths, 10]
    return sum(a * b + b for a, b in zip(sides, sides[1:], strict=False))


def bisected_scale(budget: int, ratios: Sequence[float]) -> float:
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        if mlp_count([middle * ratio for ratio in ratios]) < budget:
            low = middle
        else:
            high = middle
    return low


@quick
@given(
    family=st.sampled_from(sorted(FAMILIES)),
    budget=st.integers(50_000, 300_000),
    classes=st.integers(2, 120),
    size_px=st.integers(8, 40),
    ends=st.tuples(st.integers(1, 40), st.integers(0, 60)),
    data=st.data(),
)
def test_params_are_torchs_count_for_any_task(
    family: str, budget: int, classes: int, size_px: int, ends: tuple[int, int], data: st.DataObject
) -> None:
    known = FAMILIES[family]
    size_px = max(size_px, 15) if family == "cnn-2014" else size_px
    low = 0.05 if known.ratios else 0.0
    controls = [data.draw(st.floats(low, 1)) for _ in range(known.controls)]
    box = None if known.ratios else [(ends[0], sum(ends))] * known.controls
    plan = budgets.plan(family, budget, controls, box, classes=classes, size_px=size_px)
    net = meta_student(plan)
    assert torch_count(net) == plan.params
    assert plan.rel_err == pytest.approx((plan.params - budget) / budget, abs=1e-12)
    assert meta_macs(net, size_px) == forward_macs(plan)
    assert Plan.from_json(plan.to_json()) == plan
    out = net(torch.empty(2, size_px, size_px, 3, dtype=torch.uint8, device="meta"))
    assert out.shape == (2, classes)


@quick
@given(
    family=st.sampled_from(CONVOLUTIONAL),
    budget=st.integers(30_000, 200_000),
    c1=unit,
    c2=unit,
    multiple=st.sampled_from([1, 3, 8]),
)
def test_shrinking_takes_the_largest_factor_that_fits(
    family: str, budget: int, c1: float, c2: float, multiple: int
) -> None:
    shared = FAMILIES[family].controls
    box, controls = [(60, 200), (40, 300)][:shared], (c1, c2)[:shared]
    least = {1: 10, 3: 12, 8: 16}[multiple]

    def nearest(number: float) -> int:
        return multiple * round(number / multiple)

    plan = budgets.plan(family, budget, controls, box, multiple=multiple)
    ends = [low + (high - low) * c for (low, high), c in zip(box, controls, strict=True)]
    real = [ends[group] for group in FAMILIES[family].groups]
    assert plan.dependent >= least and min(plan.widths) >= multiple
    fitting = []
    for factor in np.linspace(0, 1, 2001):  # reference: try them all
        widths = [max(multiple, nearest(factor * width)) for width in real]
        fixed, per_unit = spec_terms(family, widths, 10, 32)
        if nearest((budget - fixed) / per_unit) >= least:
            fitting.append(widths)
    assert all(mine >= best for mine, best in zip(plan.widths, fitting[-1], strict=True))
    fixed, per_unit = spec_terms(family, plan.widths, 10, 32)
    assert plan.dependent == nearest((budget - fixed) / per_unit)
    if plan.widths != tuple(nearest(width) for width in real):  # one step wider does not fit
        steps = [(w + multiple / 2) / r for w, r in zip(plan.widths, real, strict=True)]
        wider = [max(multiple, nearest((min(steps) + 1e-9) * width)) for width in real]
        fixed, per_unit = spec_terms(family, wider, 10, 32)
        assert nearest((budget - fixed) / per_unit) < least


def test_shrinking_is_continuous_and_monotone() -> None:
    steps = np.linspace(0, 1, 1001)
    box = [(50, 300), (50, 300)]
    rows = [budgets.plan("conv4", 60_000, (0.3, c), box).widths for c in steps]
    widths = np.array(rows)
    assert np.abs(np.diff(widths, axis=0)).max() <= 1  # a step of 0.001 is at most one filter
    assert np.all(np.diff(widths[:, 3]) >= -1) and widths[-1, 3] > widths[0, 3]
    assert widths[-1, 0] < widths[0, 0]
    single = [budgets.plan("mlp1", 60_000, (c,), [(10, 5000)]).widths[0] for c in steps]
    cap = max(single)
    assert single == [min(cap, round(10 + 4990 * c)) for c in steps]  # free, then held


def test_dependent_width_is_never_below_ten() -> None:
    plan = budgets.plan("mlp1", 45_000, (1.0,), [(10, 5000)])
    assert plan.dependent == 10 and plan.widths[0] < 5000
    assert abs(plan.rel_err) < 0.05


@pytest.mark.parametrize("family", ["mlp1", *CONVOLUTIONAL])
def test_smallest_net_is_named_when_the_budget_is_too_small(family: str) -> None:
    known = FAMILIES[family]
    fixed, per_unit = spec_terms(family, [1] * len(known.groups), 10, 32)
    smallest = fixed + 10 * per_unit
    box = [(20, 50)] * known.controls
    plan = budgets.plan(family, smallest, [1.0] * known.controls, box)
    assert plan.dependent == 10 and abs(plan.rel_err) < 0.05
    with pytest.raises(ValueError, match=rf"{smallest:,}.*rows\.{family}\.boxes.*students.budgets"):
        budgets.plan(family, smallest - per_unit, [1.0] * known.controls, box)


def test_smallest_ratio_net_is_named_when_the_budget_is_too_small() -> None:
    assert budgets.plan("mlp3", 3097, [1, 1, 1], None).params == 3073 + 2 + 2 + 20
    with pytest.raises(ValueError, match="3,097") as caught:
        budgets.plan("mlp3", 3000, [1, 1, 1], None)
    assert "boxes" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("conv5", 10**6, [1, 1], [(1, 2)] * 2), {}, "did you mean 'conv4'"),
        (("conv2", 10**6, [1], [(1, 2)] * 2), {}, "has 2 controls, got 1"),
        (("mlp4", 10**6, [1, 1, 1], None), {}, "has 4 controls, got 3"),
        (("conv2", 10**6, [1, 1.01], [(1, 2)] * 2), {}, r"C2 of conv2 must be in \[0, 1\]"),
        (("conv2", 10**6, [float("nan"), 1], [(1, 2)] * 2), {}, "C1 of conv2"),
        (("mlp2", 10**6, [1, 0.04], None), {}, r"r2 of mlp2 must be in \[0.05, 1\]"),
        (("mlp2", 10**6, [1, 0.1], None), {"ratio_min": 0.2}, r"must be in \[0.2, 1\]"),
        (("mlp2", 10**6, [1, 1], None), {"ratio_min": 0.0}, "rows.mlp2.ratios"),
        (("mlp2", 10**6, [1, 1], [(1, 2)]), {}, "no box"),
        (("conv2", 10**6, [1, 1], [(1, 2), (3, 2)]), {}, r"\[3, 2\]: change rows.conv2.boxes"),
        (("conv2", 10**6, [1, 1], [(0, 2), (1, 2)]), {}, "rows.conv2.boxes"),
        (("conv2", 10**6, [1, 1], [(1, 2.5), (1, 2)]), {}, "whole numbers"),
        (("conv2", 10**6, [1, 1], [(1, 2)]), {}, "2 width boxes"),
        (("conv2", 10**6, [1, 1], None), {}, "2 width boxes"),
        (("conv4", 10**6, [1, 1], [(1, 2)] * 2), {"size_px": 7}, "at least 8 px"),
        (("conv1", 10**6, [1, 1], [(1, 2)] * 2), {"size_px": 2}, "at least 3 px"),
        (("conv1", 10**6, [1, 1], [(1, 2)] * 2), {"classes": 0}, "classes"),
        (("conv-1-plain", 10**6, [1], [(1, 2)]), {}, "did you mean 'conv1-plain'"),
        (("cnn-2014", 10**6, [1, 1, 1], [(1, 2)] * 3), {}, "has 1 controls, got 3"),
        (
            ("cnn-2014", 10**6, [1], [(1, 2)]),
            {"size_px": 14},
            "3 pools of 3x3 with stride 2: .* at least 15 px",
        ),
        (
            ("snn-2014", 10**6, [1, 1], [(1, 2)] * 2),
            {"size_px": 2},
            "1 pools of 3x3 with stride 2: .* at least 3 px",
        ),
        (("snn-2014", 10**6, [1, 2], [(1, 2)] * 2), {}, r"C2 of snn-2014 must be in \[0, 1\]"),
        (("snn-2014", 10**6, [1, 1], None), {}, "2 width boxes, got None"),
        (("mlp1-plain", 10**6, [1], None), {}, "has 0 controls, got 1: give none"),
        (("mlp1-plain", 10**6, [1], [(1, 2)]), {}, "has 0 controls, got 1: give none"),
        (
            ("mlp1-plain", 10**6, [], [(1, 2)]),
            {},
            r"0 width boxes, got .*: remove rows\.mlp1-plain\.boxes",
        ),
        (
            ("mlp1-plain", 29_000, [], []),
            {},
            "has 30,840 parameters at these images and classes; raise students",
        ),
        (("mlp1-plain", 20_000, [], None), {"multiple": 16}, "49,338 .* lower width_multiple 16"),
        (
            ("conv2", 10**6, [1, 1], [(1, 2)] * 2),
            {"multiple": 0},
            r"got 0: change students\.width_multiple",
        ),
        (("mlp2", 10**6, [1, 1], None), {"multiple": -8}, r"got -8: .*hard\.width_multiple"),
        (("mlp2", 10**6, [1, 1], None), {"multiple": True}, "width_multiple"),
        (("mlp2", 10**6, [1, 1], None), {"multiple": 8.0}, "whole number"),
        (("mlp2", 45_000, [1, 1], None), {"multiple": 16}, r"49,610 .* lower width_multiple 16"),
        (
            ("conv2", 15_000, [1, 1], [(1, 2)] * 2),
            {"multiple": 16},
            r"24,202 .* lower width_multiple 16",
        ),
    ],
)
def test_bad_plan_is_refused_in_one_line(arguments: tuple, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        budgets.plan(*arguments, **options)
    assert "\n" not in str(caught.value)


def test_edited_plan_is_refused() -> None:
    record = json.loads(small("conv3").to_json())
    assert Plan.from_json(record) == small("conv3")
    with pytest.raises(ValueError, match="make it again"):
        Plan.from_json({**record, "params": record["params"] + 1})
    with pytest.raises(ValueError, match="keys"):
        Plan.from_json({**record, "depth": 3})
    with pytest.raises(ValueError, match="did you mean"):
        Plan.from_json({**record, "family": "con3"})


def test_teacher_widths_refuse_bad_controls() -> None:
    boxes = {"C1": (32, 96), "C2": (64, 192), "C3": (128, 384), "H1": (512, 1536)}
    good = {"C1": 0.0, "C2": 0.5, "C3": 1.0, "H1": 0.25, "lr": 0.02}
    assert teacher_widths(good, boxes) == (32, 128, 384, 768)
    halves = {"C1": (1, 2), "C2": (2, 3), "C3": (10, 20), "H1": (10, 20)}  # half to even
    assert teacher_widths({"C1": 0.5, "C2": 0.5, "C3": 0.27, "H1": 0.21}, halves) == (2, 2, 13, 12)
    with pytest.raises(ValueError, match=r"teachers\.space\.C3"):
        teacher_widths({**good, "C3": 1.5}, boxes)
    with pytest.raises(ValueError, match=r"teachers\.space has no H1"):
        teacher_widths({k: v for k, v in good.items() if k != "H1"}, boxes)
    with pytest.raises(ValueError, match=r"teachers\.boxes\.C1"):
        teacher_widths(good, {**boxes, "C1": (96, 32)})
    with pytest.raises(ValueError, match=r"teachers\.width_multiple"):
        teacher_widths(good, boxes, multiple=0)


def test_teacher_widths_are_the_nearest_multiples() -> None:
    boxes = {"C1": (32, 96), "C2": (64, 192), "C3": (1, 3), "H1": (512, 1536)}
    controls = {"C1": 0.3, "C2": 0.5, "C3": 0.5, "H1": 0.33}  # 51.2, 128, 2, 849.92
    assert (
        teacher_widths(controls, boxes)
        == teacher_widths(controls, boxes, multiple=1)
        == (51, 128, 2, 850)
    )
    assert teacher_widths(controls, boxes, multiple=8) == (48, 128, 8, 848)
    assert teacher_widths(controls, boxes, multiple=16) == (48, 128, 16, 848)


# --- width multiples ---


@pytest.mark.parametrize("vector", STUDENTS, ids=lambda v: f"{v['family']}@{v['budget']}")
def test_multiple_of_one_leaves_every_golden_vector(vector: dict) -> None:
    budget, controls, box = parse_budget(vector["budget"]), vector["controls"], vector["box"]
    plan = budgets.plan(vector["family"], budget, controls, box, multiple=1)
    assert plan == planned(vector)
    assert (list(plan.widths), plan.params) == (vector["widths"], vector["params"])


@quick
@given(
    family=st.sampled_from([name for name in sorted(FAMILIES) if not FAMILIES[name].ratios]),
    budget=st.integers(300_000, 3_000_000),
    multiple=st.integers(1, 64),
    ends=st.tuples(st.integers(1, 60), st.integers(0, 200)),
    data=st.data(),
)
def test_all_widths_are_multiples_and_the_dependent_one_comes_nearest(
    family: str, budget: int, multiple: int, ends: tuple[int, int], data: st.DataObject
) -> None:
    known, box = FAMILIES[family], (ends[0], sum(ends))
    controls = [data.draw(unit) for _ in range(known.controls)]
    boxes = [box] * known.controls
    try:
        plan = budgets.plan(family, budget, controls, boxes, multiple=multiple)
    except ValueError as error:
        fixed, per_unit = spec_terms(family, [multiple] * len(known.groups), 10, 32)
        least = -(-10 // multiple) * multiple
        assert budget < fixed + least * per_unit, (
            error
        )  # the smallest net is larger than the budget
        return
    assert all(width % multiple == 0 for width in (*plan.widths, plan.dependent))
    assert min(plan.widths, default=multiple) >= multiple and plan.dependent >= max(10, multiple)
    fixed, per_unit = spec_terms(family, plan.widths, 10, 32)
    assert plan.params == fixed + per_unit * plan.dependent
    assert abs(plan.params - budget) <= per_unit * multiple / 2
    real = [box[0] + (box[1] - box[0]) * controls[group] for group in known.groups]
    for width, wanted in zip(plan.widths, real, strict=True):  # nearest, or made smaller
        assert width <= max(multiple, wanted + multiple / 2)


@quick
@given(
    family=st.sampled_from(["mlp2", "mlp3", "mlp4", "mlp5"]),
    budget=st.integers(300_000, 3_000_000),
    multiple=st.integers(1, 64),
    data=st.data(),
)
def test_ratio_students_have_multiples_in_their_ratios(
    family: str, budget: int, multiple: int, data: st.DataObject
) -> None:
    ratios = [data.draw(st.floats(0.05, 1)) for _ in range(FAMILIES[family].controls)]
    plan = budgets.plan(family, budget, ratios, None, multiple=multiple)
    scale = bisected_scale(budget, ratios)
    assert plan.dependent is None and all(width % multiple == 0 for width in plan.widths)
    assert plan.params == mlp_count(plan.widths)
    first, *others, last = (
        max(multiple, multiple * round(scale * ratio / multiple)) for ratio in ratios
    )
    assert plan.widths[0] in (first, first - multiple) and list(plan.widths[1:-1]) == others
    assert last / 2 <= plan.widths[-1] <= 2 * last
    if multiple > 1 and plan.widths[0] < first:  # given up only where the other net is further off
        kept = [first, *others, -(-last // (2 * multiple)) * multiple]
        assert abs(plan.params - budget) < abs(mlp_count(kept) - budget)


MULTIPLE_ERRORS = {8: (0.066, 0.028, 0.012), 16: (0.115, 0.060, 0.025)}
"""Bounds of |rel_err| at 1M: nets with a costly bottleneck, other dependent widths, MLPs of
ratios.
"""


@pytest.mark.parametrize("family", TABLE_2)
@pytest.mark.parametrize("multiple", [8, 16])
def test_paper_nets_at_a_multiple_meet_one_million_as_documented(
    family: str, multiple: int
) -> None:
    known, box = FAMILIES[family], BOXES[family, "1M"]
    low = 0.05 if known.ratios else 0.0
    draws = np.random.default_rng(multiple).uniform(low, 1, (300, known.controls)).tolist()
    errors = [abs(budgets.plan(family, 10**6, c, box, multiple=multiple).rel_err) for c in draws]
    bottleneck, dependent, ratios = MULTIPLE_ERRORS[multiple]
    assert max(errors) <= (
        bottleneck if known.bottleneck else ratios if known.ratios else dependent
    )


# --- families beside Table 2 ---


PRINTED = {  # widths, dependent width, parameters counted by hand
    "mlp1-plain": ((), 324, (3072 + 1) * 324 + (324 + 1) * 10),
    "conv1-plain": ((95,), 104, 76 * 95 + (95 * 10**2 + 1) * 104 + (104 + 1) * 10),
    "snn-2014": (
        (128, 30_000),
        1200,
        76 * 128 + (128 * 15**2 + 1) * 1200 + 1201 * 30_000 + 30_001 * 10,
    ),
    "cnn-2014": (
        (128,) * 3,
        1000,
        76 * 128 + 2 * (25 * 128 + 1) * 128 + (128 * 3**2 + 1) * 1000 + 1001 * 10,
    ),
}


def by_hand(
    family: str, widths: Sequence[int], dependent: int, classes: int, size_px: int
) -> nn.Sequential:
    """The same net from torch's own modules, for (n, 3, size_px, size_px); torch infers the inputs
    of linear layers.
    """

    def conv(inputs: int, filters: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, filters, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride)]

    def hidden(units: int) -> list[nn.Module]:
        return [nn.LazyLinear(units), nn.ReLU(), nn.LazyLinear(classes)]

    with torch.device("meta"):
        layers = {
            "mlp1-plain": lambda: [nn.Flatten(), *hidden(dependent)],
            "conv1-plain": lambda: [*conv(3, *widths, 3), nn.Flatten(), *hidden(dependent)],
            "snn-2014": lambda: [
                *conv(3, widths[0], 2),
                nn.Flatten(),
                nn.LazyLinear(dependent),
                *hidden(widths[1]),
            ],
            "cnn-2014": lambda: [
                *conv(3, widths[0], 2),
                *conv(widths[0], widths[1], 2),
                *conv(widths[1], widths[2], 2),
                nn.Flatten(),
                *hidden(dependent),
            ],
        }[family]()
        net = nn.Sequential(*layers)
        net(torch.empty(1, 3, size_px, size_px))
    return net


def test_table_2_comes_first_and_has_no_stride_of_its_own() -> None:
    assert list(FAMILIES) == TABLE_2 + ADDED and len(TABLE_2) == 9
    assert all(FAMILIES[family].stride is None for family in TABLE_2)


@pytest.mark.parametrize("family", ADDED)
def test_added_families_count_as_by_hand(family: str) -> None:
    widths, dependent, params = PRINTED[family]
    box = [(width, width) for width in dict.fromkeys(widths)]
    plan = budgets.plan(family, params, [0.5] * FAMILIES[family].controls, box)
    assert (plan.widths, plan.dependent, plan.params, plan.rel_err) == (
        widths,
        dependent,
        params,
        0,
    )
    assert torch_count(meta_student(plan)) == params


@pytest.mark.parametrize(
    ("family", "box", "dependent", "params"),
    [
        ("snn-2014", [(128, 128), (30_000, 30_000)], 1200, 70_900_938),  # printed: about 70M
        ("snn-2014", [(64, 64), (30_000, 30_000)], 1200, 53_616_074),  # printed: about 54M
        ("cnn-2014", [(128, 128)], 1000, 1_992_194),  # printed: 2.1M
    ],
)
def test_nets_of_2014_have_these_sizes(family: str, box: list, dependent: int, params: int) -> None:
    controls = [0.0] * len(box)
    assert budgets.plan(family, params, controls, box).params == params
    assert budgets.plan(family, params, controls, box).dependent == dependent
    near = budgets.plan(family, params + 400, controls, box)  # less than half a unit more
    assert (near.dependent, near.params) == (dependent, params)


@pytest.mark.parametrize("family", ADDED)
@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("size_px", [32, 64])
def test_added_families_are_torchs_nets(family: str, classes: int, size_px: int) -> None:
    plan = small(family, classes, size_px, budget=400_000)
    other = by_hand(family, plan.widths, plan.dependent, classes, size_px)
    assert plan.params == torch_count(other) and (plan.size_px, plan.classes) == (size_px, classes)
    net = initialised(build_student(plan))
    state = list(net.state_dict().values())
    assert [tensor.shape for tensor in state] == [
        tensor.shape for tensor in other.state_dict().values()
    ]
    other = other.to_empty(device="cpu")
    other.load_state_dict(dict(zip(other.state_dict(), state, strict=True)))
    batch = images(2, size_px)
    logits = net(batch)
    assert logits.shape == (2, classes) and logits.std() > 0
    assert torch.allclose(logits, other(Standardise()(batch)), atol=1e-5)
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("family", ADDED)
@pytest.mark.parametrize("budget", ["1M", "3.16M", "10M", "31.6M"])
def test_added_families_meet_their_budget_within_half_a_unit(family: str, budget: str) -> None:
    known, number = FAMILIES[family], parse_budget(budget)
    box = [(20, 60), (200, 800)][: known.controls]
    for controls in np.random.default_rng(4).uniform(0, 1, (50, known.controls)).tolist():
        plan = budgets.plan(family, number, controls, box)
        free = [round(low + (high - low) * c) for (low, high), c in zip(box, controls, strict=True)]
        assert plan.widths == tuple(free[group] for group in known.groups)
        fixed, per_unit = spec_terms(family, plan.widths, 10, 32)
        assert plan.params == fixed + per_unit * plan.dependent
        assert abs(plan.params - number) <= per_unit / 2
        assert forward_macs(plan) == meta_macs(meta_student(plan), 32)


@pytest.mark.parametrize("budget", [31_000, 60_000, 180_000, 10**6, 3_162_278, 10**7])
def test_a_net_without_free_widths_is_its_budget_alone(budget: int) -> None:
    plans = [budgets.plan("mlp1-plain", budget, [], box) for box in (None, [], ())]
    assert plans == [plans[0]] * 3
    assert plans[0].widths == () and plans[0].dependent == round((budget - 10) / 3083)
    assert abs(plans[0].params - budget) <= 3083 / 2
    assert not FAMILIES["mlp1-plain"].ratios and FAMILIES["mlp1-plain"].controls == 0


def test_names_of_controls_and_dropouts() -> None:
    found = {family: (control_names(family), dropout_names(family)) for family in FAMILIES}
    assert found["mlp1-plain"] == ([], [])
    assert found["conv1-plain"] == (["C1"], ["DOc1", "DOf1"])
    assert found["snn-2014"] == found["conv1"] == (["C1", "C2"], ["DOc1", "DOf1"])
    assert found["cnn-2014"] == (["C1"], ["DOc1", "DOc2", "DOc3", "DOf1"])
    assert found["mlp1"] == (["C1"], []) and found["mlp3"] == (["r_1", "r_2", "r_3"], [])
    assert found["conv4"] == (["C1", "C2"], ["DOc1", "DOc2", "DOc3", "DOf1"])


@pytest.mark.parametrize(
    ("family", "boxes", "ratios", "message"),
    [
        ("mlp1-plain", None, (0.1, 1.0), "takes neither 'boxes' nor 'ratios'"),
        ("mlp1-plain", {"1M": ((1, 2),)}, None, "takes neither 'boxes' nor 'ratios'"),
        ("conv1-plain", None, None, "takes 'boxes'"),
        ("conv1-plain", None, (0.1, 1.0), "takes 'boxes'"),
        ("snn-2014", {"10M": ((1, 2), (1, 2))}, None, "no box for budget '1M', it has 10M"),
        ("cnn-2014", {"1M": ((1, 2),)}, (0.1, 1.0), "no 'ratios'"),
        ("mlp2", None, None, "takes 'ratios"),
        ("snn", None, None, "unknown net 'snn', allowed are mlp1, .*, snn-2014, cnn-2014"),
    ],
)
def test_a_row_that_does_not_fit_its_family_is_refused(
    family: str, boxes: dict | None, ratios: tuple | None, message: str
) -> None:
    with pytest.raises(
        ValueError, match=rf"rows\.own: .*{message}|rows\.own\.boxes has {message}"
    ) as caught:
        check_row("rows.own", family, "1M", boxes, ratios)
    assert "\n" not in str(caught.value)


def test_rows_that_fit_their_family_pass() -> None:
    check_row("rows.own", "mlp1-plain", "1M", None, None)
    check_row("rows.own", "conv1-plain", "1M", {"1M": ((1, 2),)}, None)
    check_row("rows.own", "snn-2014", "1M", {"1M": ((1, 2), (1, 2))}, None)
    check_row("rows.own", "mlp2", "1M", None, (0.1, 1.0))


@pytest.mark.parametrize(("pool", "stride"), [(2, None), (2, 2), (3, 2), (3, 1), (2, 3), (3, None)])
@pytest.mark.parametrize("pools", [1, 2, 3])
def test_pools_have_the_maps_of_torch_or_are_refused(
    pool: int, stride: int | None, pools: int
) -> None:
    refused = 0
    for size_px in range(1, 70):
        options = {
            "kernel": 5,
            "pool": pool,
            "stride": stride,
            "bottleneck": None,
            "classes": 2,
            "size_px": size_px,
        }
        x = torch.empty(1, 3, size_px, size_px, device="meta")
        try:
            maps = [x := nn.MaxPool2d(pool, stride)(x) for _ in range(pools)]
        except RuntimeError:  # torch leaves no map either
            with pytest.raises(ValueError, match="too small"):
                chain("p" * pools, [], [], **options)
            refused += 1
            continue
        *listed, out = chain("p" * pools, [], [], **options)
        assert [layer.map_px for layer in listed] == [tuple(found.shape[2:]) for found in maps]
        assert all((layer.kernel, layer.stride) == (pool, stride or pool) for layer in listed)
        assert out.inputs == maps[-1].numel()
    assert 0 < refused < 27


def test_pools_of_2014_overlap() -> None:
    net = build_student(small("cnn-2014"))
    assert [(pool.kernel_size, pool.stride) for pool in (net.pool1, net.pool2, net.pool3)] == [
        (3, 2)
    ] * 3
    assert [layer.map_px[0] for layer in small("cnn-2014").layers if layer.kind == "pool"] == [
        15,
        7,
        3,
    ]
    assert [layer.map_px[0] for layer in small("snn-2014").layers if layer.kind == "pool"] == [15]
    assert [layer.map_px[0] for layer in small("conv1-plain").layers if layer.kind == "pool"] == [
        10
    ]


OLD_PLANS = [  # as written before pools had a stride
    '{"family": "mlp1", "widths": [80], "dependent": 19, "params": 60797,'
    ' "rel_err": 0.013283333333333314, "size_px": 32, "classes": 10}',
    '{"family": "mlp2", "widths": [19, 53], "dependent": null, "params": 59987,'
    ' "rel_err": -0.0002166666666666428, "size_px": 32, "classes": 10}',
    '{"family": "mlp3", "widths": [18, 69, 42], "dependent": null, "params": 59995,'
    ' "rel_err": -8.333333333332416e-05, "size_px": 32, "classes": 10}',
    '{"family": "mlp4", "widths": [19, 1, 5, 44], "dependent": null, "params": 59131,'
    ' "rel_err": -0.014483333333333293, "size_px": 32, "classes": 10}',
    '{"family": "mlp5", "widths": [18, 8, 28, 41, 24], "dependent": null, "params": 58165,'
    ' "rel_err": -0.030583333333333296, "size_px": 32, "classes": 10}',
    '{"family": "conv1", "widths": [35, 36], "dependent": 16, "params": 59658,'
    ' "rel_err": -0.005700000000000038, "size_px": 32, "classes": 10}',
    '{"family": "conv2", "widths": [42, 32], "dependent": 11, "params": 59483,'
    ' "rel_err": -0.008616666666666717, "size_px": 32, "classes": 10}',
    '{"family": "conv3", "widths": [58, 24, 24], "dependent": 16, "params": 59986,'
    ' "rel_err": -0.00023333333333330764, "size_px": 32, "classes": 10}',
    '{"family": "conv4", "widths": [22, 22, 31, 31], "dependent": 10, "params": 60011,'
    ' "rel_err": 0.00018333333333342416, "size_px": 32, "classes": 10}',
]


@pytest.mark.parametrize("text", OLD_PLANS, ids=lambda text: json.loads(text)["family"])
def test_plans_of_earlier_files_still_load(text: str) -> None:
    plan = Plan.from_json(text)
    assert plan.to_json() == text
    assert torch_count(meta_student(plan)) == plan.params


def test_a_plan_without_free_widths_is_stored_too() -> None:
    plan = small("mlp1-plain")
    assert json.loads(plan.to_json())["widths"] == [] and Plan.from_json(plan.to_json()) == plan
    with pytest.raises(ValueError, match="make it again"):
        Plan.from_json(plan.to_json().replace('"dependent": 19', '"dependent": 20'))


# --- the command ---


@pytest.mark.parametrize("vector", STUDENTS[1::2], ids=lambda v: f"{v['family']}@{v['budget']}")
def test_command_prints_the_golden_widths(vector: dict, capsys: pytest.CaptureFixture) -> None:
    hard = ["--hard"] if vector in GOLDEN["hard"] else []
    controls = [str(c) for c in vector["controls"]]
    assert budgets.main([vector["family"], vector["budget"], *controls, *hard]) == 0
    line = json.loads(capsys.readouterr().out)
    assert list(line) == ["widths", "dependent", "params", "rel_err"]
    assert all(line[key] == vector[key] for key in line if key in vector)


def test_command_takes_the_nearest_box_or_the_given_one(capsys: pytest.CaptureFixture) -> None:
    assert budgets.main(["mlp1", "2M", "1"]) == 0  # nearer to 3.16M than to 1M on a log scale
    assert json.loads(capsys.readouterr().out)["widths"] == [20000]
    assert budgets.main(["mlp1", "1.7M", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["widths"] == [5000]
    assert budgets.main(["conv2", "50k", "0", "1", "--box", "4", "8", "--box", "5", "9"]) == 0
    assert json.loads(capsys.readouterr().out)["widths"] == [4, 9]


def test_command_rounds_to_a_multiple(capsys: pytest.CaptureFixture) -> None:
    assert budgets.main(["conv2", "1M", "0.5", "0.5", "--multiple", "8"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line == {"widths": [72, 72], "dependent": 184, "params": 985_050, "rel_err": -0.01495}
    assert budgets.main(["mlp3", "1M", "1", "0.5", "0.5", "--multiple", "16"]) == 0
    assert all(width % 16 == 0 for width in json.loads(capsys.readouterr().out)["widths"])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["mlp1"],
        ["conv9", "1M", "1"],
        ["mlp1", "zero", "1"],
        ["mlp1", "1M", "2"],
        ["mlp1", "1M", "-0.5"],
        ["mlp1", "1M", "x"],
        ["mlp1", "1M"],
        ["mlp1", "10M", "1", "--hard"],
        ["mlp1", "1M", "1", "--box", "9", "1"],
        ["mlp1", "1k", "1"],
        ["mlp1", "1M", "1", "--no"],
        ["mlp1", "1M", "1", "--multiple", "0"],
        ["mlp1", "1M", "1", "--multiple", "x"],
        ["mlp1-plain", "1M", "1"],
        ["mlp1-plain", "1M", "--box", "1", "2"],
        ["mlp1-plain", "29k"],
        ["conv1-plain", "1M", "1"],
        ["cnn-2014", "1M", "1"],
    ],
)
def test_command_refuses_in_one_line(arguments: list, capsys: pytest.CaptureFixture) -> None:
    assert budgets.main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1


def test_command_says_whose_boxes_the_paper_has(capsys: pytest.CaptureFixture) -> None:
    for family in TABLE_2:
        assert budgets.main([family, "1M", *["0.5"] * FAMILIES[family].controls]) == 0
    capsys.readouterr()
    for family in ("conv1-plain", "cnn-2014"):
        assert budgets.main([family, "1M", "0.5"]) == 1
        message = capsys.readouterr().err
        assert (
            f"rows of scales/paper.yaml has no '{family}': give a --box LOW HIGH for each of C1, or"
            in message
        )
        assert message.endswith(f"choose one of {', '.join([*TABLE_2, 'snn-2014'])}\n")
    assert budgets.main(["mlp2", "10M", "1", "1", "--hard"]) == 1
    assert "no 'mlp2': choose one of conv1, conv2, conv3, conv4" in capsys.readouterr().err


def test_command_needs_no_box_where_the_budget_alone_sets_the_width(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "BOXES_FILE", ROOT / "no such file")
    assert budgets.main(["mlp1-plain", "1M"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line == {"widths": [], "dependent": 324, "params": 998_902, "rel_err": -0.001098}
    assert (
        budgets.main(
            ["snn-2014", "70900938", "0", "0", "--box", "128", "128", "--box", "30000", "30000"]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)["dependent"] == 1200


def test_command_runs_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from stages.nets.budget import main\nsys.exit(main(['conv4', '10M', '0', '0']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["widths"] == [50, 50, 50, 50]


# --- modules ---


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize(("classes", "size_px"), [(10, 32), (7, 25)])
def test_every_family_maps_uint8_images_to_logits(family: str, classes: int, size_px: int) -> None:
    net = initialised(build_student(small(family, classes, size_px), 1.1)).eval()
    batch = images(3, size_px)
    logits = net(batch)
    assert logits.shape == (3, classes) and logits.dtype == torch.float32
    assert torch.isfinite(logits).all() and logits.std() > 0
    assert torch.allclose(net(batch[1:2]), logits[1:2], atol=1e-5)
    assert torch.allclose(net(batch.float() / 255), logits, atol=1e-4)
    assert torch.allclose(net.to(memory_format=torch.channels_last)(batch), logits, atol=1e-5)


def test_features_are_flattened_by_channel_row_column() -> None:
    net = build_student(small("mlp1"))
    flat = net.flatten(net.standardise(images(2)))
    expected = Standardise()(images(2)).numpy().transpose(0, 1, 2, 3).reshape(2, -1)
    assert np.array_equal(flat.numpy(), expected)
    assert np.array_equal(flat[:, :1024].numpy(), Standardise()(images(2))[:, 0].reshape(2, -1))


def names(net: nn.Module) -> list[str]:
    return [name for name, _ in net.named_children()]


def test_layers_come_in_the_papers_order() -> None:
    door = ["standardise"]
    assert names(build_student(small("mlp1"))) == door + [
        "flatten",
        "bottleneck",
        "fc1",
        "relu_fc1",
        "out",
    ]
    assert names(build_student(small("mlp3"))) == door + [
        "flatten",
        "fc1",
        "relu_fc1",
        "fc2",
        "relu_fc2",
        "fc3",
        "relu_fc3",
        "out",
    ]
    assert names(build_student(small("conv1"))) == door + [
        "conv1",
        "pool1",
        "relu_conv1",
        "flatten",
        "bottleneck",
        "fc1",
        "relu_fc1",
        "out",
    ]
    assert names(build_student(small("conv4"))) == door + [
        "conv1",
        "pool1",
        "relu_conv1",
        "conv2",
        "relu_conv2",
        "conv3",
        "pool2",
        "relu_conv3",
        "conv4",
        "pool3",
        "relu_conv4",
        "flatten",
        "fc1",
        "relu_fc1",
        "out",
    ]
    assert names(build_student(small("mlp1-plain"))) == door + ["flatten", "fc1", "relu_fc1", "out"]
    assert names(build_student(small("conv1-plain"))) == door + [
        "conv1",
        "pool1",
        "relu_conv1",
        "flatten",
        "fc1",
        "relu_fc1",
        "out",
    ]
    assert names(build_student(small("snn-2014"))) == names(build_student(small("conv1")))
    assert names(build_student(small("cnn-2014"))) == names(build_student(small("conv3")))
    conv = build_student(small("conv1"))
    assert conv.conv1.kernel_size == (5, 5) and conv.conv1.padding == (2, 2)
    assert conv.pool1(torch.zeros(1, 4, 32, 32)).shape[-2:] == (10, 10)


@pytest.mark.parametrize("family", ["conv4", "conv1-plain", "snn-2014", "cnn-2014"])
def test_a_relu_behind_the_pool_is_the_same_net(family: str) -> None:
    """Outputs and gradients, bit by bit, of the order that the paper prints: convolution, ReLU,
    pool.
    """
    net = initialised(build_student(small(family)))
    printed: list[tuple[str, nn.Module]] = []
    for name, module in net.named_children():
        at = (
            -1
            if name.startswith("relu_conv") and printed[-1][0].startswith("pool")
            else len(printed)
        )
        printed.insert(at, (name, module))
    other = copy.deepcopy(nn.Sequential(OrderedDict(printed)))
    order = [name for name, _ in printed]
    pooled = {"conv4": (1, 3, 4), "cnn-2014": (1, 2, 3)}.get(family, (1,))
    for pool, conv in enumerate(pooled, start=1):
        assert order.index(f"relu_conv{conv}") == order.index(f"pool{pool}") - 1
    net(images(4)).square().sum().backward()
    other(images(4)).square().sum().backward()
    assert torch.equal(net(images(4)), other(images(4)))
    gradients = dict(other.named_parameters())
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter.grad, gradients[name].grad), name


def test_logits_are_computed_in_float32_under_autocast() -> None:
    net = glorot_(build_teacher((4, 4, 4, 8), [0.0] * 5), 1.0, torch.Generator().manual_seed(0))
    images = torch.randint(
        0, 256, (6, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden, found = net[:-1](images), net(images)
    assert hidden.dtype == torch.bfloat16 and found.dtype == torch.float32
    assert torch.equal(found, nn.functional.linear(hidden.float(), net[-1].weight, net[-1].bias))
    found.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in net.parameters())


def test_teacher_is_eight_3x3_convolutions() -> None:
    with torch.device("meta"):
        net = build_teacher((32, 64, 128, 512), [0.1, 0.25, 0.3, 0.2, 0.4])
    letters = {"Conv2d": "c", "MaxPool2d": "p", "Linear": "f", "Output": "f", "Dropout": "d"}
    order = "".join(letters.get(type(module).__name__, "") for module in net)
    assert order == "ccpdccpdccccpdfdfdf"
    assert [m.p for m in net if isinstance(m, nn.Dropout)] == [0.1, 0.25, 0.3, 0.2, 0.4]
    convs = [m for m in net if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convs] == [32, 32, 64, 64, 128, 128, 128, 128]
    assert {(m.kernel_size, m.padding, m.stride) for m in convs} == {((3, 3), (1, 1), (1, 1))}
    assert [m.in_features for m in net if isinstance(m, nn.Linear)] == [128 * 16, 512, 512]


@pytest.mark.parametrize("family", CONVOLUTIONAL)
def test_dropout_follows_pools_and_the_hidden_layer(family: str) -> None:
    pools = FAMILIES[family].layout.count("p")
    dropout = [0.1 * (index + 1) for index in range(pools + 1)]
    assert dropout_names(family) == [f"DOc{i + 1}" for i in range(pools)] + ["DOf1"]
    plan = small(family)
    net, plain = build_student(plan, dropout=dropout), build_student(plan)
    listed = [name for name in names(net) if not name.startswith("relu_conv")]
    chances = [module.p for module in net if isinstance(module, nn.Dropout)]
    places = [listed[i - 1] for i, name in enumerate(listed) if name.startswith("dropout")]
    places = list(zip(places, chances, strict=True))
    before = [f"pool{i + 1}" for i in range(pools)] + ["relu_fc1"]
    assert places == list(zip(before, dropout, strict=True))
    assert torch.equal(initialised(net).eval()(images(2)), initialised(plain).eval()(images(2)))
    assert not torch.equal(net.train()(images(2)), plain(images(2)))


def test_wrong_dropout_is_refused() -> None:
    with pytest.raises(ValueError, match="3 dropouts"):
        build_student(small("conv2"), dropout=[0.1, 0.2])
    with pytest.raises(ValueError, match="mlp2 takes no dropout"):
        build_student(small("mlp2"), dropout=[0.1])
    with pytest.raises(ValueError, match="mlp1-plain takes no dropout"):
        build_student(small("mlp1-plain"), dropout=[0.1])
    with pytest.raises(ValueError, match="4 dropouts"):
        build_student(small("cnn-2014"), dropout=[0.1, 0.2])
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        build_student(small("conv2"), dropout=[0.1, 0.2, 1.0])
    with pytest.raises(ValueError, match="5 dropouts"):
        build_teacher((8, 8, 8, 8), [])


def test_building_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    build_student(small("conv2"))
    assert torch.equal(torch.get_rng_state(), before)


# --- initial weights ---


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.0])
def test_glorot_bounds_and_spread(scale: float) -> None:
    net = build_student(small("conv1", budget=300_000))
    glorot_(net, scale, torch.Generator().manual_seed(1))
    for layer in (net.conv1, net.bottleneck, net.fc1, net.out):
        weight = layer.weight.detach()
        area = weight[0, 0].numel() if weight.dim() == 4 else 1
        bound = scale * (6 / ((weight.shape[0] + weight.shape[1]) * area)) ** 0.5
        assert weight.abs().max() <= bound * (1 + 1e-6)
        assert weight.abs().max() > 0.9 * bound
        spread = bound / 3**0.5
        assert weight.std() == pytest.approx(spread, rel=6 / weight.numel() ** 0.5)
        assert torch.count_nonzero(layer.bias) == 0


def test_glorot_depends_on_the_generator_alone() -> None:
    def state(scale: float, seed: int, memory_format: torch.memory_format) -> list[torch.Tensor]:
        net = build_student(small("conv3")).to(memory_format=memory_format)
        return list(glorot_(net, scale, torch.Generator().manual_seed(seed)).parameters())

    one = state(1.0, 5, torch.contiguous_format)
    same = state(1.0, 5, torch.channels_last)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    double = state(2.0, 5, torch.contiguous_format)
    assert all(torch.equal(2 * a, b) for a, b in zip(one, double, strict=True))
    other = state(1.0, 6, torch.contiguous_format)
    assert not torch.equal(one[0], other[0])
    with pytest.raises(ValueError, match="init_scale"):
        glorot_(nn.Linear(2, 2), 0.0, torch.Generator())


# --- pixels ---


def reference(batch: np.ndarray, scale: float) -> np.ndarray:
    flat = batch.reshape(len(batch), -1).astype(np.float64)
    flat = (flat - flat.mean(1, keepdims=True)) / (flat.std(1, keepdims=True) + 1e-8) * scale
    return flat.reshape(batch.shape).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.25])
@pytest.mark.parametrize("kind", ["uint8", "unit", "offset", "dim"])
def test_standardise_equals_numpy(scale: float, kind: str) -> None:
    rng = np.random.default_rng(3)
    batch = rng.integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    if kind == "unit":
        batch = (batch / 255).astype(np.float32)
    elif kind == "offset":
        batch = (batch // 64 + 190).astype(np.uint8)  # a bright image of little contrast
    elif kind == "dim":
        batch = (batch > 254).astype(np.uint8)  # a few lit values
    out = Standardise(scale)(torch.from_numpy(batch))
    assert out.dtype == torch.float32 and out.shape == (5, 3, 32, 32)
    assert out.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(out.numpy(), reference(batch, scale), rtol=1e-6, atol=1e-5)


def test_standardised_images_have_mean_zero_and_deviation_one() -> None:
    flat = Standardise()(images(4, 24, seed=9)).double().flatten(1)
    assert flat.mean(1).abs().max() < 1e-6
    assert (flat.std(1, correction=0) - 1).abs().max() < 1e-6


@pytest.mark.parametrize("value", [0, 7, 255, 0.1, 1 / 3])
def test_image_of_one_grey_gives_zeros(value: float) -> None:
    dtype = torch.uint8 if isinstance(value, int) else torch.float32
    out = Standardise()(torch.full((2, 32, 32, 3), value, dtype=dtype))
    assert torch.count_nonzero(out) == 0 and not torch.isnan(out).any()


def test_standardise_refuses_other_layouts() -> None:
    with pytest.raises(ValueError, match=r"\(n, size, size, 3\)"):
        Standardise()(torch.zeros(2, 3, 32, 32))
    with pytest.raises(ValueError, match="input_scale"):
        Standardise(0.0)
    assert not Standardise().state_dict()


# --- absorbing the bottleneck ---


@pytest.mark.parametrize("family", ["mlp1", "conv1", "snn-2014"])
def test_absorbing_keeps_the_function(family: str) -> None:
    plan = small(family, budget=200_000)
    net = initialised(build_student(plan, 1.2)).eval()
    with torch.no_grad():
        for parameter in net.parameters():  # biases too
            parameter.add_(torch.linspace(-0.02, 0.03, parameter.numel()).view_as(parameter))
        merged = absorb(net)
        old, new = net(images(8)), merged(images(8))
    assert (old - new).abs().max() <= 1e-4 * old.abs().max()
    assert names(merged) == [name for name in names(net) if name != "bottleneck"]
    assert merged.standardise.input_scale == 1.2 and not merged.training
    assert merged.fc1.in_features == net.bottleneck.in_features
    assert merged.fc1.out_features == plan.widths[-1]
    shared = {p.data_ptr() for p in net.parameters()} & {p.data_ptr() for p in merged.parameters()}
    assert not shared


def test_nets_without_bottleneck_cannot_absorb() -> None:
    nets = [
        build_student(small(family))
        for family in ("mlp2", "conv2", "mlp1-plain", "conv1-plain", "cnn-2014")
    ]
    for net in (*nets, nn.Sequential()):
        with pytest.raises(ValueError, match="only mlp1, conv1 and snn-2014"):
            absorb(net)


TEACHER = {"widths": [4, 4, 4, 8], "dropout": [0.0] * 5, "classes": 10, "size_px": 32}


def test_a_stored_net_comes_back() -> None:
    net = build_teacher(**TEACHER)
    again = restore("a file", described_teacher, net.state_dict(), TEACHER)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    "change",
    [
        {"widths": 7},
        {"widths": [4, 4]},
        {"more": 1},
        {"dropout": None},
        {"widths": [4, 4, 4, 9]},
        {"classes": "x"},
    ],
    ids=str,
)
def test_weights_that_do_not_fit_their_description_are_one_line(change: dict[str, object]) -> None:
    state = build_teacher(**TEACHER).state_dict()
    with pytest.raises(ValueError, match="a file holds no net of this kind") as caught:
        restore("a file", described_teacher, state, {**TEACHER, **change})
    assert "\n" not in str(caught.value)
