"""What makes a file of data/, and what fixes it if it is wrong."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from commands.audit.findings import Remedy
from stages.settings.read import read_params
from stages.settings.students import cells

DATA = Path("data")
WORK = Path("work")
STAGES = {
    "prepared": "prepare",
    "unlabelled": "prepare",
    "teachers": "teachers",
    "ensemble": "ensemble",
    "augmented": "augment",
    "samples": "augment",
    "logits": "label",
    "extra": "extra",
}
"""Folder of data/ -> the stage that makes it; all other folders hold cells."""


@dataclass(frozen=True)
class Origin:
    """What makes a folder of data/.

    Attributes:
        dvc: the stage, as DVC calls it.
        work: its work folder.
    """

    dvc: str
    work: Path


def origin(path: Path) -> Origin | None:
    """What makes a file of data/; None if params.yaml has no such cell, or cannot be read."""
    parts = path.relative_to(DATA).parts
    if parts[0] in STAGES:
        stage = STAGES[parts[0]]
        return Origin(stage, WORK / stage)

    try:
        for name in cells(read_params()):
            if path.is_relative_to(DATA / name.files):
                return Origin(name.dvc, WORK / name.work)
    except (OSError, ValueError):
        pass

    return None


def remade(path: Path, fresh: bool, remedies: dict[str, Remedy]) -> Remedy:
    """What fixes a file of data/: the remedy of its output if that has one, else to make it again.

    Args:
        fresh: the stage's work folder may hold the same wrong bytes, and has to go.
        remedies: of the outputs that differ from dvc.lock.
    """
    for out, remedy in remedies.items():
        if path.is_relative_to(out):
            return remedy

    made_by = origin(path)
    if made_by is None:
        return Remedy((str(path),), ("dvc repro",))

    remove = (str(made_by.work),) if fresh and made_by.work.exists() else ()
    return Remedy(remove, (f"dvc repro -f -s {shlex.quote(made_by.dvc)}", "dvc repro"))
