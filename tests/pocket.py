"""The pipeline at a size for tests, the smoke scale with next to nothing of everything, and copies of it to run."""

from __future__ import annotations

import copy
import csv
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages import augment, ensemble, label, prepare, students, teachers
from stages.settings.scales import compose

ROOT = Path(__file__).resolve().parents[1]

POCKET: dict[str, Any] = {
    "prepare.train": 60,
    "prepare.validation": 50,
    "prepare.test": 40,
    "teachers.sweep": {"trials": 4, "start": 3, "lag": 2, "engine": "gpyopt"},
    "teachers.training.max_epochs": 2,
    "teachers.boxes": {"C1": [3, 5], "C2": [4, 6], "C3": [5, 8], "H1": [8, 12]},
    "teachers.space.DOf1": {"low": 0.0, "high": 0.2},
    "augment.epochs": 3,
    "augment.hsv": {"D_h": 0.06, "D_s": 0.26, "D_v": 0.20, "A_s": 0.21, "A_v": 0.13},
    "ensemble.members": 2,
    "students.rows": ["mlp2", "conv1"],
    "students.budgets": ["60k"],
    "students.sweep": {"trials": 3, "start": 2, "lag": 2, "engine": "sobol"},
    "students.training.max_epochs": 3,
    "hard.rows": ["conv2"],
    "hard.budgets": ["180k"],
    "hard.sweep": {"trials": 2, "start": 2, "lag": 1, "engine": "sobol"},
    "hard.training.max_epochs": 2,
    "hard_rows.conv2.boxes": {"180k": [[4, 6], [6, 8]]},
    "execution.engine": "serial",
}

WHOLE_RUN = {
    "execution.engine": "local", "execution.slots": 2, "execution.checkpoint_seconds": 0, "students.final_seeds": 2
}  # fmt: skip
"""What the run that tests share has beside POCKET."""


def composed(name: str) -> dict[str, Any]:
    """The parameters of a scale, from any folder."""
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        return YAML(typ="safe").load(compose(name))
    finally:
        os.chdir(before)


def pocket_params(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The composed smoke scale with POCKET and `changes` ('section.key': value) laid over it."""
    params = composed("smoke")
    for path, value in copy.deepcopy({**POCKET, **(changes or {})}).items():
        *parents, last = path.split(".")
        node = params
        for name in parents:
            node = node[name]
        node[last] = value
    return params


def write_params(folder: Path, changes: dict[str, Any] | None = None) -> None:
    """Write params.yaml of the pocket pipeline into `folder`."""
    yaml, text = YAML(), io.StringIO()
    yaml.dump(pocket_params(changes), text)
    (folder / "params.yaml").write_text(text.getvalue())


def run_cell(target: str, row: str, budget: str, *more: str) -> None:
    """The door `students` for one cell, in this process."""
    argv, sys.argv = sys.argv, ["students", target, "--row", row, "--budget", budget, *more]
    try:
        students.main()
    finally:
        sys.argv = argv


def run_to_labels() -> None:
    """Every door up to the labels, and the cells that POCKET lists, in this process and folder."""
    for door in (prepare, teachers, ensemble, augment, label):
        door.main()
    run_cell("mimic", "conv1", "60k")
    run_cell("mimic", "mlp2", "60k")
    run_cell("hard", "conv2", "180k")


def table(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file."""
    with path.open() as file:
        return list(csv.DictReader(file))


ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "DVC_NO_ANALYTICS": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": "",
}


def copy_of_the_repository(folder: Path) -> Path:
    """What git would clone, with pocket parameters and DVC outside git."""
    listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "stages", "dvc.yaml", ".dvcignore")
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    dvc(folder, "init", "--no-scm", "-q")
    dvc(folder, "config", "core.analytics", "false")
    return folder


def dvc(folder: Path, *words: str, check: bool = True) -> str:
    """Output of `dvc WORDS`."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def ran(output: str) -> set[str]:
    """Stages that a `dvc repro` ran."""
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
