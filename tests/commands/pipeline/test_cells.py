"""cells: what matrix says of cells, by their names in DVC."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands.pipeline.cells import best, costs
from commands.sizing.jobs import jobs
from stages.settings.students import cells
from tools.pocket import pocket_params

PARAMS = pocket_params(
    {
        "teachers_2014": {"rows": ["cnn-2014"], "budgets": ["60k"], "members": 2},
        "students_2014": {"rows": ["snn-2014", "snn"], "budgets": ["180k"]},
        "hard_rows.cnn-2014.boxes": {"60k": [[4, 6]]},
        "rows.snn-2014.boxes": {"180k": [[4, 6], [8, 16]]},
        "rows.snn": {"net": "mlp2", "ratios": [0.1, 1.0]},
    }
)
LONG = "students_2014@snn-2014-180k-cnn-2014-60k"
SHORT = "students_2014@snn-180k-cnn-2014-60k"


def test_costs_are_those_of_the_cell_itself() -> None:
    """Also where the name of one cell begins as that of another does."""
    names = [name.dvc for name in cells(PARAMS)]
    flops = {job.cell.dvc: job.flops for job in jobs(PARAMS)[0] if job.cell}
    assert LONG in names and SHORT in names and flops[LONG] != flops[SHORT]
    assert costs(PARAMS, names) == flops
    assert costs(PARAMS, ["students@gone-1M"]) == {"students@gone-1M": 0.0}


def test_the_best_is_that_of_the_cell_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "metrics/students/snn-2014-180k.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"validation_accuracy": 0.5, "test_accuracy": 0.25}))
    assert best(PARAMS, LONG) == ": validation 50.0 %, test 25.0 %"
    assert best(PARAMS, SHORT) == best(PARAMS, "students@gone-1M") == ""
