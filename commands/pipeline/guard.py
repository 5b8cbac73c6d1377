"""`python -m commands.pipeline.guard COMMAND ...` runs a command, and kills it without its parent.

`jobs` starts it as the first process of a session, with a pipe for standard input that the parent
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

    # Not sys.exit: the thread may be reading standard input, which that would close.
    os._exit(code if code >= 0 else 128 - code)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Not SIG_IGN, which the command would inherit, and then could not be stopped."""


def _end_with_parent() -> None:
    """Standard input ends when the parent does, however it does; then this whole group ends."""
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
