"""What a stage compares at its end with what it began with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from commands.running import unchanged
from commands.running.unchanged import Beginning
from stages.store.manifest import write_manifest
from tools.pocket import ROOT, write_params

WORDS = ("students", "mimic", "--row", "conv1", "--budget", "60k")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the cell depends on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(unchanged, "check_code", lambda stage: None)
    write_params(tmp_path, {})
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    for name in ("prepared", "augmented", "logits"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        (folder / "x").write_text(name)
        write_manifest(folder, {})
    (tmp_path / "metrics/code").mkdir(parents=True)
    (tmp_path / "metrics/code/students.json").write_text("{}")
    return tmp_path


def changed(path: str, value: object) -> Callable[[], None]:
    """Write params.yaml with another value."""
    return lambda: write_params(Path(), {path: value})


def renewed(name: str) -> Callable[[], None]:
    """Make other data."""

    def make() -> None:
        (Path("data") / name / "x").write_text("other")
        write_manifest(Path("data") / name, {})

    return make


DIFFERS: dict[str, Callable[[], object]] = {
    "params.yaml: seed": changed("seed", 2),
    "params.yaml: students.sweep": changed("students.sweep.trials", 9),
    "params.yaml: rows.conv1": changed("rows.conv1.boxes", {"60k": [[6, 11], [30, 80]]}),
    "data/logits": renewed("logits"),
    "data/prepared": lambda: shutil.rmtree("data/prepared"),
    "metrics/code/students.json": lambda: Path("metrics/code/students.json").write_text("{ }"),
}


@pytest.mark.parametrize("what", list(DIFFERS))
@pytest.mark.parametrize("prefix", ["", "../dvc.yaml:"])
def test_what_a_cell_depends_on(here: Path, prefix: str, what: str) -> None:
    beginning = Beginning.now(f"{prefix}students@conv1-60k", WORDS)
    beginning.check()
    DIFFERS[what]()
    with pytest.raises(ValueError, match=f"^{what} changed while the stage ran: .*kept in work/"):
        beginning.check()


def test_several_are_counted(here: Path) -> None:
    beginning = Beginning.now("students@conv1-60k", WORDS)
    write_params(here, {"seed": 2, "students.sweep.trials": 9, "hard.sweep.trials": 9})
    with pytest.raises(ValueError, match=r"^params.yaml: seed and 1 more changed"):
        beginning.check()


SAME: dict[str, Callable[[], object]] = {
    "another section": changed("hard.sweep.trials", 9),
    "another row": changed("rows.conv2.boxes", {"60k": [[6, 11], [8, 9]]}),
    "the engine": changed("execution.slots", 7),
    "a comment": lambda: Path("params.yaml").open("a").write("# more\n"),
    "other data": lambda: (Path("data") / "more").mkdir(),
    "the time of a file": lambda: Path("data/logits/manifest.json").touch(),
}


@pytest.mark.parametrize("what", list(SAME))
def test_what_it_does_not_depend_on(here: Path, what: str) -> None:
    beginning = Beginning.now("students@conv1-60k", WORDS)
    SAME[what]()
    beginning.check()


def test_a_large_file_is_known_by_its_size_and_time(here: Path) -> None:
    large = here / "data/samples"
    large.mkdir()
    for name, count in (("large", unchanged.SMALL_BYTES + 1), ("small", 9)):
        (large / name).write_bytes(bytes(count))
    before = unchanged._print("data/samples")
    (large / "small").touch()
    assert unchanged._print("data/samples") == before
    (large / "large").touch()
    assert unchanged._print("data/samples") != before


def test_code_is_compared_first_and_last(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beginning = Beginning.now("students@conv1-60k", WORDS)

    def refuse(stage: str) -> None:
        raise ValueError(f"stages/fit/loop.py changed after the list of {stage}: run 'dvc repro'")

    monkeypatch.setattr(unchanged, "check_code", refuse)
    with pytest.raises(ValueError, match=r"loop.py changed after the list of students: the result"):
        beginning.check()
    with pytest.raises(ValueError, match="run 'dvc repro'$"):
        Beginning.now("students@conv1-60k", WORDS)


def test_a_stage_that_dvc_yaml_lacks(here: Path) -> None:
    with pytest.raises(ValueError, match=r"dvc.yaml has no stage other: take it from git again"):
        Beginning.now("other@conv1-60k", WORDS)


def test_all_entries_of_dvc_yaml_are_filled_in() -> None:
    """No name of a matrix is left in what is compared, whatever the stage."""
    options = {"row": "r", "budget": "b", "teacher": "t", "teacher_budget": "u"}
    for entry in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].values():
        item = {name: options[name] for name in entry.get("matrix") or {}}
        for text in [*(entry.get("params") or []), *(entry.get("deps") or [])]:
            assert "$" not in unchanged._filled(text, item)
