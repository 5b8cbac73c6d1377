"""Processes that tests start and watch: which there are, and whether they are gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.pocket import ROOT

PATIENCE = 300.0
"""Seconds that a test waits for what must come. No verdict hangs on them: they are far more than
it takes on a busy machine, and what a test expects to be ended would last an hour."""


def python(code: str, **environment: str) -> subprocess.Popen[str]:
    """Another python, in a session of its own, that imports stages and tests."""
    path = str(ROOT)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


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


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> bool:
    """Wait for the condition; whether it came to hold."""
    deadline = time.monotonic() + seconds
    while not (held := bool(condition())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return held
