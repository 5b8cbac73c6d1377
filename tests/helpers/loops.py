"""Alternatives for tests of benchmarks: importable quickly in a process of their own."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any


def with_a_child() -> Any:
    """An alternative that needs a process of its own, as a DataLoader with workers does."""

    def work() -> int:
        child = multiprocessing.get_context("spawn").Process(target=os.getpid, daemon=True)
        child.start()
        child.join()
        return 1 if child.exitcode == 0 else 0

    return work


def dying(code: int) -> Any:
    """An alternative that ends its process: while it is made, or in its first turn."""
    if code == 3:
        os._exit(code)
    return lambda: os._exit(code)
