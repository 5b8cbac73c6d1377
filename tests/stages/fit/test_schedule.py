"""The schedule, to the epoch: golden epochs, a naive second implementation, the command."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stages.fit.schedule import BudgetSchedule, Schedule, replay
from tests.helpers.processes import PATIENCE
from tools.pocket import ROOT

GOLDEN = json.loads((ROOT / "tests" / "golden" / "schedule.json").read_text())


def drops(every: int | None, count: int = 400) -> list[float]:
    """Errors with a new minimum in epochs 0, `every`, 2 `every`, ...; flat for None."""
    return [0.9 if every is None else 0.9 - 0.001 * (i // every) for i in range(count)]


def naive(errors: Sequence[float], max_epochs: int | None) -> tuple[list[int], int, str | None]:
    """The rules of section 2.6, from the whole history at each epoch: reductions, last, why."""
    cuts: list[int] = []
    t = -1
    for t in range(len(errors)):
        seen = list(errors[: t + 1])
        n = t - seen.index(min(seen))
        if n >= 10 and (not cuts or t - max(cuts) > 8):
            cuts.append(t)
        if n >= 30:
            return cuts, t, "no_drop"
        if 2 ** len(cuts) > 2000:
            return cuts, t, "factor"
        if t + 1 == max_epochs:
            return cuts, t, "end"
    return cuts, t, None


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda g: g["name"])
def test_schedule_golden(golden: dict[str, Any]) -> None:
    schedule = replay(drops(golden["every"]))
    assert schedule.reduction_epochs == golden["reduction_epochs"]
    assert (schedule.epoch, schedule.why) == (golden["last_epoch"], golden["why"])
    assert schedule.factor == 0.5 ** len(golden["reduction_epochs"])


def test_flat_error_reduces_at_10_19_28_and_stops_at_30() -> None:
    schedule = replay([0.5] * 40)
    assert (schedule.reduction_epochs, schedule.epoch, schedule.why) == (
        [10, 19, 28],
        30,
        "no_drop",
    )
    assert (schedule.best_epoch, schedule.best_error, schedule.factor) == (0, 0.5, 0.125)


ERRORS = st.lists(st.sampled_from([i / 20 for i in range(21)]), min_size=1, max_size=80)
STAIRS = st.builds(
    lambda gaps: [0.99 - 0.01 * i for i, gap in enumerate(gaps) for _ in range(gap)],
    st.lists(st.integers(1, 31), min_size=1, max_size=25),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(errors=ERRORS | STAIRS, max_epochs=st.none() | st.integers(1, 60))
@example(errors=[0.5] * 31, max_epochs=31)
@example(errors=drops(12), max_epochs=131)
def test_schedule_follows_the_rules(errors: list[float], max_epochs: int | None) -> None:
    schedule = replay(errors, max_epochs)
    cuts, last, why = naive(errors, max_epochs)
    assert (schedule.reduction_epochs, schedule.epoch, schedule.why) == (cuts, last, why)
    assert schedule.best_epoch == int(np.argmin(errors[: last + 1]))
    assert schedule.factor == 0.5 ** len(cuts)


def test_update_says_whether_the_error_dropped() -> None:
    schedule = Schedule()
    dropped = [schedule.update(e) for e in (0.5, 0.5, 0.4, 0.45, 0.4, 0.0)]
    assert dropped == [True, False, True, False, False, True]


def test_schedule_refuses_what_is_no_error_and_what_comes_too_late() -> None:
    for bad in (math.nan, -0.1, 1.1, math.inf):
        with pytest.raises(ValueError, match="epoch 0: allowed is 0 .. 1"):
            Schedule().update(bad)
    ended = replay([0.5], max_epochs=1)
    with pytest.raises(ValueError, match=r"ended at epoch 0 \(end\)"):
        ended.update(0.4)


def test_a_budget_rises_for_a_tenth_and_falls_to_zero_by_rex() -> None:
    schedule = BudgetSchedule(20)
    seen = []
    for epoch in range(20):
        seen += [schedule.factor_at(share) for share in (0.0, 0.25, 0.5, 0.75)]
        schedule.update(0.5 + 0.01 * (epoch % 3))
    assert (schedule.why, schedule.epoch, schedule.best_epoch) == ("end", 19, 0)
    assert schedule.reduction_epochs == [], "the paper's rules do not act"

    progress = np.arange(80) / 80
    after = (progress - 0.1) / 0.9
    rex = (1 - after) / (0.5 + 0.5 * (1 - after))  # Chen et al. 2021, equation 1, beta = 1/2
    np.testing.assert_allclose(seen, np.where(progress < 0.1, progress / 0.1, rex))
    assert max(seen) == pytest.approx(1.0) and seen[-1] < 0.03


@settings(max_examples=100, deadline=None, derandomize=True)
@given(errors=ERRORS, epochs=st.integers(1, 90))
def test_a_budget_lasts_as_long_as_it_is(errors: list[float], epochs: int) -> None:
    schedule = replay(errors, epochs, "budget")
    taken = min(len(errors), epochs)
    assert schedule.epoch + 1 == taken
    assert schedule.why == ("end" if taken == epochs else None)
    assert schedule.best_epoch == int(np.argmin(errors[:taken]))
    assert 0.0 <= schedule.factor_at(0.0) <= 1.0
    assert schedule.factor_at(1.0) < 1e-12 or schedule.epoch + 2 < epochs


def test_a_budget_needs_an_end() -> None:
    with pytest.raises(ValueError, match="needs max_epochs"):
        BudgetSchedule(None)


def schedule_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m stages.fit.schedule`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.fit.schedule", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )


def test_schedule_command(tmp_path: Path) -> None:
    path = tmp_path / "errors.json"
    path.write_text(json.dumps(drops(None)))
    done = schedule_command(str(path))
    assert json.loads(done.stdout) == {
        "reduction_epochs": [10, 19, 28],
        "last_epoch": 30,
        "why": "no_drop",
    }
    assert done.stdout.count("\n") == 1 and done.returncode == 0
    done = schedule_command(str(path), "--max-epochs", "12")
    assert json.loads(done.stdout) == {"reduction_epochs": [10], "last_epoch": 11, "why": "end"}


@pytest.mark.parametrize(
    ("text", "more", "word"),
    [
        ("[0.5, 2]", [], "allowed is 0 .. 1"),
        ("[]", [], "list of numbers"),
        ("{}", [], "list of numbers"),
        ("0.5", [], "list of numbers"),
        ('["0.5"]', [], "list of numbers"),
        ("[true]", [], "list of numbers"),
        ("[NaN]", [], "allowed is 0 .. 1"),
        ("[0.5", [], "delimiter"),
        ("\xff", [], ""),
        (None, [], "No such file"),
        ("[0.5]", ["--max-epochs", "0"], "--max-epochs is 0"),
    ],
)
def test_schedule_command_refuses_bad_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    more: list[str],
    word: str,
) -> None:
    from stages.fit import schedule

    path = tmp_path / "errors.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    monkeypatch.setattr(sys, "argv", ["schedule", str(path), *more])
    with pytest.raises(SystemExit) as caught:
        schedule.main()
    out, err = capsys.readouterr()
    assert caught.value.code == 1 and out == ""
    assert (
        err.startswith("error: ") and "errors.json" in err and word in err and err.count("\n") == 1
    )
