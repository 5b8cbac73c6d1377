"""A check of the whole of params.yaml, made before anything is computed; used by prepare and
scale.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from stages.settings import common, groups, prepare, results, students, teachers, transfer
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
    _check_views(params)
    trials = teachers.teachers(params, prepare.prepare(params).inputs).sweep.trials
    members = transfer.ensemble(params).members
    if members > trials:
        raise ValueError(
            f"params.yaml: ensemble.members is {members}, more than teachers.sweep.trials {trials}"
        )
    transfer.augment(params)
    transfer.label(params)
    for target in groups.SECTION:
        section = students.matrix(params, target)
        for name in section.rows:
            boxes = students.row(params, target, name).boxes
            for budget in section.budgets:
                if boxes is not None and budget not in boxes:
                    where = f"{groups.ROWS[target]}.{name}.boxes.{budget}"
                    raise ValueError(f"params.yaml: '{where}' is missing")
    _check_ablations(params)
    _check_2014(params)
    results.tabulate(params)
    results.assess(params)
    results.draw(params)
    results.scale(params)


def _check_views(params: dict[str, Any]) -> None:
    """Crops fit into the images, and vectors have no views."""
    images, inputs = common.images(params), prepare.prepare(params).inputs
    crop, size = images.crop_min_px, inputs.size_px
    if size is not None:
        if crop is None or crop > size:
            raise ValueError(
                f"params.yaml: images.crop_min_px is {crop}, allowed is 2 to prepare.size_px {size}"
            )
        return
    hsv = any(asdict(transfer.augment(params).hsv).values())
    wanted = (
        ("images.mirror", images.mirror, "false"),
        ("images.crop_min_px", crop is not None, "null"),
        ("augment.hsv", hsv, "zeros"),
    )
    for name, on, off in wanted:
        if on:
            raise ValueError(
                f"params.yaml: {name} changes images, and prepare.source npz has vectors: set it to {off}"
            )


def _check_ablations(params: dict[str, Any]) -> None:
    """Every variant that is listed has its base in the tables, and its targets are stored."""
    base, section = students.matrix(params, "mimic"), students.matrix(params, "ablation")
    stored, sizes = transfer.augment(params).epochs, transfer.label(params).members
    for budget in section.budgets:
        if budget not in base.budgets:
            raise ValueError(
                f"params.yaml: ablations.budgets has {budget}, students.budgets has not: add it there"
            )
    for name in params["ablation_rows"] if isinstance(params["ablation_rows"], dict) else ():
        students.ablation(params, str(name))
    for name in section.rows:
        entry, where = students.ablation(params, name), f"params.yaml: ablation_rows.{name}"
        if name in base.rows:
            raise ValueError(f"{where} has the name of a row of students.rows: give it another")
        if entry.of not in base.rows:
            raise ValueError(
                f"{where}.of is {entry.of}, which is not in students.rows: there is nothing to compare to"
            )
        if entry.epochs is not None and (entry.epochs > stored or entry.fresh):
            raise ValueError(
                f"{where}.epochs is {entry.epochs}: allowed is 1 to augment.epochs {stored}, and not with fresh"
            )
        if entry.members is not None and entry.members not in sizes:
            raise ValueError(
                f"{where}.members is {entry.members}: label.members is {list(sizes)}, add it there"
            )


def _check_2014(params: dict[str, Any]) -> None:
    """There is one teacher, with nets enough for its ensemble, and its cells have names of their
    own.
    """
    teachers, students_ = (
        students.matrix(params, target) for target in ("teacher_2014", "student_2014")
    )
    members = students.teachers_2014(params).members
    if students_.rows and not teachers.rows:
        raise ValueError(
            "params.yaml: students_2014.rows mimic the ensemble of teachers_2014.rows, which is []"
        )
    for name in ("rows", "budgets"):
        if len(getattr(teachers, name)) > 1:
            raise ValueError(
                f"params.yaml: teachers_2014.{name} is {list(getattr(teachers, name))}: one at most"
            )
    if teachers.rows and members > teachers.sweep.trials:
        raise ValueError(
            f"params.yaml: teachers_2014.members is {members}, more than hard.sweep.trials {teachers.sweep.trials}"
        )
    for target in ("teacher_2014", "student_2014"):
        own, base = students.matrix(params, target), students.matrix(params, groups.BASE[target])
        for name in own.rows:
            if name in base.rows or (
                target == "student_2014" and name in students.matrix(params, "ablation").rows
            ):
                raise ValueError(
                    f"params.yaml: {groups.SECTION[target]}.rows has {name}, which is listed elsewhere"
                )
