"""How a door starts: one clear line for bad input, and the usual exit status when it is stopped."""

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

    The traceback of a failure is kept in work/last-error.txt, or printed with
    MIMICNETS_TRACEBACK=1.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        main()
    except KeyboardInterrupt:
        print("stopped; 'dvc repro' goes on where it was", file=sys.stderr)
        raise SystemExit(130) from None
    except (ValueError, OSError) as error:
        if os.environ.get("MIMICNETS_TRACEBACK") == "1":
            raise
        print(f"error: {' '.join(str(error).split())}{_keep_traceback()}", file=sys.stderr)
        raise SystemExit(1) from None


def _terminate(number: int, frame: FrameType | None) -> None:
    # not print: the signal may have come in the middle of one, and that raises
    os.write(2, b"terminated; 'dvc repro' goes on where it was\n")
    raise SystemExit(143)


def _keep_traceback() -> str:
    path = Path("work/last-error.txt")
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")
    except OSError:
        return ""
    return f" (details: {path})"
