"""A finished pocket pipeline, copies with stages undone, and faults in what runs again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.helpers import processes
from tests.helpers.pocket import ENVIRONMENT

INJECT = Path(__file__).with_name("inject")


def results(folder: Path) -> dict[str, bytes]:
    """What must come out the same: all tables and numbers, and the hashes of all outputs."""
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "metrics").rglob("*.*"))
    }
    lock = YAML(typ="safe").load(
        folder / "dvc.lock"
    )  # its stages are in the order in which they ran
    return found | {"dvc.lock": json.dumps(lock, sort_keys=True).encode()}


def undone(source: Path, target: Path, *stages: str) -> Path:
    """A copy of a repository in which these stages never ran; DVC cannot restore them."""
    shutil.copytree(source, target, symlinks=True)
    yaml, lock = YAML(), target / "dvc.lock"
    entries = yaml.load(lock)
    for stage in stages:
        for out in entries["stages"].pop(stage)["outs"]:
            path = target / out["path"]
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(target / "work" / stage.partition("@")[0], ignore_errors=True)
    yaml.dump(entries, lock)
    shutil.rmtree(target / ".dvc/cache/runs", ignore_errors=True)
    return target


def start(
    folder: Path,
    *words: str,
    fault: str = "",
    marker: Path | None = None,
    before: tuple[str, ...] = (),
    clock: str = "",
) -> subprocess.Popen[str]:
    """`dvc repro` (or `words`) behind `before`, in its own session, with a fault if named."""
    environment = dict(ENVIRONMENT)
    if fault:
        environment |= {"PYTHONPATH": str(INJECT), "MIMICNETS_FAULT": f"{fault} {marker}"}
    if clock:
        environment |= {"PYTHONPATH": str(INJECT), "MIMICNETS_CLOCK": clock}
    return subprocess.Popen(
        [*before, sys.executable, "-m", *(words or ("dvc", "repro"))],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def repro(
    folder: Path, fault: str = "", marker: Path | None = None, **more: Any
) -> tuple[int, str]:
    """Exit status and output of `dvc repro`; `more` as for `start`."""
    process = start(folder, fault=fault, marker=marker, **more)
    output, _ = process.communicate()  # pytest has a time limit of its own
    return process.returncode, output


def repro_until_done(folder: Path) -> str:
    """`dvc repro` after a kill: processes that are still dying may hold a lock for a moment."""
    said: list[str] = []

    def done() -> bool:
        code, output = repro(folder)
        said.append(output)
        assert code == 0 or "in use by process" in output or "is busy" in output, output
        return code == 0

    assert processes.until(done), said[-1]
    return said[-1]


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait for something that `process` does."""
    ended = lambda: process.poll() is not None  # noqa: E731
    assert processes.until(lambda: condition() or ended()), "it did not come"
    assert condition(), process.communicate()[0]


def end_session(process: subprocess.Popen[str], how: signal.Signals = signal.SIGKILL) -> None:
    """A signal to every process that `start` has led to."""
    os.killpg(process.pid, how)
