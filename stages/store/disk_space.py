"""Whether there is room on the disk, asked before the first byte is written."""

from __future__ import annotations

import shutil
from pathlib import Path


def check_space(folder: Path, needed: int, what: str, remedy: str) -> None:
    """Refuse to begin what will not fit.

    Args:
        folder: an existing folder of the file system that is written to.
        needed: bytes that are still to be written.
        what: what takes them, for the error.
        remedy: which parameter to change.

    Raises:
        OSError: fewer bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{what} needs {_gigabytes(needed)} and {_gigabytes(free)} are free on the disk of "
            f"{folder}: free some, or {remedy}"
        )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.3g} GB"
