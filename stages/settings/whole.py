"""A check of the whole of params.yaml, made before anything is computed; used by prepare and scale."""

from __future__ import annotations

from typing import Any

from stages.settings import common, prepare, results, students, teachers


def check(params: dict[str, Any]) -> None:
    """Check every section, also those whose stage runs hours later.

    Raises:
        ValueError: one line with the first fault.
    """
    common.seed(params)
    common.numerics(params)
    common.execution(params)
    common.images(params)
    prepare.prepare(params)
    trials = teachers.teachers(params).sweep.trials
    members = prepare.ensemble(params).members
    if members > trials:
        raise ValueError(
            f"params.yaml: ensemble.members is {members}, more than teachers.sweep.trials {trials}"
        )
    prepare.augment(params)
    for target in ("mimic", "hard"):
        section = students.matrix(params, target)
        for name in section.rows:
            students.row(params, target, name)
    results.tabulate(params)
    results.draw(params)
    results.scale(params)
