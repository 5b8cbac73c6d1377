"""Locks of files, where the file system has them: flock(2), which the system gives back at a death."""

from __future__ import annotations

import errno
import fcntl
import sys
from pathlib import Path
from typing import IO

WITHOUT = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What flock answers on file systems of clusters that are mounted without locks."""

_said: list[str] = []


def lock(file: IO[str], wait: bool = True) -> bool:
    """Lock an open file; False if its file system has no locks.

    Raises:
        BlockingIOError: another process holds it, and `wait` is False.
        OSError: anything else.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in WITHOUT:
            raise
        return False
    return True


def available(folder: Path) -> bool:
    """Whether files in a folder can be locked."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".locks").open("a") as file:
        return lock(file)


def say_once(folder: Path) -> None:
    """Say, once a process, what it means that a folder has no locks."""
    if not _said:
        _said.append(str(folder))
        print(
            f"note: {folder} is on a file system without locks: results are the same, but nothing "
            "refuses a second run that works there at the same time. Mount it with locks (NFS 3: "
            "local_lock=flock, Lustre: flock), or make work/ a link to a local disk",
            file=sys.stderr,
        )
