"""progress: the bar over a sweep's trials, and the lines in a log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.trials import progress as module
from stages.trials.folder import TrialFolder
from stages.trials.progress import SweepProgress
from tests.helpers.processes import until


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Sweep:
    """A sweep of which nothing is trained, and the lines that it has written.

    Args:
        trials, max_epochs: of the sweep.
    """

    def __init__(
        self, folder: Path, capsys: pytest.CaptureFixture[str], trials: int, max_epochs: int | None
    ) -> None:
        self.folder = folder
        self.capsys = capsys
        self.clock = Clock()
        self.progress = SweepProgress(
            "teachers", trials, max_epochs, lambda k: TrialFolder(folder, k).progress, self.clock
        )

    def at(self, seconds: float) -> list[str]:
        """The lines that are new after a look at this second."""
        self.clock.now = 1000.0 + seconds
        self.progress._look()
        return self.written()

    def written(self) -> list[str]:
        """The lines since the last look at them."""
        return self.capsys.readouterr().err.splitlines()

    def starts(self, *trials: int) -> None:
        for trial in trials:
            self.progress.event("start", trial, {})

    def ends(self, trial: int, value: float | None) -> None:
        self.progress.event("done", trial, {"value": value})

    def reports(self, trial: int, epoch: int) -> None:
        TrialFolder(self.folder, trial).report(epoch - 1, 1.0, 0.25)


@pytest.fixture
def sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Sweep]:
    """Makes a sweep whose standard error is no terminal."""
    return lambda trials, max_epochs: Sweep(tmp_path, capsys, trials, max_epochs)


def test_progress_file_and_bar(tmp_path: Path) -> None:
    trial = TrialFolder(tmp_path, 0)
    trial.report(3, float("inf"), 0.25)
    assert json.loads(trial.progress.read_text()) == {"epoch": 3, "loss": None, "error": 0.25}
    with SweepProgress("x", 3, 8, lambda i: TrialFolder(tmp_path, i).progress) as progress:
        progress.event("start", 0, {})
        progress.event("start", 1, {})
        progress._show()
        assert progress.bar.n == 0.5
        assert "#0 epoch 4/8 error 0.250" in progress.bar.postfix
        progress.event("done", 0, {"value": 0.2})
        progress.event("done", 1, {"value": None})
        progress._show()
        assert progress.bar.n == 2 and progress.best == 0.2


def test_log_has_a_line_after_a_minute_and_then_every_five(sweep: Callable[..., Sweep]) -> None:
    long = sweep(4, 10)
    long.starts(0, 1)
    said = [second for second in range(1, 1000) if long.at(second)]
    assert said == [60, 360, 660, 960]


def test_trials_that_end_have_a_line_each_minute_at_most(sweep: Callable[..., Sweep]) -> None:
    long = sweep(4, 10)
    long.starts(0, 1)
    assert long.at(60)

    long.ends(0, 0.3)
    assert not long.at(100)
    assert long.at(120)[0].startswith(
        "teachers: 1 of 4 trials done, best validation accuracy 0.7000"
    )
    assert not long.at(419)
    long.ends(1, 0.2)
    assert long.at(419.5)[0].startswith(
        "teachers: 2 of 4 trials done, best validation accuracy 0.8000"
    )
    assert not long.at(700)
    assert long.at(719.5)


def test_line_says_epochs_and_time_left(sweep: Callable[..., Sweep]) -> None:
    long = sweep(4, 10)
    long.starts(0, 1)
    long.at(1)
    long.reports(0, 2)
    long.reports(1, 4)

    # 0.6 of 4 trials in 120 s: 680 s for the other 3.4.
    assert long.at(120) == [
        "teachers: 0 of 4 trials done, 2 running, at epochs 2 to 4 of 10, "
        "about 11 min left in this search"
    ]


def test_what_an_earlier_run_has_left_is_not_taken_for_its_pace(
    sweep: Callable[..., Sweep],
) -> None:
    resumed = sweep(4, 10)
    resumed.starts(0, 1, 2)
    resumed.ends(0, 0.5)
    resumed.ends(1, None)
    resumed.reports(2, 4)
    assert not resumed.at(1)

    # 0.4 trials since: 400 s for the other 1.6 - 0.4.
    resumed.reports(2, 8)
    assert resumed.at(120) == [
        "teachers: 2 of 4 trials done, best validation accuracy 0.5000, "
        "1 running, at epoch 8 of 10, about 6 min left in this search"
    ]


def test_whole_trials_count_where_no_bound_is_known(sweep: Callable[..., Sweep]) -> None:
    long = sweep(3, None)
    long.starts(0, 1)
    long.reports(1, 7)
    long.at(1)
    assert long.at(60) == ["teachers: 0 of 3 trials done, 1 running, at epoch 7"]

    long.ends(0, 0.5)
    assert long.at(600)[0].endswith("1 running, at epoch 7, about 20 min left in this search")


def test_torn_progress_file_is_left_out(sweep: Callable[..., Sweep]) -> None:
    long = sweep(3, 10)
    long.starts(0, 1)
    long.reports(1, 7)
    for text in ("", "{", "[]", "{}", '{"epoch": null, "error": 1}'):
        TrialFolder(long.folder, 0).folder.mkdir(exist_ok=True)
        TrialFolder(long.folder, 0).progress.write_text(text)
        assert long.progress._flying() == [(1, 7, 0.25)]


def test_thread_writes_the_lines(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.001)
    long = sweep(3, 10)
    with long.progress as progress:
        long.clock.now += 61
        assert until(lambda: progress.said is not None)
    assert long.written() == ["teachers: 0 of 3 trials done"]


def test_short_sweep_leaves_nothing_in_a_log(sweep: Callable[..., Sweep]) -> None:
    short = sweep(1, 10)
    with short.progress:
        short.starts(0)
        short.ends(0, 0.5)
        assert not short.at(59)
    assert short.written() == []


def test_terminal_has_the_bar_and_no_lines(sweep: Callable[..., Sweep]) -> None:
    terminal = sweep(3, 10)
    terminal.progress.quiet = False
    terminal.starts(0)
    terminal.reports(0, 5)
    assert terminal.at(100) == []
    assert terminal.progress.bar.n == 0.5
