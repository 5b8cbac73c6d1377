"""Work folders and entries of dvc.lock as stages leave them, for tests of what reads them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from stages.runtime.work import work_folder
from stages.trials.folder import TrialFolder
from tools.pocket import ROOT, pocket_params

CELL = "students/mlp2-60k"
"""Work folder of a cell."""
VARIED = pocket_params(
    {
        "students_2014": {"rows": ["snn-2014"], "budgets": ["180k"]},
        "teachers_2014": {"rows": ["cnn-2014"], "budgets": ["60k"], "members": 2},
        "ablations": {"rows": ["conv2-dropout"], "budgets": ["60k"]},
    }
)
"""Parameters with a cell of every group."""


def begin(root: Path, name: str = CELL, settings: dict[str, Any] | None = None) -> Any:
    """The work folder of a stage, held while the context is open."""
    return work_folder(name, settings or {}, [], str(ROOT / "commands/watch.py"), root)


def finish(folder: Path, trial: int, value: float | None, seconds: float, epochs: int = 4) -> None:
    result = {"value": value, "errors": [0.5] * epochs, "losses": [1.0] * epochs}
    TrialFolder(folder, trial).finish({"lr": 0.1}, 1, result, seconds)


def entry(
    outs: dict[str, str], deps: dict[str, str] | None = None, **params: Any
) -> dict[str, Any]:
    """What dvc.lock has of a stage with these outputs and dependencies: path -> md5."""
    lists = {
        key: [{"path": path, "md5": md5} for path, md5 in paths.items()]
        for key, paths in (("deps", deps or {}), ("outs", outs))
    }
    return {"cmd": "x", **lists, "params": {"params.yaml": params}}


def digest(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
