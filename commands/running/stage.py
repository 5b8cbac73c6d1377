"""One stage in this process, between two looks at what its result is put down to."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

SEARCHES = ("teachers", "students")
"""Stages that can begin with the trials of an earlier run."""

READERS = ("extra", "tabulate", "assess", "draw", "page")
"""Stages that read the tables of all cells."""


def run(words: Sequence[str], dvc: Sequence[str] = ()) -> None:
    """Run a stage.

    Args:
        words: its name, and what its command has besides.
        dvc: command line of the DVC process that has started it.

    Raises:
        SystemExit: as `stages.runtime.entry.run` does.
    """
    from commands.running import outputs
    from commands.running.unchanged import Beginning
    from stages.runtime import entry, work
    from stages.runtime.listings import CODE, check_code

    name, *more = words
    sys.argv = [f"python -m stages.{name}", *more]
    of_dvc = os.environ.get("DVC_STAGE", "")

    def main() -> None:
        if of_dvc:
            _look_at_params(name, dvc)
        if of_dvc and name in READERS:
            from commands.pipeline.leftovers import remove_leftovers
            from stages.settings.read import read_params

            remove_leftovers(read_params())

        # Only what DVC has started is locked by it.
        beginning = Beginning.now(of_dvc, words) if of_dvc and name != CODE else None
        if beginning is None and name != CODE:
            check_code(name)

        if beginning is not None:
            work.before_done = beginning.check
            if name in SEARCHES and not outputs.forced(dvc):
                from stages.trials import earlier

                earlier.find = partial(outputs.earlier, of_dvc)

        module: Any = importlib.import_module(f"stages.{name}")
        module.main()

        if beginning is not None:
            beginning.check()

    entry.run(main)


def _look_at_params(name: str, dvc: Sequence[str]) -> None:
    """Refuse a run of which DVC has lost a value, and say before the first one where it would.

    Raises:
        ValueError: a value is lost.
    """
    sets_something = any(word.startswith(("-S", "--set-param")) for word in dvc)
    if not sets_something and name != "prepare":
        return

    from commands.running.overrides import anchor_of, check_overrides
    from stages.settings.read import read_params

    params = read_params()
    text = Path("params.yaml").read_text(encoding="utf-8")
    check_overrides(dvc, params, text)
    anchor = anchor_of(text)
    if anchor is not None:
        line, label = anchor
        print(
            f"note: params.yaml, line {line} has the YAML anchor &{label}: DVC loses what -S sets in "
            "such a place; write the values out to use -S",
            flush=True,
        )


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
