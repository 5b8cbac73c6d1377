"""What the stage `code` writes: the files of every stage, as they are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from stages import code
from stages.runtime.listings import check_code, list_of, stage_names
from tools.pocket import ROOT


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the stage has run."""
    folder = tmp_path_factory.mktemp("listed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        code.main()
    return folder


def lists(folder: Path) -> dict[str, dict[str, str]]:
    """Stage -> its list."""
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("metrics/code/*")}


def test_every_other_stage_has_a_list(written: Path) -> None:
    names = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__", "code"}
    assert set(lists(written)) == names


def test_lists_have_the_hashes_of_the_files(written: Path) -> None:
    for stage, listed in lists(written).items():
        assert f"stages/{stage}.py" in listed and list(listed) == sorted(listed)
        for name, sha256 in listed.items():
            assert hashlib.sha256((ROOT / name).read_bytes()).hexdigest() == sha256


def test_lists_have_what_is_imported_and_what_is_read(written: Path) -> None:
    found = lists(written)
    assert "stages/trials/student_trial.py" in found["students"]  # imported inside a function
    assert "stages/trials/student_trial.py" not in found["teachers"]
    assert "stages/report/page/templates/style.css" in found["page"]
    assert "stages/report/paper.json" in found["tabulate"]
    assert not any(name.startswith("commands/") for each in found.values() for name in each)


def test_every_stage_agrees_with_its_list(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(written)
    for stage in stage_names():
        if stage != "code":
            check_code(stage)


def test_a_second_run_writes_the_same(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code.main()
    assert {p.name: p.read_bytes() for p in (tmp_path / "metrics/code").iterdir()} == {
        p.name: p.read_bytes() for p in (written / "metrics/code").iterdir()
    }
    assert list_of("draw") == Path("metrics/code/draw.json")
