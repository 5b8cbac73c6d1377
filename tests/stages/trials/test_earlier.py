"""earlier: a search begins with the trials that its own outputs of an earlier run have."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.search.ask_tell import TrialRow, best, top
from stages.store.atomic import write_json
from stages.store.predictions import read_test_logits, write_test_logits
from stages.trials import earlier
from stages.trials.earlier import Search, keep_files, write_trials
from stages.trials.folder import WEIGHTS, TrialFolder, total_seconds

ERRORS = [0.5, 0.2, None, 0.4, 0.3, 0.8, 0.7, 0.6]
"""Validation errors of the trials of the earlier run; five are reported: 1, 4, 3, 0 and 7."""
KEY = {"settings": {"lr": 0.1}, "inputs": {"data/prepared": "a"}, "code": "c"}


def kept(rows: list[TrialRow]) -> dict[int, dict[str, str]]:
    """The best net, and the two best as an ensemble."""
    files: dict[int, dict[str, str]] = {best(rows).trial: {"best": WEIGHTS}}
    for place, row in enumerate(top(rows, 2)):
        files.setdefault(row.trial, {})[f"member-{place}"] = WEIGHTS
    return files


def all_kept(rows: list[TrialRow]) -> dict[int, dict[str, str]]:
    """The nets of all trials that did not fail, as of the teachers."""
    return {row.trial: {f"{row.trial}": WEIGHTS} for row in rows if row.value is not None}


@dataclass(frozen=True)
class Folder:
    """An output folder as another place has it."""

    root: Path

    def copy(self, name: str, to: Path) -> None:
        shutil.copyfile(self.root / name, to)


def row(trial: int, value: float | None, again: bool = False) -> TrialRow:
    reason = "loss is nan" if value is None else None
    result = {"why": None, "errors": [0.9, value or 0.9], "losses": [2.0, 1.0], "widths": [3, 4]}
    return TrialRow(trial, {"lr": 0.1 + trial}, 100 * again + trial, value, reason, result)


def logits(number: int) -> np.ndarray:
    return np.full((4, 3), number, np.float32)


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Outputs of an earlier run; the stage finds them."""
    work, folder = tmp_path / "before", tmp_path / "out"
    write_json(work / "key.json", KEY)
    rows = [row(trial, value) for trial, value in enumerate(ERRORS)]
    for each in rows:
        trial = TrialFolder(work, each.trial)
        trial.folder.mkdir(parents=True)
        trial.weights.write_text(f"net {each.trial}")

    folder.mkdir()
    keep_files(rows, kept, work, folder)
    again = [row(0, 0.3, again=True), row(1, None, again=True)]
    write_trials(folder, work, rows, again)
    reported = {each.trial: logits(each.trial) for each in top(rows, 5)}
    write_test_logits(
        folder / "test.safetensors", {"trials": reported, "retrained": {0: logits(9)}}
    )

    monkeypatch.setattr(earlier, "find", lambda path: Folder(path))
    return folder


def search(tmp_path: Path, out: Path, trials: int, retrained: int = 0) -> Search:
    work = tmp_path / "work"
    if not work.exists():
        write_json(work / "key.json", KEY)
    return Search(work, trials, work / "again", retrained, out, kept)


def finished(root: Path, trials: int, again: bool = False) -> list[int]:
    """Trials that have the result of the earlier run."""
    return [
        number
        for number in range(trials)
        if TrialFolder(root, number).finished({"lr": 0.1 + number}, 100 * again + number)
    ]


def test_the_same_search_has_all_of_its_trials(tmp_path: Path, out: Path) -> None:
    now = search(tmp_path, out, 8)
    assert now.take_over() == 8 and now.continued
    assert finished(now.work, 8) == list(range(8))

    result = TrialFolder(now.work, 3).finished({"lr": 3.1}, 3)
    assert result == {"value": 0.4, "reason": None, **row(3, 0.4).result}
    assert TrialFolder(now.work, 1).weights.read_text() == "net 1"
    assert TrialFolder(now.work, 4).weights.read_text() == "net 4"  # of the ensemble
    assert not TrialFolder(now.work, 3).weights.exists()
    np.testing.assert_array_equal(
        read_test_logits(TrialFolder(now.work, 3).tested)["trials"][3], logits(3)
    )
    assert not TrialFolder(now.work, 5).tested.exists()
    assert total_seconds(now.work, 8) == 0
    assert now.take_over() == 0  # it has them


@pytest.mark.parametrize(("trials", "has"), [(12, list(range(8))), (2, [1]), (6, [0, 1, 2, 3, 4])])
def test_a_longer_or_shorter_one_has_those_whose_nets_are_at_hand(
    tmp_path: Path, out: Path, trials: int, has: list[int]
) -> None:
    """Trial 5 is reported in a search of six, and nobody has its outputs: it is trained again."""
    now = search(tmp_path, out, trials)
    assert now.take_over() == len(has)
    assert finished(now.work, 8) == has


def test_a_kept_net_that_is_not_there_is_trained_again(tmp_path: Path, out: Path) -> None:
    """Of three trials, 0 is the second best: the outputs have what it says, and not the net."""
    now = search(tmp_path, out, 3)
    now.take_over()
    assert finished(now.work, 3) == [1, 2]


def test_retrained_nets(tmp_path: Path, out: Path) -> None:
    now = search(tmp_path, out, 8, retrained=5)
    assert now.take_over() == 10
    assert finished(now.again, 5, again=True) == [0, 1]
    np.testing.assert_array_equal(
        read_test_logits(TrialFolder(now.again, 0).tested)["trials"][0], logits(9)
    )


def test_what_has_been_trained_here_is_left_as_it_is(tmp_path: Path, out: Path) -> None:
    now = search(tmp_path, out, 8)
    folder = TrialFolder(now.work, 4)
    folder.finish({"lr": 4.1}, 4, {"value": 0.3, "here": True}, 2.0)
    assert now.take_over() == 7
    assert folder.finished({"lr": 4.1}, 4) == {"value": 0.3, "here": True}


def test_a_result_of_other_hyperparameters_is_left_as_it_is(tmp_path: Path, out: Path) -> None:
    """The search has another best now, of which a net was retrained before a kill."""
    now = search(tmp_path, out, 8, retrained=2)
    folder = TrialFolder(now.again, 0)
    folder.finish({"lr": 7.0}, 100, {"value": 0.1}, 2.0)
    now.take_over()
    assert folder.finished({"lr": 7.0}, 100) == {"value": 0.1}


def test_what_cannot_be_looked_up_does_not_end_a_stage(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(path: Path) -> None:
        raise ValueError("dvc.lock is damaged")

    monkeypatch.setattr(earlier, "find", fails)
    assert search(tmp_path, out, 8).take_over() == 0
    assert "dvc.lock is damaged" in capsys.readouterr().out


def test_a_trial_that_is_trained_again_loses_its_earlier_outputs(tmp_path: Path, out: Path) -> None:
    now = search(tmp_path, out, 8)
    now.take_over()
    TrialFolder(now.work, 3).finish({"lr": 7.0}, 3, {"value": 0.1}, 2.0)
    assert not TrialFolder(now.work, 3).tested.exists()


@pytest.mark.parametrize("what", ["settings", "inputs"])
def test_another_search_is_not_taken_over(tmp_path: Path, out: Path, what: str) -> None:
    now = search(tmp_path, out, 8)
    write_json(now.work / "key.json", {**KEY, what: {"other": 1}})
    assert now.take_over() == 0 and not now.continued
    assert finished(now.work, 8) == []


def test_outputs_of_a_version_without_a_record(tmp_path: Path, out: Path) -> None:
    (out / "trials.json").unlink()
    assert search(tmp_path, out, 8).take_over() == 0


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("trials.json", "{", "not valid JSON"),
        ("trials.json", "[]", "list indices"),
        ("trials.json", json.dumps({**KEY, "trials": [{"trial": 0}], "retrained": []}), "missing"),
        ("test.safetensors", "x", "test.safetensors|earlier"),
    ],
)
def test_a_damaged_record_is_said_and_not_used(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, word: str
) -> None:
    (out / name).write_text(text)
    now = search(tmp_path, out, 8)
    assert now.take_over() == 0 and finished(now.work, 8) == []
    said = capsys.readouterr().out
    assert f"{out}: its earlier outputs are not used: " in said
    assert not (now.work / "earlier").exists()


def test_a_folder_with_the_nets_of_all_trials(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the teachers' is: it has no outputs on the test images."""
    rows = [row(trial, value) for trial, value in enumerate(ERRORS)]
    keep_files(rows, all_kept, tmp_path / "before", out)
    (out / "test.safetensors").unlink()
    work = tmp_path / "work"
    write_json(work / "key.json", KEY)
    assert Search(work, 6, work, 0, out, all_kept).take_over() == 6
    assert [TrialFolder(work, each).weights.exists() for each in (0, 2, 5)] == [True, False, True]


def test_environments_of_the_trials(tmp_path: Path, out: Path) -> None:
    now = search(tmp_path, out, 4)
    here = {"torch": "2.14", "device": "cpu"}
    for number, torch in ((0, "2.14"), (1, "2.13"), (3, "2.13")):
        write_json(TrialFolder(now.work, number).environment, {**here, "torch": torch})
    assert now.environments(besides=here) == [{**here, "torch": "2.13"}]
    assert now.environments(besides={}) == [here, {**here, "torch": "2.13"}]


@pytest.mark.parametrize("step", range(8))
def test_a_kill_in_between_is_made_good(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """What the next run finds is whole: the rest is taken over then."""
    finish, done = TrialFolder.finish, 0

    class Killed(BaseException):
        pass

    def killed(folder: TrialFolder, *rest: Any) -> None:
        nonlocal done
        if done == step:
            raise Killed
        done += 1
        finish(folder, *rest)

    monkeypatch.setattr(TrialFolder, "finish", killed)
    with pytest.raises(Killed):
        search(tmp_path, out, 8).take_over()
    monkeypatch.setattr(TrialFolder, "finish", finish)

    now = search(tmp_path, out, 8)
    assert now.take_over() == 8 - step and finished(now.work, 8) == list(range(8))
    assert now.continued and TrialFolder(now.work, 1).weights.read_text() == "net 1"
    assert sorted(path.name for path in now.work.iterdir()) == ["key.json", "trials"]
