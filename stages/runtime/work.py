"""Work folders: where a stage keeps what it has computed until its outputs are complete.

DVC deletes the outputs of a stage that was killed. So journals, finished trials and checkpoints are
kept in work/<stage>/<key>, and the key is a hash of the parameters, of the code in use and of the
inputs: whatever lies there belongs to exactly this computation. A lock refuses a second run in the
same folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.runtime.code import code_hash
from stages.runtime.copies import clone_of, in_clone
from stages.store.atomic import write_json
from stages.store.locks import lock, say_once
from stages.store.manifest import folder_hash

DONE = "complete"
"""Name of the file that marks a finished work folder."""


def _nothing() -> None:
    """What is done before a work folder is marked as finished where nobody has set anything else."""


before_done: Callable[[], None] = _nothing
"""Called before a work folder is marked; if it raises, the folder stays as that of a killed stage.

commands/running sets it: a result that DVC is not told of must not be removed as one that it has.
"""


@contextmanager
def work_folder(
    stage: str,
    settings: Mapping[str, Any],
    inputs: list[Path],
    file: str,
    root: Path | None = None,
) -> Iterator[Path]:
    """The locked work folder of this computation; other finished ones of the stage are removed.

    Args:
        stage: name of the stage, with the cell where it has several.
        settings: the parameters that the result depends on, as plain JSON data.
        inputs: data folders that are read.
        file: `__file__` of the stage; all code that it runs is part of the key.
        root: where work folders are kept; `in_clone("work")` by default.

    Raises:
        ValueError: another run holds the folder. In a copy for an experiment it is waited for.
        FileNotFoundError: an input is missing.
    """
    folder, key = place_of(stage, settings, inputs, file, root)
    folder.mkdir(parents=True, exist_ok=True)

    with _locked(folder, waits=clone_of(Path.cwd()) is not None):
        # Another run of the stage must not prune a finished folder that is used again.
        (folder / DONE).unlink(missing_ok=True)
        _prune(folder)

        write_json(folder / "key.json", key)
        yield folder
        before_done()
        (folder / DONE).touch()


def place_of(
    stage: str,
    settings: Mapping[str, Any],
    inputs: list[Path],
    file: str,
    root: Path | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Where the work folder of a computation is, and the key that its name is a hash of.

    Arguments and errors as for `work_folder`, which makes it and holds its lock.
    """
    key = {
        "settings": settings,
        "code": code_hash(Path(file)),
        "inputs": {str(path): folder_hash(path) for path in inputs},
    }

    text = json.dumps(key, sort_keys=True, allow_nan=False)
    root = in_clone(Path("work")) if root is None else root
    return root / stage / hashlib.sha256(text.encode()).hexdigest()[:16], key


@contextmanager
def _locked(folder: Path, waits: bool = False) -> Iterator[None]:
    """Hold the lock of a work folder; the system releases it if this process dies.

    Raises:
        ValueError: another process has it, and this one does not wait for it.
    """
    with (folder / "lock").open("a+") as file:
        try:
            if not lock(file, wait=False):
                say_once(folder)
        except BlockingIOError:
            file.seek(0)
            process = file.read().strip() or "unknown"
            if not waits:
                raise ValueError(
                    f"{folder} is in use by process {process}: wait for it, or stop it "
                    "(kill PID) and run again; nothing it has finished is lost"
                ) from None

            print(f"waiting for process {process}, which computes the same in {folder}", flush=True)
            lock(file)

        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _prune(current: Path) -> None:
    """Remove finished work folders of the same stage: their outputs are in the DVC cache."""
    for folder in current.parent.iterdir():
        if folder == current or not (folder / DONE).is_file():
            continue

        with contextlib.suppress(ValueError, OSError), _locked(folder):
            shutil.rmtree(folder, ignore_errors=True)
