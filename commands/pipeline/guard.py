"""Runs one command and ends with it, or kills it when its parent is gone: `python -m
commands.pipeline.guard COMMAND ...`.

Started by `jobs` as the first process of a session, with a pipe for standard input that the parent
holds and never writes to. The parent signals the other processes of the session; this one stays
until the command has ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from types import FrameType


def main() -> None:
    """Run the command; exit with its status, or 128 and the number of the signal that ended it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _ignore)
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    code = child.wait()
    os._exit(
        code if code >= 0 else 128 - code
    )  # the thread may hold standard input, which a usual end would close


def _ignore(number: int, frame: FrameType | None) -> None:
    """Not SIG_IGN: the command would have that too, and could not be stopped."""


def _end_with_parent() -> None:
    """Standard input ends when the parent does, however it does; then nothing of this group is to
    stay.
    """
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
