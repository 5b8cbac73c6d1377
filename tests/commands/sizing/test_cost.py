"""Costs of a run, worked out by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from commands.sizing import cost
from stages.settings.groups import CellName
from tools.pocket import ROOT


def test_cost_by_hand() -> None:
    job = cost.Work("x", macs=1000, params=10, images=50, count=4)
    assert job.flops == 1000 * 2 * 3 * 50 * 4
    assert cost.Work("x", 1000, 10, 50, 4, "label").flops == 1000 * 2 * 50 * 4
    assert cost.Work("x", 1000, 10, 50, 4, validated=7).flops == 1000 * 2 * (3 * 50 + 7) * 4


def test_bytes_of_the_papers_transfer_set() -> None:
    """160 epochs of 40,000 images of 3,072 bytes: 19.7 GB of pixels, and their logits and draws."""
    kept, drawn_only = (160 * 40_000 * cost.transfer_bytes(each, 10) for each in (3072, 0))
    assert kept - drawn_only == 160 * 40_000 * 3072
    assert drawn_only == 160 * 40_000 * (4 + 2 + 9 * 2 + 10 * 4)


CORE = cost.Device(
    "1 core of X",
    "2.15.0",
    "`a command`",
    9,
    True,
    {
        "train conv fp32": 1e9,
        "train conv bf16": 4e9,
        "label fp32": 2e9,
        "views": 10.0,
        "store read": 1e6,
    },
)


GUESS = cost.Device("one Y", "", "a guess", 0, False, {"train conv fp32": 1e12, "label fp32": 1e12})


def estimate() -> list[cost.Part]:
    """3.6e12 operations of training, 7.2e12 of labelling, which reads.

    There are 36,000 views by two processes.
    """
    nets = cost.Work("teachers", macs=10**6, params=5, images=200_000, count=3)
    labels = cost.Work("label", 10**6, 5, 1_800_000, 2, "label")
    return [
        cost.Part("teachers", (nets,), views=36_000, slots=2),
        cost.Part("label", (labels,), read=3_600_000_000),
    ]


def test_hours_are_amounts_over_rates() -> None:
    training, labelling = (part.amounts for part in estimate())
    assert training == {"train conv": 3.6e12, "views": 36_000} and labelling["label"] == 7.2e12
    assert CORE.hours(training, "fp32") == (pytest.approx(1.0 + 1.0), True)
    assert CORE.hours(training, "bf16") == (pytest.approx(0.25 + 1.0), True)
    assert CORE.hours(labelling, "fp32") == (pytest.approx(1.0 + 1.0), True)
    assert GUESS.hours(training, "fp32") == (pytest.approx(0.001), False), "it has no rate of views"


def test_cost_as_text() -> None:
    text = cost.lines(estimate(), 2_500_000_000, "fp32", [CORE, GUESS])
    assert text[2].split() == "nets FLOP views GB read GB made 1 core [1] 2 cores GPU [2]".split()
    assert text[3].split() == "teachers 3 3.6e+12 3.6e+04 2 h 1 h 3.6 s +".split()
    assert text[4].split() == "label 7.2e+12 3.6 2 h 2 h 7.2 s +".split()
    assert text[5].split() == "total 3 1.1e+13 3.6e+04 3.6 4 h 3 h 11 s +".split()
    assert text[7] == "transfer set on disk: 2.5 GB"
    assert text[8:10] == [
        "[1] 1 core of X: measured by `a command`; median of 9, torch 2.15.0",
        "[2] one Y: assumed, not measured: a guess",
    ]
    assert text[10] == f"    views, store read: {cost.LEFT_OUT}"

    total = "4 h on 1 core of X, 3 h on up to 2 such cores; 11 s on one Y (assumed, not all of it)"
    assert (
        cost.in_words(estimate(), "fp32", [CORE, GUESS])[0]
        == f"In all: 3 nets and 1.08e+13 operations: {total}."
    )


def test_what_has_no_rate_at_all_has_no_time() -> None:
    text = cost.lines([cost.Part("augment", views=100)], 0, "fp32", [CORE, GUESS])
    assert text[3].split() == ["augment", "1.0e+02", "10", "s", "?"]


def test_times_are_readable_at_every_size() -> None:
    told = {
        0.0: "0 s",
        0.0001: "< 1 s",
        0.001: "3.6 s",
        0.0199: "1.2 min",
        0.999: "1 h",
        1.25: "1.2 h",
        47: "47 h",
        59.6 / 3600: "1 min",
        59.7 / 60: "1 h",
        47.9: "2 days",
        86.4: "3.6 days",
        33_864: "1,411 days",
    }

    assert {hours: cost.duration(hours) for hours in told} == told


def test_another_precision_is_never_silent() -> None:
    text = cost.lines(estimate(), 0, "bf16", [CORE, GUESS])
    notes = [line for line in text if "no bf16 rate measured, fp32's is taken" in line]
    assert [line.split(":")[0].strip() for line in notes] == ["label", "train conv, label"]


def test_one_process_at_a_time_has_one_column_of_hours() -> None:
    alone = [replace(part, slots=1) for part in estimate()]
    assert not any("cores" in line for line in cost.lines(alone, 0, "fp32", [CORE]))
    assert "cores" not in cost.in_words(alone, "fp32", [CORE])[0]


def test_the_largest_cell_is_named() -> None:
    name = CellName("hard", "a", "1M")
    works = tuple(cost.Work(f"students {n}", n, 5, 100, 2, cell=name) for n in (7, 9, 8))
    part = cost.Part("students conv", works)
    assert f"largest cell: students 9, {9 * 6 * 200:.2e} FLOP in 2 trials" in cost.lines(
        [part], 0, "fp32", [CORE]
    )
    assert len(cost.cells([part])) == 4


@pytest.mark.parametrize("params, small", [(316_000, True), (999_154, False)])
def test_small_nets_are_said_to_take_longer(params: int, small: bool) -> None:
    part = cost.Part("teachers", (cost.Work("teachers", 7, params, 100, 2),))
    assert (cost.SMALL_NETS in cost.in_words([part], "fp32", [CORE])) == small


def test_stored_rates_say_where_they_are_from() -> None:
    found = cost.devices()
    works = {f"{work} {precision}" for work in cost.NETS for precision in ("fp32", "bf16")} | set(
        cost.DATA
    )

    assert any(device.measured and device.device.startswith(cost.PER_CORE) for device in found)

    for device in found:
        assert device.how and device.rates and set(device.rates) <= works
        assert device.measured == bool(device.torch) == bool(device.n)
        assert device.measured == ("benchmarks.rates" in device.how)


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '[{"device": "x"}]', "bad rate"])
def test_a_broken_file_of_rates_is_one_line(tmp_path: Path, text: str) -> None:
    entry = {**asdict(GUESS), "rates": {"views": 0}}
    (tmp_path / "rates.json").write_text(json.dumps([entry]) if text == "bad rate" else text)
    with pytest.raises(ValueError, match=r"rates\.json: .*benchmarks\.rates") as caught:
        cost.devices(tmp_path / "rates.json")
    assert "\n" not in str(caught.value)


def test_costs_import_no_torch() -> None:
    code = "import sys, commands.sizing.cost; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
