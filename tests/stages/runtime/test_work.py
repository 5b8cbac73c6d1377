"""work: a folder belongs to one computation, and to one run at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from stages.runtime import entry, work
from stages.runtime.copies import in_clone
from stages.runtime.work import DONE, work_folder
from stages.store.manifest import write_manifest
from tests.helpers.processes import PATIENCE, until
from tests.helpers.stored import data_folder
from tools.pocket import ROOT


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return data_folder(tmp_path)


def test_key_changes_with_settings_code_and_inputs(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(settings: dict[str, Any], inputs: list[Path], file: str = entry.__file__) -> str:
        with work_folder("stage", settings, inputs, file, tmp_path / "work") as folder:
            return folder.name

    base = key({"seed": 1}, [data])
    assert key({"seed": 1}, [data]) == base
    others = [
        key({"seed": 2}, [data]),
        key({"seed": 1}, []),
        key({"seed": 1}, [data], work.__file__),
    ]
    write_manifest(data, {"images": 3})
    others.append(key({"seed": 1}, [data]))
    write_manifest(data, {"images": 2})
    assert key({"seed": 1}, [data]) == base
    monkeypatch.setattr(work, "code_hash", lambda path: "edited")
    others.append(key({"seed": 1}, [data]))
    assert len({base, *others}) == 6
    with pytest.raises(FileNotFoundError, match="manifest.json"):
        key({}, [tmp_path / "nothing"])


HOLD = """
import sys
from pathlib import Path
from stages.runtime import entry
from stages.runtime.work import work_folder
with work_folder("stage", {"seed": 1}, [], entry.__file__, Path(sys.argv[1])) as folder:
    print("held", flush=True)
    sys.stdin.read()
"""


def test_second_holder_is_refused_with_the_pid(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=f"in use by process {holder.pid}:"):
            with work_folder("stage", {"seed": 1}, [], entry.__file__, tmp_path):
                pass
        with work_folder("stage", {"seed": 2}, [], entry.__file__, tmp_path):
            pass
        holder.kill()
        holder.wait()
    with work_folder("stage", {"seed": 1}, [], entry.__file__, tmp_path) as folder:
        assert (folder / "lock").read_text() == str(os.getpid())
        assert json.loads((folder / "key.json").read_text())["settings"] == {"seed": 1}


def test_finished_older_folders_are_pruned_and_unfinished_kept(tmp_path: Path) -> None:
    def use(seed: int, fail: bool = False) -> Path:
        with work_folder("stage", {"seed": seed}, [], entry.__file__, tmp_path) as folder:
            (folder / "result").write_text("kept")
            if fail:
                raise InterruptedError
        return folder

    finished = use(1)
    assert (finished / DONE).is_file()
    with pytest.raises(InterruptedError):
        use(2, fail=True)
    unfinished = [f for f in (tmp_path / "stage").iterdir() if (f / "result").is_file()]
    assert len(unfinished) == 1 and unfinished[0] != finished, (
        "the finished one went when seed 2 started"
    )
    last = use(3)
    assert sorted(tmp_path.glob("stage/*")) == sorted([unfinished[0], last])
    assert use(2) == unfinished[0]
    assert not last.exists()


def test_a_finished_folder_in_use_again_is_not_pruned(tmp_path: Path) -> None:
    def folder_of(seed: int) -> Any:
        return work_folder("stage", {"seed": seed}, [], entry.__file__, tmp_path)

    with folder_of(1):
        pass
    with folder_of(1) as again:
        (again / "result").write_text("x")
        with folder_of(2):
            assert (again / "result").is_file()
        (again / DONE).touch()  # even so: it is locked
        with folder_of(3):
            assert (again / "result").is_file()
    with folder_of(1):
        pass
    with pytest.raises(InterruptedError), folder_of(1):
        raise InterruptedError
    with folder_of(2):
        assert again.is_dir(), "what was finished once and is now in the middle again is unfinished"


def test_a_folder_whose_result_dvc_will_not_have_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code was edited meanwhile: neither marked as finished, nor removed by the run after it."""

    def refuse() -> None:
        raise ValueError("changed while the stage ran")

    monkeypatch.setattr(work, "before_done", refuse)
    with pytest.raises(ValueError, match="changed while"):
        with work_folder("stage", {"seed": 1}, [], entry.__file__, tmp_path) as kept:
            (kept / "trial").touch()
    assert not (kept / DONE).exists()

    monkeypatch.undo()
    with work_folder("stage", {"seed": 2}, [], entry.__file__, tmp_path) as other:
        assert other != kept
    assert (kept / "trial").exists()


# Copies of the repository in which DVC runs experiments.


@pytest.fixture
def copies(tmp_path: Path) -> list[Path]:
    """Two copies of one repository."""
    found = [tmp_path / "clone/.dvc/tmp/exps" / name for name in ("tmp1", "tmp2")]
    for copy in found:
        copy.mkdir(parents=True)
    return found


def test_copies_for_experiments_share_the_work_folders_of_their_clone(
    copies: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC removes a copy when its experiment ends, fails or is killed."""
    clone = copies[0].parents[3]
    found = []
    for folder in (*copies, clone):
        monkeypatch.chdir(folder)
        with work_folder("teachers", {"seed": 1}, [], entry.__file__) as folder_in_use:
            found.append(folder_in_use.resolve())
            (folder_in_use / "trial").touch()
    assert found == [clone.resolve() / "work/teachers" / found[0].name] * 3
    assert not list(copies[0].iterdir())


def test_a_copy_waits_for_who_computes_the_same(
    copies: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copies[0])
    done = threading.Event()
    entered: list[bool] = []

    def second() -> None:
        with work_folder("teachers", {"seed": 1}, [], entry.__file__):
            entered.append(done.is_set())

    thread = threading.Thread(target=second, daemon=True)
    said: list[str] = []
    with work_folder("teachers", {"seed": 1}, [], entry.__file__):
        thread.start()
        assert until(lambda: said.append(capsys.readouterr().out) or "waiting" in "".join(said))
        assert not entered
        done.set()
    thread.join(PATIENCE)
    assert entered == [True] and f"waiting for process {os.getpid()}" in "".join(said)


def test_raw_data_of_a_copy_is_that_of_its_clone(
    copies: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copies[0])
    assert in_clone(Path("data/raw")) == copies[0].parents[3] / "data/raw"
    monkeypatch.chdir(copies[0].parents[3])
    assert in_clone(Path("data/raw")) == Path("data/raw")
