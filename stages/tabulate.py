"""tabulate: the metrics of all sweeps -> metrics/ (Table 1, Table 2, the numbers of Figure 1).

Reads metrics/teachers.*, metrics/ensemble.json and the cells that params.yaml lists, and no others:
a row that was taken out leaves its files behind. Writes metrics/tables.json (row -> budget -> test
accuracy in per cent), Table 1 and Table 2 as CSV and Markdown with the paper's values (Urban et al.
2017), metrics/figure1.csv, and what was trained again from other seeds beside the best of its
sweep.
"""

from __future__ import annotations

import zlib
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.report import retrained
from stages.report.cells import CellResult, read_cell, read_ensemble, read_sweep
from stages.report.tables import markdown1, markdown2, nested, table1, table2
from stages.runtime import entry
from stages.settings import common, results
from stages.settings.groups import FOLDER, SECTION, Target
from stages.settings.read import read_params
from stages.settings.students import matrix
from stages.settings.sweeps import REPORTED_TRIALS
from stages.settings.transfer import ensemble
from stages.store.atomic import write_json, write_text

METRICS = Path("metrics")
RETRAINED = zlib.crc32(b"retrained")
"""The bootstrap's own stream of the root seed."""


def figure1(cells: list[CellResult]) -> pd.DataFrame:
    """Figure 1's numbers: of each cell, the mean, best and last test accuracy of the trials shown.

    The trials shown are the five best by validation error (section 3), or all where there are
    fewer; "best" and "fifth" follow that order, not the test accuracy.
    """
    rows = []
    for cell in cells:
        shown = cell.shown["test_accuracy"]
        rows.append(
            {
                "row": cell.row,
                "budget": cell.budget,
                "params": cell.params,
                "trials_shown": len(shown),
                "mean": round(shown.mean(), 6),
                "best": shown.iloc[0],
                "fifth": shown.iloc[-1],
            }
        )
    return pd.DataFrame(rows)


def read_cells(params: dict[str, Any], target: Target) -> list[CellResult]:
    """The listed cells of a target, rows first."""
    section = matrix(params, target)
    return [
        read_cell(METRICS / FOLDER[target], row, budget)
        for row, budget in product(section.rows, section.budgets)
    ]


def main() -> None:
    """Run the stage."""
    params = read_params()
    settings, scale = results.tabulate(params), results.scale(params)
    members = ensemble(params).members
    found: dict[str, list[CellResult]] = {target: read_cells(params, target) for target in SECTION}
    cells, controls = found["mimic"], found["hard"]
    trials, best = read_sweep(METRICS / "teachers")
    facts = read_ensemble(METRICS / "ensemble.json")

    listed = [*cells, *found["student_2014"]], [*controls, *found["teacher_2014"]]
    write_json(
        METRICS / "tables.json", nested([*listed[0], *found["ablation"]], listed[1], best, facts)
    )
    where = f"{settings.data}, {scale} scale"
    first = table1(controls, trials, facts, members, settings.comparable, found["teacher_2014"])
    second = table2(listed[0], settings.comparable)
    write_text(METRICS / "table1.csv", first.to_csv(index=False))
    write_text(METRICS / "table2.csv", second.to_csv(index=False))
    caption1 = (
        "**Table 1.** Test accuracy of nets trained on the true labels: of each search the best trial by validation "
        f"error, of the teachers' search the best three ({where})."
    )
    caption2 = (
        f"**Table 2.** Test accuracy of nets trained to mimic the ensemble of {members}, the best trial of each by "
        f"validation error; Figure 1's solid lines are means of up to {REPORTED_TRIALS} trials ({where})."
    )
    write_text(METRICS / "table1.md", markdown1(first, caption1, settings.comparable))
    write_text(METRICS / "table2.md", markdown2(second, caption2, settings.comparable))
    rng = np.random.default_rng((common.seed(params), RETRAINED))
    bias = retrained.selection_bias([cell for group in found.values() for cell in group], rng)
    frame = retrained.retrained(found)
    caption3 = f"**Best of sweep and retrained.** Test accuracy of chosen hyperparameters, trained again ({where})."
    write_text(METRICS / "retrained.csv", frame.to_csv(index=False))
    write_text(METRICS / "retrained.md", retrained.to_markdown(frame, bias, caption3))
    both = [figure1(cells).assign(target="mimic"), figure1(controls).assign(target="hard")]
    write_text(METRICS / "figure1.csv", pd.concat(both).to_csv(index=False))
    fewest = min(len(cell.shown) for cell in cells)
    if fewest < REPORTED_TRIALS:
        print(
            f"tabulate: Figure 1 wants {REPORTED_TRIALS} trials a cell, the fewest here are {fewest}"
        )
    print(f"tabulate: Table 1, Table 2 and the numbers of Figure 1 in {METRICS}/")


if __name__ == "__main__":
    entry.run(main)
