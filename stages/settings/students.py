"""Settings of all cells: the sections students, hard, ablations and those of 2014, and their rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from itertools import product
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from stages.settings.budgets import parse_budget
from stages.settings.common import Count, Schedule, check_bound
from stages.settings.groups import GROUPS, CellName, Group
from stages.settings.read import nearest, parse, strict, strict_keywords
from stages.settings.sweeps import Box, Range, Sweep, check_space, ordered

SPACE = ("lr", "momentum", "input_scale", "init_scale", "DOc1", "DOc2", "DOc3", "DOf1")
REQUIRED = ("lr", "momentum", "input_scale", "init_scale")

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Budget = Annotated[
    str,
    Field(pattern=r"^[0-9]+(\.[0-9]+)?[kKM]?$"),
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
]
Share = Annotated[float, Field(gt=0, le=1)]
Multiple = Annotated[int, Field(ge=1, le=64)]


def different(names: tuple[str, ...]) -> tuple[str, ...]:
    """`names` if none is given twice; a validator of lists."""
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(f"'{name}' is given twice")
    return names


def different_budgets(names: tuple[str, ...]) -> tuple[str, ...]:
    """`names` if no number of parameters is given twice, in whatever form."""
    for i, name in enumerate(different(names)):
        for other in names[:i]:
            if parse_budget(other) == parse_budget(name):
                raise ValueError(f"'{other}' and '{name}' are the same budget: keep one of them")
    return names


Rows = Annotated[tuple[Name, ...], AfterValidator(different)]
Budgets = Annotated[tuple[Budget, ...], AfterValidator(different_budgets)]


@strict
class StudentTraining:
    """Batch size, an optional bound on the epochs, weight decay, how the learning rate falls."""

    batch_size: Count
    max_epochs: Count | None
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Schedule = "paper"

    @model_validator(mode="after")
    def _bounded(self) -> StudentTraining:
        check_bound(self.schedule, self.max_epochs)
        return self


@strict
class Matrix:
    """The section `students` or `hard`: cells, search and training (sections 2.8, 6.2 and 6.3)."""

    rows: Rows
    budgets: Budgets
    sweep: Sweep
    training: StudentTraining
    width_multiple: Multiple
    final_seeds: Annotated[int, Field(ge=0, le=1000)]
    space: dict[str, Range | float]


@strict
class RowSettings:
    """One row: its net family, its width boxes or ratios, its own ranges where they differ."""

    net: str | None = None
    boxes: dict[Budget, tuple[Box, ...]] | None = None
    ratios: Annotated[tuple[Share, Share], AfterValidator(ordered)] | None = None
    space: dict[str, Range | float] = Field(default_factory=dict)


@strict
class Distillation:
    """Softened targets mixed with the true labels (Hinton et al. 2015), instead of L2 on logits.

    `hard_weight` is the share of the cross-entropy with the labels; the rest is that with the
    softened targets.
    """

    temperature: Annotated[float, Field(gt=0, le=1000)]
    hard_weight: Annotated[float, Field(ge=0, le=1)]


@strict
class Variant:
    """How an ablation differs from the paper's mimic nets; the defaults change nothing.

    Attributes:
        weight_decay: of the student; the paper has none (section 2.8).
        loss: instead of L2 on logits.
        epochs: stored epochs that are used, again and again from the first.
        members: the targets are the mean of so many first members of the ensemble, in the order of
            their choice.
        fresh: every epoch is augmented and labelled while the net trains, and none comes twice.
        unlabelled: whether the net sees the images of `prepare.unlabelled`.
    """

    weight_decay: Annotated[float, Field(ge=0)] | None = None
    loss: Distillation | None = None
    epochs: Count | None = None
    members: Count | None = None
    fresh: bool = False
    unlabelled: bool = True


@strict_keywords
class AblationRow(Variant):
    """One entry of `ablation_rows`: a variant of the row `of`, and what is different."""

    of: Name
    net: str | None = None
    boxes: dict[Budget, tuple[Box, ...]] | None = None
    space: dict[str, Range | float] = Field(default_factory=dict)


@strict
class Lists:
    """The section `ablations` or `students_2014`: rows and budgets, or none of either."""

    rows: Rows
    budgets: Budgets


@strict
class Teachers2014(Lists):
    """The section `teachers_2014`; `members` nets of lowest validation error are the ensemble."""

    members: Annotated[int, Field(ge=1, le=5)]


def _check(space: dict[str, Range | float], where: str) -> None:
    for name in space:
        if name not in SPACE:
            raise ValueError(f"params.yaml: unknown key '{where}.{name}'{nearest(name, SPACE)}")
    check_space(space, where)


def matrix(params: dict[str, Any], group: Group) -> Matrix:
    """The section `students` or `hard`; for other groups that of their base with their own cells."""
    where = GROUPS[group].section
    base = GROUPS[group].base

    # The lists of a group that shares the search and training of another.
    if base is not None:
        of_2014 = group == "teacher_2014"
        lists = teachers_2014(params) if of_2014 else parse(Lists, params[where], where)
        if bool(lists.rows) != bool(lists.budgets):
            empty = "budgets" if lists.rows else "rows"
            raise ValueError(
                f"params.yaml: {where}.{empty} is [] and the other list is not: fill both, or none"
            )
        return replace(matrix(params, base), rows=lists.rows, budgets=lists.budgets)

    # A section of its own.
    section = parse(Matrix, params[where], where)

    for name in ("rows", "budgets"):
        if not getattr(section, name):
            raise ValueError(f"params.yaml: {where}.{name} is []: at least one is needed")

    _check(section.space, f"{where}.space")
    for name in REQUIRED:
        if name not in section.space:
            raise ValueError(f"params.yaml: '{where}.space.{name}' is missing")

    return section


def cells(params: dict[str, Any], group: Group | None = None) -> Iterator[CellName]:
    """Names of all cells that params.yaml lists, or of one group's: by group, row and budget."""
    for each in GROUPS if group is None else (group,):
        section = matrix(params, each)
        teachers: list[CellName | None] = [None]
        if each == "student_2014":
            teachers = [*cells(params, "teacher_2014")] or teachers

        for name, budget, teacher in product(section.rows, section.budgets, teachers):
            yield CellName(each, name, budget, teacher)


def cell_at(params: dict[str, Any], files: str) -> CellName:
    """The cell whose files are at "students/conv2-180k" and the like.

    One that is no longer listed belongs to the group that lists its row, else it is mimic or hard.

    Raises:
        ValueError: no cell can be there.
    """
    plain = CellName.from_files(files)
    folder = GROUPS[plain.group].folder
    same_row = [
        name
        for name in cells(params)
        if name.row == plain.row and GROUPS[name.group].folder == folder
    ]

    for name in same_row:
        if name.budget == plain.budget:
            return name

    return replace(plain, group=same_row[0].group) if same_row else plain


def teachers_2014(params: dict[str, Any]) -> Teachers2014:
    """The section `teachers_2014`."""
    return parse(Teachers2014, params["teachers_2014"], "teachers_2014")


def row(params: dict[str, Any], group: Group, name: str) -> RowSettings:
    """One entry of the group's rows; for a variant with what it takes over from its base row."""
    where = GROUPS[group].rows

    if group == "ablation":
        varied = ablation(params, name)
        base = row(params, "mimic", varied.of)
        space = {**base.space, **varied.space}
        if varied.net is not None:
            return RowSettings(varied.net, varied.boxes, None, space)

        boxes = varied.boxes or base.boxes
        return RowSettings(base.net or varied.of, boxes, base.ratios, space)

    entry = parse(RowSettings, _entry(params, where, name), f"{where}.{name}")
    _check(entry.space, f"{where}.{name}.space")
    return entry


def ablation(params: dict[str, Any], name: str) -> AblationRow:
    """One entry of the section `ablation_rows`."""
    where = f"ablation_rows.{name}"
    entry = parse(AblationRow, _entry(params, "ablation_rows", name), where)
    _check(entry.space, f"{where}.space")
    return entry


def variant(params: dict[str, Any], group: Group, name: str) -> Variant:
    """How a row differs from the paper's nets; only an ablation does."""
    if group != "ablation":
        return Variant()
    entry = ablation(params, name)
    return Variant(*(getattr(entry, field.name) for field in fields(Variant)))


def _entry(params: dict[str, Any], where: str, name: str) -> Any:
    rows = params[where]
    if not isinstance(rows, dict):
        raise ValueError(
            f"params.yaml: {where} is {type(rows).__name__}, allowed is a mapping of rows"
        )
    if name not in rows:
        raise ValueError(f"params.yaml: {where} has no row '{name}'{nearest(name, map(str, rows))}")
    return rows[name]


def cell_space(
    section: Matrix, entry: RowSettings, dropouts: Sequence[str], controls: Sequence[str]
) -> dict[str, Range | float]:
    """The section's space, the row's own ranges, and one range for each width.

    Args:
        dropouts: those that the row's net has; others of the section are left out.
        controls: names of the net's widths or ratios.
    """
    space = {**section.space, **entry.space}
    space = {
        name: value
        for name, value in space.items()
        if not name.startswith("DO") or name in dropouts
    }

    low, high = entry.ratios or (0.0, 1.0)
    control = low if low == high else Range(low, high)
    return {**space, **dict.fromkeys(controls, control)}
