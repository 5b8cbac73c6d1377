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
    prepare.label(params)
    for target in students.SECTION:
        section = students.matrix(params, target)
        for name in section.rows:
            boxes = students.row(params, target, name).boxes
            for budget in section.budgets if boxes is not None else ():
                if budget not in boxes:
                    where = f"{students.ROWS[target]}.{name}.boxes.{budget}"
                    raise ValueError(f"params.yaml: '{where}' is missing")
    _check_ablations(params)
    results.tabulate(params)
    results.assess(params)
    results.draw(params)
    results.scale(params)


def _check_ablations(params: dict[str, Any]) -> None:
    """Every variant that is listed has its base in the tables, and its targets are stored."""
    base, section = students.matrix(params, "mimic"), students.matrix(params, "ablation")
    stored, sizes = prepare.augment(params).epochs, prepare.label(params).members
    if bool(section.rows) != bool(section.budgets):
        empty = "budgets" if section.rows else "rows"
        raise ValueError(f"params.yaml: ablations.{empty} is [] and the other list is not: fill both, or none")
    for budget in section.budgets:
        if budget not in base.budgets:
            raise ValueError(f"params.yaml: ablations.budgets has {budget}, students.budgets has not: add it there")
    for name in params["ablation_rows"] if isinstance(params["ablation_rows"], dict) else ():
        students.ablation(params, str(name))
    for name in section.rows:
        entry, where = students.ablation(params, name), f"params.yaml: ablation_rows.{name}"
        if name in base.rows:
            raise ValueError(f"{where} has the name of a row of students.rows: give it another")
        if entry.of not in base.rows:
            raise ValueError(f"{where}.of is {entry.of}, which is not in students.rows: there is nothing to compare to")
        if entry.epochs is not None and (entry.epochs > stored or entry.fresh):
            raise ValueError(
                f"{where}.epochs is {entry.epochs}: allowed is 1 to augment.epochs {stored}, and not with fresh"
            )
        if entry.members is not None and entry.members not in sizes:
            raise ValueError(f"{where}.members is {entry.members}: label.members is {list(sizes)}, add it there")
