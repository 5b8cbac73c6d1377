"""Curves of trials during training, DVCLive's and TensorBoard's; no result depends on them."""

from __future__ import annotations

import builtins
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stages import augment, ensemble, label, prepare, teachers
from stages.fit import curves
from stages.fit.curves import check_log, logged
from tests.helpers.pocket import dvc, run_cell
from tools.pocket import ROOT, write_params

EPOCHS = [(0, 2.5, 0.75), (1, 2.0, 0.5), (2, 1.5, 0.25)]


def run(
    kind: str, epochs: list[tuple[int, float, float]], name: str = "students/conv2-60k/003"
) -> list[Any]:
    """What the trial's own report was called with."""
    told: list[Any] = []
    with logged(kind, name, lambda *facts: told.append(facts)) as report:
        for facts in epochs:
            report(*facts)
    return told


def read(kind: str, name: str = "students/conv2-60k/003") -> list[tuple[int, float, float]]:
    """The curve as the library wrote it."""
    folder = Path("live") / name
    if kind == "dvclive":
        names = ("training_loss", "validation_error")
        tables = [pd.read_csv(folder / f"plots/metrics/{name}.tsv", sep="\t") for name in names]
        both = tables[0].merge(tables[1], on="step", validate="one_to_one")
        return [
            (int(e), float(loss), float(error)) for e, loss, error in both.itertuples(index=False)
        ]
    events = EventAccumulator(str(folder)).Reload()
    loss, error = (events.Scalars(name) for name in ("training loss", "validation error"))
    return [(a.step, a.value, b.value) for a, b in zip(loss, error, strict=True)]


@pytest.mark.parametrize("kind", ["dvclive", "tensorboard"])
def test_curves_go_on_where_the_trial_does(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(kind, EPOCHS[:2]) == EPOCHS[:2] and read(kind) == EPOCHS[:2]
    assert run(kind, EPOCHS[2:]) == EPOCHS[2:] and read(kind) == EPOCHS, "from a checkpoint"
    again = [(0, 3.0, 0.5)]
    assert run(kind, again) == again and read(kind) == again, "fresh"


def test_a_curve_is_there_while_the_trial_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in ("dvclive", "tensorboard"):
        with logged(kind, f"{kind}/000", lambda *_: None) as report:
            for facts in EPOCHS:
                report(*facts)
                assert read(kind, f"{kind}/000")[-1] == facts
    assert json.loads(Path("live/dvclive/000/metrics.json").read_text()) == {
        "training_loss": 1.5,
        "validation_error": 0.25,
        "step": 2,
    }


def test_nothing_is_imported_or_written_without_a_logger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def refuse(name: str, *rest: Any) -> Any:
        assert name.split(".")[0] not in ("dvclive", "tensorboard")
        return kept(name, *rest)

    kept = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", refuse)
    assert run("none", EPOCHS) == EPOCHS and not list(tmp_path.iterdir())
    with logged("dvclive", "x", print), pytest.raises(KeyError):
        raise KeyError  # before the first epoch is over
    assert not list(tmp_path.iterdir())


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_log("dvclive")
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    check_log("none")
    for kind, extra in (("dvclive", "live"), ("tensorboard", "tensorboard")):
        with pytest.raises(
            ValueError, match=rf"execution.log is {kind}, .* pip install '.\[{extra}\]'"
        ):
            check_log(kind)


@pytest.mark.middle
def test_results_are_the_same_and_dvc_shows_the_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, found = tmp_path / "dvclive", {}
    for kind in ("none", "dvclive"):
        if kind == "dvclive":
            shutil.copytree(tmp_path / "none", folder, ignore=shutil.ignore_patterns("work"))
        (tmp_path / kind).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / kind)
        write_params(
            Path(),
            {"execution.log": kind, "students.final_seeds": 1, "students.training.max_epochs": 2},
        )
        for stage in (
            (prepare, teachers, ensemble, augment, label) if kind == "none" else (teachers,)
        ):
            stage.main()
        run_cell("mimic", "conv1", "60k")
        files = [
            *Path("metrics").rglob("*"),
            *Path("data/teachers").rglob("*"),
            *Path("data/students").rglob("*"),
        ]
        found[kind] = {
            path: path.read_bytes()
            for path in files
            if path.is_file() and path.name != "environment.json"
        }
    assert found["none"] == found["dvclive"] and len(found["none"]) > 15
    assert not (tmp_path / "none/live").exists()
    curve = json.loads((folder / "data/students/conv1-60k/curves.json").read_text())["1"]
    steps = read("dvclive", "students/conv1-60k/001")
    assert [error for _, _, error in steps] == pytest.approx(curve["errors"])
    assert [loss for _, loss, _ in steps] == pytest.approx(curve["losses"])
    assert (folder / "live/students/conv1-60k/000-again/metrics.json").is_file()
    for name in (".gitignore", ".dvcignore"):
        shutil.copyfile(ROOT / name, folder / name)
    plots = YAML(typ="safe").load(ROOT / "dvc.yaml")["plots"]
    YAML().dump({"plots": plots}, folder / "dvc.yaml")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    dvc(folder, "init", "-q")
    ignored = subprocess.run(["git", "check-ignore", "-q", "live"], cwd=folder)
    assert ignored.returncode == 0
    shown = json.loads(dvc(folder, "plots", "show", "--json"))["data"]
    assert len(shown["live/teachers/002/plots/metrics/validation_error.tsv"]) == 1


def test_extras_are_in_pyproject() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert all(f"\n{extra} = [" in text for extra in curves.PACKAGES.values())
