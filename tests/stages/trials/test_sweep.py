"""What the process of a sweep imports, and which processes it starts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages.runtime import engines
from stages.runtime.executors import Serial
from stages.search.space import Dimension, Space
from stages.settings.sweeps import Sweep
from stages.trials import shared, sweep
from stages.trials.folder import TrialFolder
from tests.helpers import search_jobs
from tools.pocket import ROOT

HEAVY = ("torch", "scipy", "GPyOpt", "pandas", "matplotlib")


@pytest.mark.parametrize("stage", ["teachers", "students"])
def test_a_sweep_starts_without_heavy_imports(stage: str) -> None:
    """Each cell pays for them: scipy for its first proposals only, torch in its trials' server."""
    code = f"import sys, stages.{stage}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def train(job: Any, trial: int, values: dict[str, Any], seed: int) -> dict[str, Any]:
    """A trial that leaves a net."""
    weights = TrialFolder(job.work, trial).weights
    weights.parent.mkdir(parents=True)
    weights.touch()
    return {"value": values["lr"], "reason": None}


def evaluate(job: Any, trials: list[int], retrained: list[int]) -> shared.Tested:
    return shared.Tested({trial: {"test_accuracy": 0.5} for trial in trials})


def check_memory(job: Any, values: dict[str, Any]) -> None:
    """There is room."""


@pytest.mark.parametrize("shared_by", [1, 2])
def test_the_processes_of_a_cell_on_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_by: int
) -> None:
    """Each costs seconds: one that looks for GPUs, one for each trial, and one that tests."""
    started: list[str] = []

    class Recorded(Serial):
        """In the place of `Local`: every call would be a process."""

        def __init__(
            self, slots: int, preload: Sequence[str] = (), devices: Sequence[str] = ()
        ) -> None:
            self.slots = slots
            self.gpus = len(devices)

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            started.append(fn.__name__)
            return super().submit(fn, *args, **kwargs)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engines, "Local", Recorded)
    monkeypatch.setattr(engines, "visible_gpus", search_jobs.one_gpu)
    monkeypatch.setattr(sweep, "describe", lambda name, threads: {"device": name})

    execution = search_jobs.execution("local", 1)
    job = SimpleNamespace(
        work=tmp_path / "work",
        section=SimpleNamespace(
            sweep=Sweep(trials=3, start=3, lag=2, engine="sobol"),
            training=SimpleNamespace(max_epochs=2),
        ),
        numerics=SimpleNamespace(precision="fp32", threads=1),
        execution=replace(execution, device="cuda", trials_per_gpu=shared_by),
    )
    job.work.mkdir()

    result = sweep.run_sweep(
        job,
        stage="students@mlp1-60k",
        name="students mlp1-60k",
        space=Space((Dimension("lr", 0.01, 0.1),)),
        settings={"seed": 0},
        seed=0,
        inputs=[],
        out=tmp_path / "data",
        kept=lambda rows: {},
        preload=[],
        train=train,
        evaluate=evaluate,
        check_memory=check_memory,
    )
    assert len(result.tested.trials) == 3

    asked = ["check_memory"] if shared_by > 1 else []
    assert started == ["one_gpu", *asked, "train", "train", "train", "_test"]
