"""outputs: what a stage has left before is found in DVC's cache, if it is of today's code."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from commands.pipeline.cache import listing_name, object_path
from commands.running.outputs import earlier, forced

OUT = Path("data/students/conv1-60k")
STAGE = "students@conv1-60k"
FILES = {"trials.json": b"{}", "weights.safetensors": b"net"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose dvc.lock has a cell; its outputs are in the cache alone."""
    cache = tmp_path / ".dvc/cache"
    md5s = {name: hashlib.md5(text).hexdigest() for name, text in FILES.items()}
    entries = [{"md5": md5s[name], "relpath": name} for name in sorted(md5s)]
    objects = {md5s[name]: text for name, text in FILES.items()}
    objects[listing_name(md5s)] = json.dumps(entries, sort_keys=True).encode()
    for name, text in objects.items():
        path = object_path(cache, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)

    code = tmp_path / "metrics/code/students.json"
    code.parent.mkdir(parents=True)
    code.write_text("{}")
    entry = {
        "cmd": "x",
        "deps": [
            {"path": "data/prepared", "md5": "0" * 32},
            {"path": "metrics/code/students.json", "md5": hashlib.md5(b"{}").hexdigest()},
        ],
        "outs": [
            {"path": OUT.as_posix(), "md5": listing_name(md5s)},
            {"path": "metrics/students/conv1-60k.json", "md5": "1" * 32},
        ],
    }
    with (tmp_path / "dvc.lock").open("w") as file:
        YAML().dump({"schema": "2.0", "stages": {STAGE: entry}}, file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def object_of(root: Path, name: str) -> Path:
    return object_path(root / ".dvc/cache", hashlib.md5(FILES[name]).hexdigest())


@pytest.mark.parametrize("stage", [STAGE, f"../dvc.yaml:{STAGE}"])
def test_files_are_copied(root: Path, stage: str) -> None:
    found = earlier(stage, OUT)
    assert found is not None
    found.copy("weights.safetensors", root / "net")
    assert (root / "net").read_bytes() == b"net"
    with pytest.raises(FileNotFoundError):
        found.copy("other", root / "net")


def test_a_copy_is_not_the_object_itself(root: Path) -> None:
    found = earlier(STAGE, OUT)
    assert found is not None
    found.copy("trials.json", root / "copy")
    (root / "copy").write_text("changed")
    assert object_of(root, "trials.json").read_bytes() == b"{}"


def test_a_damaged_object_is_refused(root: Path) -> None:
    object_of(root, "weights.safetensors").write_bytes(b"met")
    found = earlier(STAGE, OUT)
    assert found is not None
    with pytest.raises(ValueError, match="is damaged"):
        found.copy("weights.safetensors", root / "net")


def test_nothing_is_found_of_other_code(root: Path) -> None:
    (root / "metrics/code/students.json").write_text('{"a": 1}')
    assert earlier(STAGE, OUT) is None


def test_nothing_is_found_that_is_not_whole(root: Path) -> None:
    object_of(root, "weights.safetensors").unlink()
    assert earlier(STAGE, OUT) is None


def test_nothing_is_found_without_an_entry(root: Path) -> None:
    assert earlier("students@conv2-60k", OUT) is None
    assert earlier(STAGE, Path("data/students/conv2-60k")) is None
    (root / "dvc.lock").unlink()
    assert earlier(STAGE, OUT) is None


def test_a_lock_file_that_is_being_written_is_waited_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC truncates it and writes it anew when another stage ends beside this one."""
    lock = root / "dvc.lock"
    whole = lock.read_text()
    looks = 0

    def slept(seconds: float) -> None:
        nonlocal looks
        looks += 1
        lock.write_text(["schema: '2.0'\nstages: {}\n", whole[: len(whole) // 2], whole][looks - 1])

    lock.write_text("")
    monkeypatch.setattr("commands.running.outputs.time.sleep", slept)
    assert earlier(STAGE, OUT) is not None and looks == 3

    # One that is damaged, and was so before, is an error.
    lock.write_text("")
    os.utime(lock, (1, 1))
    with pytest.raises(ValueError, match="dvc.lock"):
        earlier(STAGE, OUT)


@pytest.mark.parametrize(
    ("words", "is_forced"),
    [
        ("dvc repro", False),
        ("dvc repro -f", True),
        ("dvc exp run --force", True),
        ("dvc repro --no-run-cache students", True),
        ("dvc repro -sf students", True),
        ("dvc exp run -nfirst", False),
        ("dvc exp run -n f --name=f -sv", False),
    ],
)
def test_who_forces_a_run_gets_one(words: str, is_forced: bool) -> None:
    assert forced(words.split()) is is_forced
