"""One stage in this process, between two looks at what its result is put down to."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any


def run(words: Sequence[str]) -> None:
    """Run a stage: its name, and what its command has besides.

    Raises:
        SystemExit: as `stages.runtime.entry.run` does.
    """
    from commands.running.unchanged import Beginning
    from stages.runtime import entry, work
    from stages.runtime.listings import CODE, check_code

    name, *more = words
    sys.argv = [f"python -m stages.{name}", *more]
    of_dvc = os.environ.get("DVC_STAGE", "")

    def main() -> None:
        # Only what DVC has started is locked by it.
        beginning = Beginning.now(of_dvc, words) if of_dvc and name != CODE else None
        if beginning is None and name != CODE:
            check_code(name)

        if beginning is not None:
            work.before_done = beginning.check

        module: Any = importlib.import_module(f"stages.{name}")
        module.main()

        if beginning is not None:
            beginning.check()

    entry.run(main)


def status_of(call: Callable[[], None]) -> int:
    """Exit status of a call, as the interpreter would give it."""
    try:
        call()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0
