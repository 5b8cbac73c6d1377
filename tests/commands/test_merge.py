"""After a git merge of two branches that each trained something, dvc.lock and metrics/ have both."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from commands import merge
from tests.helpers.pocket import ENVIRONMENT, WHOLE_RUN, dvc, ran
from tools.pocket import ROOT, write_params

NAMES = ("-c", "user.name=x", "-c", "user.email=x@localhost")


def git(folder: Path, *words: str, check: bool = True) -> str:
    done = subprocess.run(
        ["git", *NAMES, *words], cwd=folder, capture_output=True, text=True, check=check
    )
    return done.stdout


def settled(folder: Path) -> str:
    """Output of the command."""
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "commands.merge"]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stage(path: str, text: str, **params: Any) -> dict[str, Any]:
    """An entry of dvc.lock, whose output is written too."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    md5 = hashlib.md5(text.encode()).hexdigest()
    return {"cmd": "x", "params": params, "outs": [{"path": path, "hash": "md5", "md5": md5}]}


def write(lock: dict[str, Any], **environments: str) -> None:
    """dvc.lock, and metrics/environment.json: stage -> commit."""
    YAML().dump({"schema": "2.0", "stages": lock}, Path("dvc.lock"))
    entries = [{"commit": commit, "stages": [name]} for name, commit in environments.items()]
    Path("metrics/environment.json").write_text(json.dumps(entries, indent=2) + "\n")


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A merge that has stopped at files of every kind."""
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q", "-b", "main")
    before = {
        "a": stage("metrics/a.csv", "a"),
        "gone": stage("metrics/gone.csv", "gone"),
        "table": stage("metrics/table.csv", "a"),
    }
    Path("params.yaml").write_text("rows: [a]\n")
    write(before, a="0", gone="0", table="0")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "base")

    git(tmp_path, "switch", "-qc", "other")
    theirs = {
        "a": stage("metrics/a.csv", "changed there"),
        "gone": before["gone"],
        "c": stage("metrics/c.csv", "c"),
        "table": stage("metrics/table.csv", "a c"),
        "both": stage("metrics/both.csv", "there"),
    }
    Path("params.yaml").write_text("rows: [a, c]\n")
    write(theirs, a="2", gone="0", c="2", table="2", both="2")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "other")

    git(tmp_path, "switch", "-q", "main")
    mine = {
        "a": before["a"],
        "b": stage("metrics/b.csv", "b"),
        "table": stage("metrics/table.csv", "a b"),
        "both": stage("metrics/both.csv", "here"),
    }
    Path("params.yaml").write_text("rows: [a, b]\n")
    Path("metrics/gone.csv").unlink()
    write(mine, a="0", b="1", table="1", both="1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "mine")
    git(tmp_path, "merge", "-q", "other", check=False)
    return tmp_path


def test_every_stage_is_as_the_branch_has_it_that_changed_it(stopped: Path) -> None:
    assert set(merge.unsettled()) >= {"dvc.lock", "params.yaml", "metrics/both.csv"}
    said = settled(stopped)
    assert "left for you: params.yaml;" in said and merge.unsettled() == ["params.yaml"]

    lock = YAML(typ="safe").load(stopped / "dvc.lock")["stages"]
    assert set(lock) == {"a", "b", "c", "table", "both"}
    texts = {"a": "changed there", "b": "b", "c": "c", "table": "a b", "both": "here"}
    for name, text in texts.items():
        assert lock[name]["outs"][0]["md5"] == hashlib.md5(text.encode()).hexdigest()
        assert (stopped / f"metrics/{name}.csv").read_text() == text

    record = json.loads((stopped / "metrics/environment.json").read_text())
    assert {name: entry["commit"] for entry in record for name in entry["stages"]} == {
        **{"a": "2", "b": "1", "c": "2", "table": "1", "both": "1"}
    }


def test_without_a_merge_there_is_nothing_to_do(stopped: Path) -> None:
    git(stopped, "merge", "--abort")
    before = git(stopped, "status", "--short")
    assert settled(stopped).startswith("nothing to settle")
    assert git(stopped, "status", "--short") == before


def test_a_damaged_lock_is_one_line(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "sides", lambda path: dict.fromkeys(merge.SIDES, b"stages: ["))
    with pytest.raises(ValueError, match="dvc.lock of one of the branches is damaged"):
        merge.settle()


def test_from_another_folder_it_is_refused(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(stopped / "metrics")
    with pytest.raises(ValueError, match="from the root of the repository"):
        merge.settle()


@pytest.mark.middle
def test_no_cell_is_trained_that_one_of_the_branches_has_trained(
    undisturbed: Path, tmp_path: Path
) -> None:
    """Two branches that each add a row, merged by git."""
    folder = Path(shutil.copytree(undisturbed, tmp_path / "repository", symlinks=True))
    (folder / ".gitignore").write_text("data/\nplots/\nwork/\n.dvc/cache/\n.dvc/tmp/\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "base")

    rows = ["mlp2", "conv1"]
    for branch, added in (("left", ["mlp1"]), ("right", ["mlp3"])):
        git(folder, "switch", "-qc", branch, "main")
        dvc(folder, "checkout")
        write_params(folder, {**WHOLE_RUN, "students.rows": rows + added})
        assert f"students@{added[0]}-60k" in ran(dvc(folder, "repro"))
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", branch)

    git(folder, "merge", "-q", "left", check=False)
    shutil.rmtree(folder / "work")
    said = settled(folder)
    assert "settled: dvc.lock" in said
    write_params(folder, {**WHOLE_RUN, "students.rows": [*rows, "mlp1", "mlp3"]})
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "both")

    dvc(folder, "checkout", check=False)
    again = {name.partition("@")[0] for name in ran(dvc(folder, "repro"))}
    assert again <= {"prepare", "extra", "tabulate", "assess", "draw", "page"}
    with (folder / "metrics/table2.csv").open() as file:
        assert {"mlp1", "mlp3"} <= {line["row"] for line in csv.DictReader(file)}
    assert "up to date" in dvc(folder, "status")


def test_a_stage_with_two_environments_keeps_both() -> None:
    """A search that was continued elsewhere."""
    text = json.dumps(
        [{"commit": "0", "stages": ["a"]}, {"commit": None, "torch": "1", "stages": ["a", "b"]}]
    ).encode()
    merged = json.loads(merge.merged_record(dict.fromkeys(merge.SIDES, text)))
    assert sorted(map(json.dumps, merged)) == sorted(map(json.dumps, json.loads(text)))
