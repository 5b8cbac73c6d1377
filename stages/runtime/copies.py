"""The copies of a repository in which DVC runs queued experiments, and those by --temp."""

from __future__ import annotations

from pathlib import Path

COPIES = (".dvc", "tmp", "exps")
"""Where they are, from the root of the repository."""


def clone_of(folder: Path) -> Path | None:
    """The repository of which a folder is a copy for an experiment; None if it is none.

    >>> clone_of(Path("/home/me/mimicnets/.dvc/tmp/exps/tmpx1/stages"))
    PosixPath('/home/me/mimicnets')
    >>> clone_of(Path("/home/me/mimicnets"))
    """
    for parent in folder.parents:
        if parent.parts[-len(COPIES) :] == COPIES:
            return parent.parents[len(COPIES) - 1]
    return None


def in_clone(path: Path) -> Path:
    """A path for what git does not have: in a copy for an experiment, that of its repository.

    DVC removes copies, also those of experiments that fail. So trials are kept in one place for all
    of them, and found again by their key.
    """
    clone = clone_of(Path.cwd())
    return path if clone is None else clone / path
