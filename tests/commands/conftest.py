"""What tests of several commands share: finished runs with exported nets, and a repository."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from commands.pipeline import overview
from stages import augment, ensemble, label, prepare, teachers
from stages.runtime import entry
from tests.helpers.exports import CELL, Run, export_all
from tests.helpers.pipeline import VARIED
from tests.helpers.pocket import run_cell
from tests.helpers.shared import made_once
from tests.pipeline.test_vectors import frames, write_digits
from tools.pocket import ROOT, write_params


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pocket pipeline on images and the export of a net with a bottleneck."""
    return made_once(tmp_path_factory, "images", make_finished)


def make_finished(folder: Path) -> None:
    write_params(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (prepare, teachers, ensemble, augment, label):
            stage.main()
        run_cell("mimic", "conv1", "60k")
        run_cell("hard", "conv2", "180k")
        export_all(CELL)


@pytest.fixture(scope="session")
def framed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pocket pipeline on vectors and the export of a net with a bottleneck."""
    return made_once(tmp_path_factory, "vectors", make_framed)


def make_framed(folder: Path) -> None:
    write_digits(folder)
    YAML().dump(frames(), folder / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (prepare, teachers, ensemble, augment, label):
            stage.main()
        run_cell("mimic", "mlp1", "3k")
        export_all("students/mlp1-3k")


@pytest.fixture
def here(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In that folder, which is not changed."""
    monkeypatch.chdir(finished)
    return finished


@pytest.fixture
def copied(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In a copy of it."""
    shutil.copytree(finished, tmp_path / "copied")
    monkeypatch.chdir(tmp_path / "copied")
    return tmp_path / "copied"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command as its command line does: exit status, standard output and error."""

    def start(module: Any, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [module.__name__, *words])
        capsys.readouterr()
        status = 0
        try:
            entry.run(module.main)
        except SystemExit as stop:
            status = int(stop.code or 0)

        return (status, *capsys.readouterr())

    return start


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository without git, and with params.yaml of VARIED."""
    monkeypatch.chdir(tmp_path)
    overview.cache_and_remote.cache_clear()
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / ".dvc").mkdir()
    YAML().dump(VARIED, tmp_path / "params.yaml")
    return tmp_path
