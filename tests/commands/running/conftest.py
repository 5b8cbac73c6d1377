"""A repository at a scale, with a dvc.lock as a finished run leaves it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from commands.pipeline.cache import read_pipeline, stage_names, without_cell
from commands.running.forecast import downstream
from commands.sizing import scales
from tests.helpers.pipeline import digest, entry
from tools.pocket import ROOT

At = Callable[[str], dict[str, Any]]


@lru_cache
def params_of(scale: str) -> str:
    """The text of params.yaml; called in the root of this repository."""
    return scales.compose(scale)


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> At:
    """Makes and enters a repository at a scale, with nothing computed; its parameters."""

    def make(scale: str) -> dict[str, Any]:
        monkeypatch.chdir(ROOT)
        text = params_of(scale)

        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("MIMICNETS_EXECUTION", raising=False)
        shutil.copy(ROOT / "dvc.yaml", tmp_path)
        (tmp_path / ".dvc").mkdir(exist_ok=True)
        Path("params.yaml").write_text(text)
        return YAML(typ="safe").load(text)

    return make


def finish_all(params: dict[str, Any], but: set[str] | None = None) -> None:
    """A dvc.lock in which each stage has made one file, from the files of those that it needs.

    Args:
        but: stages without an entry and a file.
    """
    pipeline = read_pipeline(Path())
    after = downstream(pipeline)
    names = [name for name in stage_names(pipeline, params) if name not in (but or set())]

    lock = {}
    for name in names:
        out = made(name)
        out.parent.mkdir(exist_ok=True)
        out.write_text(name)

        needed = [other for other in names if without_cell(name) in after[without_cell(other)]]
        row = name.partition("@")[2].rpartition("-")[0]
        values = {f"rows.{row}": params["rows"][row]} if name.startswith("students@") else {}
        deps = {str(made(other)): digest(other) for other in needed}
        lock[name] = entry({str(out): digest(name)}, deps, **values)

    YAML().dump({"schema": "2.0", "stages": lock}, Path("dvc.lock"))


def made(stage: str) -> Path:
    """The file of a stage."""
    return Path("made", stage)
