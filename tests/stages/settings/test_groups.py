"""One spelling of a cell: as DVC, files, work folders and readers call it."""

from __future__ import annotations

import doctest
from typing import get_args

import pytest

from stages.settings import groups
from stages.settings.groups import GROUPS, CellName, Group
from stages.settings.students import cell_at, cells
from tools.pocket import pocket_params

PARAMS = pocket_params(
    {
        "teachers_2014": {"rows": ["cnn-2014"], "budgets": ["60k"], "members": 2},
        "students_2014": {"rows": ["snn-2014"], "budgets": ["180k"]},
        "ablations": {"rows": ["conv2-dropout"], "budgets": ["60k"]},
    }
)
TEACHER = CellName("teacher_2014", "cnn-2014", "60k")
STUDENT = CellName("student_2014", "snn-2014", "180k", TEACHER)
VARIANT = CellName("ablation", "conv2-dropout", "60k")


def test_the_examples_are_true() -> None:
    result = doctest.testmod(groups)
    assert result.attempted > 0 and result.failed == 0


def test_every_group_has_its_facts() -> None:
    assert tuple(GROUPS) == get_args(Group)
    assert len({facts.section for facts in GROUPS.values()}) == len(GROUPS)


def test_cells_come_by_group_row_and_budget() -> None:
    names = list(cells(PARAMS))
    assert names == [
        CellName("mimic", "mlp2", "60k"),
        CellName("mimic", "conv1", "60k"),
        CellName("hard", "conv2", "180k"),
        VARIANT,
        TEACHER,
        STUDENT,
    ]
    assert list(cells(PARAMS, "ablation")) == [VARIANT]
    for spelled in ("dvc", "recorded", "work", "files", "title", "words"):
        assert len({getattr(name, spelled) for name in names}) == len(names), spelled


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ("students/mlp2-60k", CellName("mimic", "mlp2", "60k")),
        ("students/conv2-dropout-60k", VARIANT),
        ("students/conv2-dropout-1M", CellName("ablation", "conv2-dropout", "1M")),
        ("students/snn-2014-180k", STUDENT),
        ("students/cnn-2014-60k", CellName("mimic", "cnn-2014", "60k")),
        ("hard/cnn-2014-60k", TEACHER),
        ("hard/conv9-31.6M", CellName("hard", "conv9", "31.6M")),
    ],
)
def test_files_tell_their_cell(files: str, name: CellName) -> None:
    """Also those of a cell that params.yaml no longer lists."""
    assert cell_at(PARAMS, files) == name and name.files == files


@pytest.mark.parametrize("files", ["teachers/003", "students", "students/conv2", "ablations/a-1M"])
def test_other_folders_are_no_cells(files: str) -> None:
    with pytest.raises(ValueError, match=f"'{files}' is not a cell: allowed are students/"):
        cell_at(PARAMS, files)
