"""Trials of a cell that need no result of others: they can be trained before the cell's turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stages.runtime.work import DONE, place_of
from stages.search.ask_tell import first_window
from stages.search.propose import Settings
from stages.settings.groups import CellName
from stages.store.atomic import write_json
from stages.trials.cell import Cell, seed_of, set_up
from stages.trials.folder import TrialFolder

Call = tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]
"""A function that is known by its name, and its arguments."""


def early_trials(name: CellName, file: str, train: Callable[..., dict[str, Any]]) -> list[Call]:
    """The first trials of a cell that are not finished; `train` leaves each in its folder.

    The stage finds their results there, as those of a run that was stopped.

    Args:
        file: `__file__` of the stage; the hash of its code is part of the work folder's name. Whoever
            trains them makes sure that this is the code that it has imported.
        train: as for `run_sweep`.

    Raises:
        ValueError, OSError: what the stage itself would raise before its first trial.
    """
    cell, settings, space = set_up(name)
    work, key = place_of(cell.name.work, settings, cell.reads, file)
    if (work / DONE).is_file():
        return []

    work.mkdir(parents=True, exist_ok=True)
    write_json(work / "key.json", key)
    return unfinished(replace(cell, work=work), settings, space, train)


def unfinished(
    cell: Cell, settings: dict[str, Any], space: Any, train: Callable[..., dict[str, Any]]
) -> list[Call]:
    """Of the first trials of a cell those without a result."""
    sweep = cell.section.sweep
    proposing = Settings(sweep.engine, sweep.start, sweep.lag)
    window = first_window(space, proposing, seed_of(settings), sweep.trials)

    return [
        (train, (cell, trial, values, seed))
        for trial, values, seed in window
        if TrialFolder(cell.work, trial).finished(values, seed) is None
    ]
