"""Trials of the next cells, for slots that would fall idle while a cell ends and DVC keeps its books.

`dvc repro` runs one cell after the other. When the last trial of a cell has been submitted, or of
the teachers, the first trials of the cells after it are handed to the server, which trains them
where fewer processes run than there are slots. They are ordinary trials in the ordinary work
folders: when DVC comes to the cell, their results are there, or it waits for them.
"""

from __future__ import annotations

import importlib
import pickle
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from commands.pipeline.cache import dvc_settings, lock_outs, read_lock
from commands.pipeline.entries import Record, Records
from commands.running import wire
from commands.running.anchor import DvcRun
from commands.running.outputs import earlier
from stages.runtime.executors import Local
from stages.settings.groups import CellName
from stages.settings.read import read_params
from stages.settings.students import cells
from stages.store.locks import available
from stages.store.prepared import data_folders
from stages.trials.cell import AUGMENTED, PREPARED, Cell, set_up
from stages.trials.teacher import TeacherJob

FLAGS = {"-f", "--force", "-k", "--keep-going", "-v", "--verbose", "-q", "--quiet"}
FLAGS |= {"--allow-missing", "--pull", "--no-commit", "--no-run-cache", "--ignore-errors"}
VALUES = {"-n", "--name", "-S", "--set-param", "-m", "--message"}
COMMANDS = (["repro"], ["exp", "run"])
CONTINUED = (".sweep", ".final_seeds")
BOXES = ("rows", "hard_rows")
"""Parameters that may change while a cell's trials stay the same."""
EACH_SLOT = 2
"""Trials that wait for each slot: the first of them may be as good as finished."""


def runs_everything(words: Sequence[str]) -> bool:
    """Whether a command line of DVC asks for the whole pipeline, as far as it is understood."""
    rest = list(words)
    while rest and rest[0] not in ("repro", "exp"):
        rest.pop(0)

    command = next((each for each in COMMANDS if rest[: len(each)] == each), None)
    if command is None:
        return False

    options = iter(rest[len(command) :])
    for option in options:
        if option in VALUES:
            next(options, None)
        elif option not in FLAGS and option.partition("=")[0] not in VALUES:
            return False
    return True


def offer(run: DvcRun, address: Path, job: Cell | TeacherJob, executor: Any) -> None:
    """Hand over the first trials of the cells after this search, enough for all slots.

    Whatever is wrong with them is for their own stage to say.
    """
    on_cpus = isinstance(executor, Local) and not executor.gpus
    if not on_cpus or not runs_everything(run.words) or not available(Path("work")):
        return

    students = importlib.import_module("stages.students")
    found: list[Any] = []
    with suppress(Exception):
        for name in next_cells(job):
            found += students.early(name)
            if len(found) >= EACH_SLOT * executor.slots:
                break

    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address))
        message = {"kind": "early", "slots": executor.slots}
        wire.send(connection, message, pickle.dumps(found))


def _continues(name: CellName, record: Record) -> bool:
    """Whether a cell will go on with the trials of an earlier run, as far as can be seen here."""
    same = all(
        key.endswith(CONTINUED) or key.partition(".")[0] in BOXES for key in record.differing
    )
    return same and earlier(name.dvc, Path("data") / name.files) is not None


def next_cells(current: Cell | TeacherJob) -> Iterator[CellName]:
    """Cells after this search that DVC will run, and whose data no stage before them will change.

    Raises:
        ValueError, OSError: params.yaml, dvc.yaml or dvc.lock cannot be read.
    """
    params = read_params()
    lock = read_lock(Path())
    outs, _, _ = lock_outs(Path(), lock)
    record_of = Records(Path(), lock, outs, params, lambda: dvc_settings(Path())[0])

    names = list(cells(params))
    if isinstance(current, Cell):
        names = names[names.index(current.name) + 1 :]
        final = set(current.reads)
    else:
        # The transfer set's images do not depend on the teachers, and may have been made.
        augmented = record_of("augment")
        final = (
            {*data_folders(PREPARED), AUGMENTED}
            if augmented is not None and augmented.done
            else set()
        )

    for name in names:
        if name.group == "student_2014":  # its teacher is another cell
            continue

        record = record_of(name.dvc)
        if record is not None and (record.done or _continues(name, record)):
            continue
        if set(set_up(name)[0].reads) <= final:
            yield name
