"""Work folders: where a stage keeps what it has computed until its outputs are complete.

DVC deletes the outputs of a stage that was killed. So journals, finished trials and checkpoints live in
work/<stage>/<key>, and the key is a hash of the parameters, of the code in use and of the inputs: whatever is
found there belongs to exactly this computation. A lock refuses a second run in the same folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.store.atomic import read_json, write_json
from stages.store.code import code_hash

DONE = "complete"


def folder_hash(folder: Path) -> str:
    """sha256 of a data folder's manifest, which lists the digest of every file in it.

    Raises:
        FileNotFoundError: the folder or its manifest is missing.
    """
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise FileNotFoundError(f"{manifest} not found: run 'dvc repro' or 'dvc pull' to have {folder} made")
    return hashlib.sha256(manifest.read_bytes()).hexdigest()


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write manifest.json: `facts` and the sha256 of every other file of `folder`."""
    files = {
        path.relative_to(folder).as_posix(): file_hash(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }
    write_json(folder / "manifest.json", {**facts, "files": files})


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a data folder."""
    folder_hash(folder)
    manifest = read_json(folder / "manifest.json")
    if not isinstance(manifest, dict):
        raise ValueError(f"{folder / 'manifest.json'} is no manifest: delete {folder} and run 'dvc repro' again")
    return manifest


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def work_folder(
    stage: str, settings: Mapping[str, Any], inputs: list[Path], door: str, root: Path = Path("work")
) -> Iterator[Path]:
    """The locked work folder of this computation; older finished ones of the stage are removed.

    Args:
        stage: name of the stage, with the cell where it has several.
        settings: the parameters that the result depends on, as plain JSON data.
        inputs: data folders that are read.
        door: `__file__` of the door; all code that it runs is part of the key.
        root: where work folders are kept.

    Raises:
        ValueError: another run holds the folder.
        FileNotFoundError: an input is missing.
    """
    facts = {
        "settings": settings,
        "code": code_hash(Path(door)),
        "inputs": {str(path): folder_hash(path) for path in inputs},
    }
    text = json.dumps(facts, sort_keys=True, allow_nan=False)
    folder = root / stage / hashlib.sha256(text.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        # a finished folder that is used again must not be pruned by another run of the stage
        (folder / DONE).unlink(missing_ok=True)
        _prune(folder)
        write_json(folder / "key.json", facts)
        yield folder
        (folder / DONE).touch()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ValueError(
                f"{folder} is in use by process {file.read().strip() or 'unknown'}: wait for it, or stop it "
                "(kill PID) and run again; nothing it has finished is lost"
            ) from None
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


def fresh_folder(folder: Path) -> Path:
    """An empty output folder; DVC removes outputs before a stage runs, a user may not have."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
