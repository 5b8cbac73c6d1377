"""The work that is counted is that of the cells and the widths in params.yaml."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from commands.scale import compose
from commands.sizing.work import jobs
from stages.nets.budget import plan
from stages.nets.layers import teacher_params, teacher_widths
from stages.settings.budgets import parse_budget
from tests.helpers.params import SMOKE, changed


@pytest.mark.parametrize("section", ["teachers", "students", "hard"])
def test_costs_are_those_of_the_sections_multiple(section: str) -> None:
    plain, _ = jobs(changed("scale", "smoke"))
    others, _ = jobs(changed(f"{section}/width_multiple", 16))
    different = {
        a.name.split()[0] for a, b in zip(plain, others, strict=True) if a.params != b.params
    }
    assert different == ({"teachers", "label"} if section == "teachers" else {section})
    found = {job.name: job for job in others}
    if section == "teachers":
        boxes = {key: tuple(ends) for key, ends in SMOKE["teachers"]["boxes"].items()}
        widths = teacher_widths(dict.fromkeys(boxes, 0.5), boxes, multiple=16)
        assert found["teachers"].params == found["label"].params == teacher_params(widths)
    else:
        box = SMOKE["rows" if section == "students" else "hard_rows"]["conv2"]["boxes"]["180k"]
        made = plan("conv2", parse_budget("180k"), [0.5, 0.5], box, multiple=16)
        assert found[f"{section} conv2 180k"].params == made.params


def test_cost_counts_every_cell_of_the_paper() -> None:
    found, stored = jobs(YAML(typ="safe").load(compose("paper")))
    assert len(found) == 2 + 36 + 4
    assert stored == 160 * 40000 * (3072 + 4 + 2 + 18 + 40)
    assert next(j for j in found if j.name == "teachers").count == 129
