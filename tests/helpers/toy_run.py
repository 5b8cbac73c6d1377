"""A copy of the code with a toy stage, and runs of it by a stand-in for DVC."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.helpers.processes import gone, processes
from tools.pocket import ROOT

LIMIT_SECONDS = 120.0
SERVER = "commands/running/server.py"


def replaced(path: Path, old: str, new: str) -> None:
    """Put `new` in the place of `old` in a file, which must have it once."""
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new))


def make_toy(folder: Path) -> Path:
    """The code with the stage `toy`, and a server that imports nothing; its code is listed."""
    for name in ("stages", "commands"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))

    helpers = Path(__file__).parent
    shutil.copyfile(helpers / "toy_stage.py", folder / "stages/toy.py")
    shutil.copyfile(helpers / "shell_dvc.py", folder / "dvc")

    text = (folder / SERVER).read_text()
    begin, end = text.index("PRELOAD = ("), text.index('"""What is imported before')
    text = f"{text[:begin]}PRELOAD = ()\n{text[end:]}"
    begin, end = text.index("LATER = ("), text.index('"""What is imported when')
    (folder / SERVER).write_text(f"{text[:begin]}LATER = ()\n{text[end:]}")

    # What a stage compares at its end with what it began with.
    stages = [f"  stage{number}: {{cmd: x}}\n" for number in range(100)]
    (folder / "dvc.yaml").write_text(f"stages:\n{''.join(stages)}")
    (folder / "params.yaml").touch()

    words = [sys.executable, "-m", "commands.stage", "code"]
    subprocess.run(words, cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL)
    return folder


def environment(**more: str) -> dict[str, str]:
    """Variables of a run: the interpreter of the tests, nothing of theirs that changes it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MIMICNETS")}
    return {**plain, "PATH": path, "OMP_NUM_THREADS": "1", **more}


def toy(*words: str) -> str:
    """The command of a stage."""
    return " ".join(["python -m commands.stage toy", *words])


class Run:
    """One `dvc repro` of a plan in a folder, in a session of its own.

    Attributes:
        process: the stand-in for DVC.
    """

    def __init__(
        self, folder: Path, plan: Sequence[str], words: Sequence[str] = ("repro",), **more: str
    ) -> None:
        self.folder = folder
        (folder / "plan.json").write_text(json.dumps(list(plan)))
        self.number = len(list(folder.glob("*.out")))
        self.out = folder / f"{self.number}.out"

        with self.out.open("wb") as out, self.errors_path.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(folder / "dvc"), *words],
                cwd=folder,
                env=environment(**more),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def errors_path(self) -> Path:
        return self.out.with_suffix(".err")

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing that it has led to goes on."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pid in below(self.folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @property
    def output(self) -> str:
        return self.out.read_text()

    @property
    def errors(self) -> str:
        return self.errors_path.read_text()

    def said(self, label: str) -> dict[str, Any]:
        """The facts under a label, once they are there."""
        found = wait_for(lambda: self._said(label), self)
        assert isinstance(found, dict)
        return found

    def _said(self, label: str) -> dict[str, Any] | None:
        for line in self.output.splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                facts = json.loads(line)
                if facts["label"] == label:
                    return facts
        return None

    def ended(self) -> list[int]:
        """Statuses of all commands, once DVC has ended; -15 is what a shell calls 143."""
        self.process.wait(LIMIT_SECONDS)
        lines = [line.split() for line in self.output.splitlines() if line.startswith("ended ")]
        return [int(status) for _, _, status in lines]


def wait_for(condition: Callable[[], Any], run: Run | None = None) -> Any:
    """What the condition gives, once it is true."""
    end = time.monotonic() + LIMIT_SECONDS
    while not (found := condition()):
        late = time.monotonic() > end
        assert not late, f"it did not come\n{run.output}{run.errors}" if run else "it did not come"
        time.sleep(0.02)
    return found


def below(folder: Path) -> list[int]:
    """Live processes whose working folder is this one, other than DVC's."""
    found = []
    for pid in processes():
        with contextlib.suppress(OSError):
            here = os.readlink(f"/proc/{pid}/cwd") == str(folder)
            if here and not gone(pid):
                found.append(pid)
    return found


def servers(folder: Path) -> list[int]:
    """Live servers in a folder; forks of one have the same command line, so it leads a session."""
    found = []
    for pid in below(folder):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"commands.running.server" in words and os.getsid(pid) == pid:
                found.append(pid)
    return found


def of_trials(folder: Path, pattern: str) -> list[int]:
    """Process numbers that trials have left in names LABEL.NUMBER.PID."""
    return [int(path.name.rpartition(".")[2]) for path in folder.glob(pattern)]


def launcher(folder: Path) -> int:
    """The process that waits for a fork, once it passes on what it is asked."""
    (found,) = wait_for(lambda: [pid for pid in below(folder) if _passes_on(pid)])
    return int(found)


def _passes_on(pid: int) -> bool:
    """Whether a process is a launcher that has a handler for SIGTERM."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"commands.stage" in words and b"-c" not in words and has(pid, "SigCgt", signal.SIGTERM)


def stopped(pid: int) -> bool:
    """Whether a process has come to a halt."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def has(pid: int, line: str, number: signal.Signals) -> bool:
    """Whether a signal is in a set of a process: SigCgt, handled, or ShdPnd, waiting."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    (mask,) = re.findall(rf"^{line}:\s*(\w+)$", text, re.M)
    return bool(int(mask, 16) >> (number - 1) & 1)
