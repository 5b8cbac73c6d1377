"""folder: a finished trial is found again, and only by its own values and seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.trials.folder import TrialFolder, total_seconds


def test_finished_only_for_the_same_values_and_seed(tmp_path: Path) -> None:
    trial = TrialFolder(tmp_path, 7)
    values = {"lr": 0.1 + 0.2, "momentum": 0.9, "width": 3}
    assert trial.finished(values, 1) is None
    trial.finish(values, 1, {"value": None, "reason": "loss is nan"}, 2.5)
    assert trial.finished(values, 1) == {"value": None, "reason": "loss is nan"}
    assert trial.finished(dict(reversed(values.items())), 1) is not None
    assert trial.finished(values, 2) is None
    assert trial.finished({**values, "lr": 0.3}, 1) is None
    assert trial.finished({"lr": values["lr"]}, 1) is None
    assert TrialFolder(tmp_path, 8).finished(values, 1) is None
    result = tmp_path / "trials" / "007" / "result.json"
    for torn in ("", '{"values"', "[]", "{}"):
        result.write_text(torn)
        assert trial.finished(values, 1) is None


def test_seconds_are_those_of_the_first_trials(tmp_path: Path) -> None:
    """A search may have been longer before."""
    for trial, seconds in enumerate((2.5, 1.25, 4.0)):
        TrialFolder(tmp_path, trial).finish({}, 1, {}, seconds)
    assert total_seconds(tmp_path, 2) == 3.75


def test_result_is_the_last_file_of_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(
        "stages.trials.folder.write_json", lambda path, value: written.append(path.name)
    )
    TrialFolder(tmp_path, 0).finish({}, 1, {}, 1.0)
    assert written[-1] == "result.json"
