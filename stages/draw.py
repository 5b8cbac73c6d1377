"""draw: metrics -> plots/ (Figure 1, every sweep's best so far, augmentation samples).

Reads metrics/figure1.csv, the trial tables of the cells that params.yaml lists, and data/samples. Figure 1 has the
form of the paper's: the mean of the five best trials of a cell, dashed lines at the best and the fifth, short lines
for hard labels at their budget, a log scale of parameters (Urban et al. 2017, Figure 1).
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from stages.report.cells import read_ensemble, read_sweep
from stages.report.figures import augmentation, figure1, save, sweeps
from stages.settings import results
from stages.settings.read import read_params
from stages.settings.students import matrix
from stages.store import door
from stages.store.tensors import read_tensors

METRICS = Path("metrics")
SAMPLES = Path("data/samples/augmented.safetensors")
OUT = Path("plots")


def main() -> None:
    """Run the stage."""
    params = read_params()
    count = results.draw(params).figure_rows
    where = f"{results.tabulate(params).data}, {results.scale(params)} scale"
    accuracy = read_ensemble(METRICS / "ensemble.json")["test_accuracy"]
    figure = figure1(pd.read_csv(METRICS / "figure1.csv"), accuracy, where)
    save(figure, OUT / "figure1.svg")
    save(figure, OUT / "figure1.png")
    tables = {"teachers": {"8 conv. layers": read_sweep(METRICS / "teachers")[0]}}
    for stage, target in (("students", "mimic"), ("hard", "hard")):
        section = matrix(params, target)
        for row in section.rows:
            cells = {b: read_sweep(METRICS / stage / f"{row}-{b}")[0] for b in section.budgets}
            tables[f"{target} {row}"] = cells
    save(sweeps(tables, where), OUT / "sweeps.png")
    arrays, _ = read_tensors(SAMPLES)
    save(augmentation(arrays["originals"][:count], arrays["views"][:count], where), OUT / "augmentation.png")
    plt.close("all")
    print(f"draw: {OUT}/figure1.svg, figure1.png, sweeps.png, augmentation.png")


if __name__ == "__main__":
    door.run(main)
