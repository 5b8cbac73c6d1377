"""What tests look at while processes run elsewhere: which there are, whether they are gone, and
whether it is time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def processes() -> list[int]:
    """All process numbers of this machine."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def session(pid: int) -> int:
    """Of a process; 0 of one that has ended."""
    try:
        return 0 if gone(pid) else os.getsid(pid)
    except ProcessLookupError:
        return 0


def until(condition: Callable[[], Any], seconds: float = 30.0) -> bool:
    """Wait for the condition; whether it came to hold."""
    deadline = time.monotonic() + seconds
    while not (held := bool(condition())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return held
