"""Students are planned as their section says."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.nets.budget import plan
from stages.settings import common, groups, students
from stages.settings.inputs import Inputs
from stages.trials.cell import Cell
from tests.helpers.params import changed


@pytest.mark.parametrize("target", ["mimic", "hard"])
def test_students_are_planned_with_their_sections_multiple(target: groups.Group) -> None:
    params = changed(f"{groups.GROUPS[target].section}/width_multiple", 8)
    section, entry = students.matrix(params, target), students.row(params, target, "conv2")
    numerics, execution = common.numerics(params), common.execution(params)
    cell = Cell(
        Path(),
        groups.CellName(target, "conv2", "180k"),
        "conv2",
        section,
        entry,
        students.Variant(),
        {},
        numerics,
        execution,
        common.images(params),
        1,
        1,
        10,
        Inputs.images(32),
    )
    made = cell.plan({"C1": 1.0, "C2": 0.4})
    assert made == plan("conv2", 180_000, [1.0, 0.4], entry.boxes["180k"], multiple=8)
    assert all(width % 8 == 0 for width in (*made.widths, made.dependent))
