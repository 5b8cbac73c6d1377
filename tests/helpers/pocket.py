"""The pipeline at a size for tests, and copies of it to run."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

from stages import augment, code, ensemble, label, prepare, students, teachers
from tools.pocket import ROOT

WHOLE_RUN = {
    "execution.engine": "local",
    "execution.slots": 2,
    "execution.checkpoint_seconds": 0,
    "students.final_seeds": 2,
}
"""What the run that tests share has beside POCKET."""


def run_cell(target: str, row: str, budget: str, *more: str) -> None:
    """The stage `students` for one cell, in this process."""
    argv, sys.argv = sys.argv, ["students", target, "--row", row, "--budget", budget, *more]
    try:
        students.main()
    finally:
        sys.argv = argv


def run_to_labels() -> None:
    """Every stage up to the labels, and the cells that POCKET lists, in this process and folder."""
    for stage in (code, prepare, teachers, ensemble, augment, label):
        stage.main()
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
    listed = (
        "git",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "stages",
        "commands",
        "teachers",
        "dvc.yaml",
        ".dvcignore",
    )
    names = subprocess.run(
        listed, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
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
