"""How a stage or command starts: one clear line for bad input, the usual exit status if stopped."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType


def run(main: Callable[[], None]) -> None:
    """Run `main`; exit 0, 1 with one line for bad input, 130 after Ctrl-C, 143 after SIGTERM.

    The traceback of a failure is kept in work/last-error.txt, or printed if MIMICNETS_TRACEBACK is
    1.
    """
    signal.signal(signal.SIGTERM, _terminate)

    try:
        main()
    except KeyboardInterrupt:
        print("stopped; run 'dvc repro' to resume", file=sys.stderr)
        raise SystemExit(130) from None
    except (ValueError, OSError) as error:
        if os.environ.get("MIMICNETS_TRACEBACK") == "1":
            raise
        print(f"error: {' '.join(str(error).split())}{_keep_traceback()}", file=sys.stderr)
        raise SystemExit(1) from None


def _terminate(number: int, frame: FrameType | None) -> None:
    # Not print: it raises an error if the signal has come in the middle of another print.
    os.write(2, b"terminated; run 'dvc repro' to resume\n")
    raise SystemExit(143)


def _keep_traceback() -> str:
    """Where the traceback is kept, as the end of an error line; empty if it cannot be."""
    path = Path("work/last-error.txt")
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")
    except OSError:
        return ""
    return f" (details: {path})"
