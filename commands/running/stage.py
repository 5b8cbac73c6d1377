"""One stage in this process, after a look whether its code is the code that `code` has listed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any


def run(words: Sequence[str]) -> None:
    """Run a stage: its name, and what its command has besides.

    Raises:
        SystemExit: as `stages.runtime.entry.run` does.
    """
    from stages.runtime import entry
    from stages.runtime.listings import CODE, check_code

    name, *more = words
    sys.argv = [f"python -m stages.{name}", *more]

    def main() -> None:
        if name != CODE:
            check_code(name)
        module: Any = importlib.import_module(f"stages.{name}")
        module.main()

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
