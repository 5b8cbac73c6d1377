"""A check of the whole of params.yaml, made before anything is computed; used by prepare and scale."""

from __future__ import annotations

from typing import Any

from stages.settings import common, prepare, results, students, teachers
from stages.settings.read import check_sections


def check(params: dict[str, Any]) -> None:
    """Check every section, also those whose stage runs hours later.

    Raises:
        ValueError: one line with the first fault.
    """
    check_sections(params)
    common.seed(params)
    common.numerics(params)
    common.execution(params)
    crop, size = common.images(params).crop_min_px, prepare.prepare(params).size_px
    if crop > size:
        raise ValueError(f"params.yaml: images.crop_min_px is {crop}, more than prepare.size_px {size}")
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
            boxes = students.row(params, target, name).boxes
            for budget in section.budgets if boxes is not None else ():
                if budget not in boxes:
                    where = f"{students.ROWS[target]}.{name}.boxes.{budget}"
                    raise ValueError(f"params.yaml: '{where}' is missing")
    results.tabulate(params)
    results.assess(params)
    results.draw(params)
    results.scale(params)
