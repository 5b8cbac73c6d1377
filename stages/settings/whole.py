"""A check of the whole of params.yaml, before anything is computed."""

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

    # The teachers and the transfer set.
    trials = teachers.teachers(params, prepare.prepare(params).inputs).sweep.trials
    members = transfer.ensemble(params).members
    if transfer.ensemble(params).source == "teachers" and members > trials:
        raise ValueError(
            f"params.yaml: ensemble.members is {members}, more than teachers.sweep.trials {trials}"
        )

    transfer.augment(params)
    transfer.label(params)
    _check_logits(params)
    _check_weights(params)

    # The cells.
    for cell in students.cells(params):
        boxes = students.row(params, cell.group, cell.row).boxes
        if boxes is not None and cell.budget not in boxes:
            where = f"{groups.GROUPS[cell.group].rows}.{cell.row}.boxes.{cell.budget}"
            raise ValueError(f"params.yaml: '{where}' is missing")

    _check_ablations(params)
    _check_2014(params)

    # The report.
    results.tabulate(params)
    results.assess(params)
    results.draw(params)
    results.scale(params)


def _check_logits(params: dict[str, Any]) -> None:
    """Where the ensemble is only logits, nothing needs its nets."""
    section = transfer.ensemble(params)
    if section.source != "logits":
        return

    only = "params.yaml: ensemble.source is logits: there are no nets"
    if section.members != 1:
        raise ValueError(f"{only}, and ensemble.members is {section.members}: set it to 1")
    if prepare.prepare(params).extra_tests:
        raise ValueError(f"{only} to ask about prepare.extra_tests: set it to {{}}")

    fresh = [
        name
        for name in students.matrix(params, "ablation").rows
        if students.ablation(params, name).fresh
    ]
    if fresh:
        raise ValueError(f"{only} to label new images for ablations.rows {fresh[0]}: take it out")


def _check_weights(params: dict[str, Any]) -> None:
    """Weights are of all members together."""
    section = transfer.ensemble(params)
    if section.weights == "equal":
        return

    where = "params.yaml: ensemble.weights is not equal"
    if transfer.label(params).members:
        raise ValueError(
            f"{where}, and label.members asks for the first members alone: set it to []"
        )
    if isinstance(section.weights, dict) and len(section.weights) != section.members:
        raise ValueError(
            f"{where}, and has {len(section.weights)} names for ensemble.members {section.members}"
        )


def _check_views(params: dict[str, Any]) -> None:
    """Crops fit into the images, and vectors have no views."""
    images = common.images(params)
    crop = images.crop_min_px
    settings = prepare.prepare(params)
    source = settings.source
    size = settings.inputs.size_px

    if size is not None:
        if crop is None or crop > size:
            raise ValueError(
                f"params.yaml: images.crop_min_px is {crop}, allowed is 2 to prepare.size_px {size}"
            )

        return

    hsv = any(asdict(transfer.augment(params).hsv).values())
    changes = (
        ("images.mirror", images.mirror, "false"),
        ("images.crop_min_px", crop is not None, "null"),
        ("augment.hsv", hsv, "zeros"),
    )

    for name, on, off in changes:
        if on:
            raise ValueError(
                f"params.yaml: {name} changes images, and prepare.source {source} has vectors: "
                f"set it to {off}"
            )


def _check_ablations(params: dict[str, Any]) -> None:
    """Every variant that is listed has its base in the tables, and its targets are stored."""
    base = students.matrix(params, "mimic")
    section = students.matrix(params, "ablation")
    stored = transfer.augment(params).epochs
    sizes = transfer.label(params).members

    for budget in section.budgets:
        if budget not in base.budgets:
            raise ValueError(
                f"params.yaml: ablations.budgets has {budget}, students.budgets has not: "
                "add it there"
            )

    # Every entry is read, also those that no list has.
    for name in params["ablation_rows"] if isinstance(params["ablation_rows"], dict) else ():
        students.ablation(params, str(name))

    # Those that are listed are compared with their bases, and need their targets.
    for name in section.rows:
        entry = students.ablation(params, name)
        where = f"params.yaml: ablation_rows.{name}"
        if name in base.rows:
            raise ValueError(f"{where} has the name of a row of students.rows: give it another")

        if entry.of not in base.rows:
            raise ValueError(
                f"{where}.of is {entry.of}, which is not in students.rows: "
                "there is nothing to compare to"
            )

        if entry.epochs is not None and (entry.epochs > stored or entry.fresh):
            raise ValueError(
                f"{where}.epochs is {entry.epochs}: allowed is 1 to augment.epochs {stored}, "
                "and not with fresh"
            )

        _check_unlabelled(params, where, entry)

        if entry.members is not None and entry.members not in sizes:
            raise ValueError(
                f"{where}.members is {entry.members}: label.members is {list(sizes)}, add it there"
            )


def _check_unlabelled(params: dict[str, Any], where: str, entry: students.AblationRow) -> None:
    """A variant leaves out only what is there, and true labels are not asked of images without."""
    given = prepare.prepare(params).unlabelled
    if given is None and not entry.unlabelled:
        raise ValueError(
            f"{where}.unlabelled is false: prepare.unlabelled is null, so that there is nothing to "
            "leave out; take the row out of ablations.rows"
        )

    if given is not None and entry.unlabelled and entry.loss is not None:
        raise ValueError(
            f"{where}.loss needs true labels, which the pictures of prepare.unlabelled do not have: "
            "add unlabelled: false"
        )


def _check_2014(params: dict[str, Any]) -> None:
    """There is one teacher with enough nets for its ensemble, and no name of a row comes twice."""
    lists: dict[groups.Group, students.Matrix] = {
        "teacher_2014": students.matrix(params, "teacher_2014"),
        "student_2014": students.matrix(params, "student_2014"),
    }
    teacher = lists["teacher_2014"]
    members = students.teachers_2014(params).members

    # One teacher at most, with enough nets, and one where there are students.
    if lists["student_2014"].rows and not teacher.rows:
        raise ValueError(
            "params.yaml: students_2014.rows mimic the ensemble of teachers_2014.rows, which is []"
        )

    for name in ("rows", "budgets"):
        if len(getattr(teacher, name)) > 1:
            raise ValueError(
                f"params.yaml: teachers_2014.{name} is {list(getattr(teacher, name))}: one at most"
            )

    if teacher.rows and members > teacher.sweep.trials:
        raise ValueError(
            f"params.yaml: teachers_2014.members is {members}, "
            f"more than hard.sweep.trials {teacher.sweep.trials}"
        )

    # Their rows lie beside those of other groups, under names of their own.
    taken = {
        "teacher_2014": students.matrix(params, "hard").rows,
        "student_2014": (
            *students.matrix(params, "mimic").rows,
            *students.matrix(params, "ablation").rows,
        ),
    }
    for group, section in lists.items():
        for name in section.rows:
            if name in taken[group]:
                raise ValueError(
                    f"params.yaml: {groups.GROUPS[group].section}.rows has {name}, "
                    "which is listed elsewhere"
                )
