"""Faults inside a running stage; on PYTHONPATH Python imports this before anything else.

MIMICNETS_FAULT is "POINT ACTION NUMBER MARKER": at the NUMBER-th time (from 1, all processes
together) that POINT is reached, ACTION happens, once: the file MARKER is made first, and whoever
finds it does nothing.

Points (a word after a colon has to be in the path that is written):

- `write:WORD`: half of a file is written to its temporary file
- `rename:WORD`: all of it is written, not yet under its name
- `journal`: half of a journal's line is written
- `link:WORD`: an output is about to be put in its place
- `epoch`: a trial has finished an epoch; `trial`: a trial's result is on disk, the journal does not know it

Actions: `kill` (SIGKILL to the stage and to this process), `worker` (SIGKILL to this process),
`full` (no space left), `memory` (MemoryError), `wait` (this process sleeps for an hour).

MIMICNETS_CLOCK: the clock on the wall jumps by up to ten years to and fro at every look at it.
"""

from __future__ import annotations

import errno
import importlib.abc
import importlib.machinery
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

DOOR = "MIMICNETS_DOOR_PID"
if "-m" in sys.orig_argv and {"commands.stage", "stages.students"} & set(sys.orig_argv):
    os.environ[DOOR] = str(os.getpid())


class Fault:
    """The one fault of this process."""

    def __init__(self, text: str) -> None:
        point, self.action, number, marker = text.split(" ", 3)
        self.point, _, self.word = point.partition(":")
        self.number, self.marker, self.count = int(number), Path(marker), 1

    def reached(self, path: object = "") -> bool:
        """Whether it is time; true once, whatever the number of processes."""
        if self.word not in str(path) or self.marker.exists():
            return False
        while not self._made(f"{self.marker}.{self.count}"):  # processes count together
            self.count += 1
        return self.count == self.number and self._made(self.marker)

    @staticmethod
    def _made(path: str | Path) -> bool:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def happen(self) -> None:
        """What was asked for."""
        if self.action == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.action == "memory":
            raise MemoryError("asked for by a test")
        if self.action == "wait":
            time.sleep(3600)
        if self.action == "kill":
            os.kill(int(os.environ[DOOR]), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


class Instead:
    """Another module's face, with some of its functions replaced."""

    def __init__(self, module: Any, **replaced: Any) -> None:
        self.__dict__.update(replaced)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class Torn:
    """A file into which half of the first write goes before the fault."""

    def __init__(self, file: Any, fault: Fault) -> None:
        self.file, self.fault = file, fault

    def __enter__(self) -> Torn:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def write(self, data: Any) -> None:
        """Half of it, and no more."""
        self.file.write(bytes(data)[: len(data) // 2])
        self.file.flush()
        self.fault.happen()


def in_atomic(fault: Fault, module: ModuleType) -> None:
    """Torn temporary files, renames that never come, outputs that are not put in their place."""
    plain_write, plain_link, current = module.write_buffers, module.link_or_copy, threading.local()

    def write_buffers(path: Path, buffers: Any) -> None:
        current.path = path
        plain_write(path, buffers)

    def fdopen(handle: int, mode: str) -> Any:
        file = os.fdopen(handle, mode)
        return Torn(file, fault) if fault.point == "write" and fault.reached(current.path) else file

    def replace(source: Any, target: Any) -> None:
        if fault.point == "rename" and fault.reached(target):
            fault.happen()
        os.replace(source, target)

    def link_or_copy(source: Path, target: Path) -> None:
        if fault.point == "link" and fault.reached(target):
            fault.happen()
        plain_link(source, target)

    module.os = Instead(os, replace=replace, fdopen=fdopen)
    module.write_buffers, module.link_or_copy = write_buffers, link_or_copy


def in_journal(fault: Fault, module: ModuleType) -> None:
    """A torn line."""
    plain = module.Journal._append_line

    def append_line(self: Any, entry: dict[str, Any]) -> str:
        if fault.point == "journal" and fault.reached(self.path):
            text = module.canonical(entry).encode()
            with self.path.open("ab") as file:
                file.write(text[: len(text) // 2])
            fault.happen()
        return plain(self, entry)

    module.Journal._append_line = append_line


def in_trials(fault: Fault, module: ModuleType) -> None:
    """In the middle of a trial, and just behind it."""
    plain_report, plain_finish = module.TrialFolder.report, module.TrialFolder.finish

    def report(self: Any, epoch: int, loss: float, error: float) -> None:
        plain_report(self, epoch, loss, error)
        if fault.point == "epoch" and fault.reached():
            fault.happen()

    def finish(self: Any, *arguments: Any) -> None:
        plain_finish(self, *arguments)
        if fault.point == "trial" and fault.reached():
            fault.happen()

    module.TrialFolder.report, module.TrialFolder.finish = report, finish


PATCHES: dict[str, Callable[[Fault, ModuleType], None]] = {
    "stages.store.atomic": in_atomic,
    "stages.search.journal": in_journal,
    "stages.trials.folder": in_trials,
}


class Finder(importlib.abc.MetaPathFinder):
    """Patches a module of `PATCHES` when it has been imported, before others take names from it."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> Any:
        """The usual spec with a loader that patches."""
        if name not in PATCHES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            plain, fault = spec.loader.exec_module, self.fault

            def exec_module(module: ModuleType) -> None:
                plain(module)
                PATCHES[name](fault, module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if "MIMICNETS_CLOCK" in os.environ:
    plain_time, jumps = time.time, random.Random(os.environ["MIMICNETS_CLOCK"])
    time.time = lambda: plain_time() + jumps.uniform(-3e8, 3e8)

if "MIMICNETS_FAULT" in os.environ:
    sys.meta_path.insert(0, Finder(Fault(os.environ["MIMICNETS_FAULT"])))
