"""tables: the columns of a sweep's table."""

from __future__ import annotations

import csv
from pathlib import Path

from stages.trials.columns import TABLE_COLUMNS
from stages.trials.tables import write_table


def test_table_columns_and_best_so_far(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    errors = [None, 0.5, 0.6, None, 0.25]
    rows = [
        {
            "trial": i,
            "validation_error": e,
            "test_accuracy": None,
            "widths": [3, i],
            "why": None,
            "spare": 1,
        }
        for i, e in enumerate(errors)
    ]
    write_table(path, rows, ("widths", "why", "lr"))
    with path.open(newline="") as file:
        table = list(csv.reader(file))
    assert tuple(table[0]) == (*TABLE_COLUMNS, "widths", "why", "lr")
    assert [line[1] for line in table[1:]] == ["", "0.5", "0.6", "", "0.25"]
    assert [line[2] for line in table[1:]] == ["", "0.5", "0.5", "0.5", "0.25"]
    assert table[5] == ["4", "0.25", "0.25", "", "3 4", "", ""]
    assert b"\r" not in path.read_bytes()
