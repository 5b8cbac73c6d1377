"""leftovers: tables of cells that params.yaml no longer has are found and removed, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from commands.pipeline.leftovers import leftovers, remove_leftovers
from tools.pocket import pocket_params

KEPT = ("students/conv1-60k.json", "students/conv1-60k.retrained.csv", "students/read me.md")
FORMER = ("hard/old-60k.json", "students/conv1-61k.csv", "students/old-60k.retrained.csv")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (*KEPT, *FORMER, "teachers.csv", "students.json"):
        path = tmp_path / "metrics" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "metrics/students/folder.csv").mkdir()
    (tmp_path / "metrics/students/analysis-60k.csv").write_text("somebody's own")

    outs = [{"path": f"metrics/{name}", "md5": "0"} for name in (*KEPT, *FORMER)]
    with (tmp_path / "dvc.lock").open("w") as file:
        YAML().dump({"schema": "2.0", "stages": {"old": {"cmd": "x", "outs": outs}}}, file)
    return tmp_path


def test_only_tables_of_former_cells_are_leftovers(root: Path) -> None:
    found = leftovers(pocket_params(), root)
    assert found == [root / "metrics" / name for name in (FORMER[1], FORMER[2], FORMER[0])]


def test_they_are_removed_and_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remove_leftovers(pocket_params(), root)
    assert not leftovers(pocket_params(), root)
    kept = (*KEPT, "students/analysis-60k.csv")
    assert all((root / "metrics" / name).is_file() for name in kept)
    assert "conv1-61k.csv" in capsys.readouterr().out
    remove_leftovers(pocket_params(), root)
    assert not capsys.readouterr().out


def test_without_a_lock_file_nothing_is_known(root: Path) -> None:
    (root / "dvc.lock").unlink()
    assert leftovers(pocket_params(), root) == []
