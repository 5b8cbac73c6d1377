"""Settings of the door students: the sections students, hard, rows and hard_rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from stages.settings.common import Count
from stages.settings.read import nearest, parse, strict
from stages.settings.sweeps import Box, Range, Sweep, check_space, ordered

SPACE = ("lr", "momentum", "input_scale", "init_scale", "DOc1", "DOc2", "DOc3", "DOf1")
REQUIRED = ("lr", "momentum", "input_scale", "init_scale")

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Budget = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?[kM]?$")]
Share = Annotated[float, Field(gt=0, le=1)]
Multiple = Annotated[int, Field(ge=1, le=64)]


def different(names: tuple[str, ...]) -> tuple[str, ...]:
    """`names` if none is given twice; a validator of lists."""
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(f"'{name}' is given twice")
    return names


@strict
class StudentTraining:
    """Batch size, an optional bound on the epochs, weight decay."""

    batch_size: Count
    max_epochs: Count | None
    weight_decay: Annotated[float, Field(ge=0)]


@strict
class Matrix:
    """The section `students` or `hard`: cells, search and training (sections 2.8, 6.2 and 6.3)."""

    rows: Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(different)]
    budgets: Annotated[tuple[Budget, ...], Field(min_length=1), AfterValidator(different)]
    sweep: Sweep
    training: StudentTraining
    width_multiple: Multiple
    final_seeds: Annotated[int, Field(ge=0, le=1000)]
    space: dict[str, Range | float]


@strict
class Row:
    """One row: its net family, its width boxes or ratios, its own ranges where they differ."""

    net: str | None = None
    boxes: dict[Budget, tuple[Box, ...]] | None = None
    ratios: Annotated[tuple[Share, Share], AfterValidator(ordered)] | None = None
    space: dict[str, Range | float] = Field(default_factory=dict)


Target = Literal["mimic", "hard"]
SECTION = {"mimic": "students", "hard": "hard"}
ROWS = {"mimic": "rows", "hard": "hard_rows"}


def _check(space: dict[str, Range | float], where: str) -> None:
    for name in space:
        if name not in SPACE:
            raise ValueError(f"params.yaml: unknown key '{where}.{name}'{nearest(name, SPACE)}")
    check_space(space, where)


def matrix(params: dict[str, Any], target: Target) -> Matrix:
    """The section `students` (target mimic) or `hard`."""
    where = SECTION[target]
    section = parse(Matrix, params[where], where)
    _check(section.space, f"{where}.space")
    for name in REQUIRED:
        if name not in section.space:
            raise ValueError(f"params.yaml: '{where}.space.{name}' is missing")
    return section


def row(params: dict[str, Any], target: Target, name: str) -> Row:
    """One entry of the section `rows` (target mimic) or `hard_rows`."""
    where = ROWS[target]
    rows = params[where]
    if not isinstance(rows, dict):
        raise ValueError(f"params.yaml: {where} is {type(rows).__name__}, allowed is a mapping of rows")
    if name not in rows:
        raise ValueError(f"params.yaml: {where} has no row '{name}'{nearest(name, map(str, rows))}")
    entry = parse(Row, rows[name], f"{where}.{name}")
    _check(entry.space, f"{where}.{name}.space")
    return entry


def cell_space(
    section: Matrix, entry: Row, dropouts: Sequence[str], controls: Sequence[str]
) -> dict[str, Range | float]:
    """The section's space, the row's own ranges, and one range for each width.

    Args:
        dropouts: those that the row's net has; others of the section are left out.
        controls: names of the net's widths or ratios.
    """
    space = {**section.space, **entry.space}
    space = {name: value for name, value in space.items() if not name.startswith("DO") or name in dropouts}
    low, high = entry.ratios or (0.0, 1.0)
    control = low if low == high else Range(low, high)
    return {**space, **dict.fromkeys(controls, control)}
