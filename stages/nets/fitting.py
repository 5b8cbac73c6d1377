"""Whether every cell that is listed has a net for the data."""

from __future__ import annotations

from typing import Any

from stages.nets.budget import plan
from stages.nets.families import FAMILIES, check_row
from stages.nets.teacher_layers import teacher_params
from stages.settings.budgets import parse_budget
from stages.settings.groups import GROUPS
from stages.settings.inputs import Inputs
from stages.settings.students import cells, matrix, row
from stages.settings.teachers import names_of, teachers


def check_cells(params: dict[str, Any], classes: int, inputs: Inputs) -> None:
    """Check that every cell that is listed has a net that meets its budget.

    Raises:
        ValueError: a row or budget that cannot be trained on these inputs; it names the list to
        take it from.
    """
    # Refuses images that are too small for the teachers' pools.
    net = teachers(params, inputs).net
    narrowest = (1,) * len(names_of(inputs, net).widths)
    teacher_params(narrowest, classes, inputs, net)

    for name in cells(params):
        item = row(params, name.group, name.row)
        family = item.net or name.row
        where = f"params.yaml: {GROUPS[name.group].rows}.{name.row}"
        check_row(where, family, name.budget, item.boxes, item.ratios)

        box = None if item.boxes is None else item.boxes[name.budget]
        largest = [1.0] * FAMILIES[family].controls
        multiple = matrix(params, name.group).width_multiple

        try:
            plan(
                family,
                parse_budget(name.budget),
                largest,
                box,
                classes=classes,
                inputs=inputs,
                multiple=multiple,
            )
        except ValueError as error:
            why = str(error).replace("students.budgets", f"{name.stage}.budgets")
            raise ValueError(
                f"params.yaml: {name.stage}.rows has {name.row}, at {name.budget}, {inputs.words} and "
                f"{classes} classes: {why}; or take {name.row} out of {name.stage}.rows"
            ) from error
