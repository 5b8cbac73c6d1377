"""The estimate: the cells and widths of params.yaml, a line for every stage, each cell once."""

from __future__ import annotations

from collections import Counter

import pytest
from ruamel.yaml import YAML

from commands.scale import compose
from commands.sizing.jobs import LINES, jobs, parts
from stages.nets.budget import plan
from stages.nets.teacher_layers import teacher_params, teacher_widths
from stages.settings.budgets import parse_budget
from stages.settings.groups import GROUPS
from stages.settings.students import cells
from tests.helpers.params import SMOKE, changed
from tools.pocket import pocket_params


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
        widths = teacher_widths(dict.fromkeys(boxes, 0.5), boxes, multiple=16, names=[*boxes])
        params = teacher_params(widths, net="fast")
        assert found["teachers"].params == found["label"].params == params
    else:
        box = SMOKE["rows" if section == "students" else "hard_rows"]["conv2"]["boxes"]["180k"]
        made = plan("conv2", parse_budget("180k"), [0.5, 0.5], box, multiple=16)
        assert found[f"{section} conv2 180k"].params == made.params


def test_cost_counts_every_cell_of_the_paper() -> None:
    found, stored = jobs(YAML(typ="safe").load(compose("paper")))
    assert len(found) == 2 + 36 + 4
    assert stored == 160 * 40000 * (3072 + 4 + 2 + 18 + 40)
    assert next(j for j in found if j.name == "teachers").count == 129


PARAMS = pocket_params(
    {
        "teachers_2014": {"rows": ["cnn-2014"], "budgets": ["60k"], "members": 2},
        "students_2014": {"rows": ["snn-2014"], "budgets": ["180k"]},
        "hard_rows.cnn-2014.boxes": {"60k": [[4, 6]]},
        "rows.snn-2014.boxes": {"180k": [[4, 6], [8, 16]]},
        "ablations": {"rows": ["conv2-dropout"], "budgets": ["60k"]},
        "students.rows": ["mlp2", "conv1", "conv2"],
    }
)


def test_every_stage_with_cells_has_a_line() -> None:
    assert {facts.section for facts in GROUPS.values()} <= {line.stage for line in LINES}
    assert len({line.name for line in LINES}) == len(LINES)


def test_every_cell_is_in_one_part() -> None:
    works, _ = jobs(PARAMS)
    assert [work.cell for work in works if work.cell] == list(cells(PARAMS))
    listed = Counter(work.name for part in parts(PARAMS, works) for work in part.jobs)
    assert listed == Counter(work.name for work in works)


def test_what_each_stage_reads_by_hand() -> None:
    """Bytes of one image and of its logits: 32 x 32 x 3 + 4 + 2 + 18, and 10 floats."""
    works, stored = jobs(PARAMS)
    by_name = {part.name: part for part in parts(PARAMS, works)}
    epochs = PARAMS["augment"]["epochs"]
    train = PARAMS["prepare"]["train"]
    image = 32 * 32 * 3 + 24
    logits = 40

    assert stored == epochs * train * (image + logits)
    assert by_name["augment"].written == by_name["label"].read == epochs * train * image
    assert by_name["label"].written == epochs * train * logits

    for name in ("students conv", "students mlp", "ablations", "students_2014"):
        images = sum(work.images * work.count for work in by_name[name].jobs)
        assert by_name[name].read == images * (image + logits) > 0, name

    for name in ("hard", "teachers_2014"):
        images = sum(work.images * work.count for work in by_name[name].jobs)
        assert by_name[name].read == images * image > 0, name
    assert [name for name, part in by_name.items() if part.views] == ["teachers", "augment"]


def test_nets_of_files_have_no_cost_that_is_known() -> None:
    """They are not trained here, and what they take to label shows when they run."""
    works, stored = jobs({**SMOKE, "ensemble": {"members": 1, "source": "files"}})
    plain, same = jobs(SMOKE)
    left_out = {work.name for work in plain} - {work.name for work in works}
    assert left_out == {"teachers", "label"} and stored == same
