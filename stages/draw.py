"""draw: metrics -> plots/ (Figure 1, claims, ablations, fidelity, further test sets, samples, ...).

Reads what tabulate and assess wrote, the trial tables of the cells that params.yaml lists, and
data/samples. Figure 1 has the form of the paper's: the mean of the five best trials of a cell,
dashed lines at the best and the fifth, short lines for hard labels at their budget, a log scale of
parameters (Urban et al. 2017, Figure 1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from stages.report.cells import CellResult, families, read_cells, read_ensemble, read_teachers
from stages.report.extra import COLUMNS, read_extra_table
from stages.report.figures import outputs
from stages.report.figures.ablations import ablations
from stages.report.figures.claims import claims
from stages.report.figures.extra import extra
from stages.report.figures.figure1 import figure1
from stages.report.figures.samples import augmentation
from stages.report.figures.searches import sweeps
from stages.report.figures.theme import save
from stages.report.tables import teacher_depth
from stages.runtime import entry
from stages.settings import results
from stages.settings.groups import CellName
from stages.settings.prepare import OWN, prepare
from stages.settings.read import read_params
from stages.settings.transfer import augment, ensemble
from stages.store.tensors import read_tensors

METRICS = Path("metrics")
SAMPLES = Path("data/samples/augmented.safetensors")
OUT = Path("plots")


def searches(cells: Mapping[CellName, CellResult]) -> dict[str, dict[str, pd.DataFrame]]:
    """Trial tables of all searches: panel -> line -> table."""
    panels: dict[str, dict[str, pd.DataFrame]] = {}
    found = read_teachers(METRICS)
    if found is not None:
        depth = teacher_depth(found[0]["widths"].dropna().iloc[0])
        panels["teachers"] = {depth: found[0]}

    for name, cell in cells.items():
        heading = f"{name.group.removesuffix('_2014')} {name.row}"
        panel = panels.setdefault(name.row if name.group == "ablation" else heading, {})
        panel[name.budget] = cell.trials

    return panels


def assessed(families: Mapping[str, str], where: str) -> dict[str, Figure]:
    """The figures of what assess wrote, by name."""
    fidelity = pd.read_csv(METRICS / "fidelity.csv").fillna({"row": "", "budget": ""})
    curves = pd.read_csv(METRICS / "calibration.csv")

    # a class may be called NA, or 01
    words = {"true": str, "predicted": str}
    confusion = pd.read_csv(METRICS / "confusion.csv", dtype=words, keep_default_na=False)

    names = zip(fidelity.target, fidelity.row, fidelity.budget, strict=True)
    fidelity["net"] = [" ".join(filter(None, parts)) for parts in names]
    calibrated = fidelity.set_index("net").loc[list(dict.fromkeys(curves.net))].reset_index()
    students = fidelity[fidelity.target.isin(["mimic", "hard"])]
    classes = list(dict.fromkeys(confusion.true))

    return {
        "claims": claims(json.loads((METRICS / "claims.json").read_text()), where),
        "fidelity": outputs.fidelity(students, families, where),
        "confusion": outputs.confusions(confusion, classes, where),
        "calibration": outputs.calibration(curves, calibrated, where),
    }


def varied(params: dict[str, Any], families: Mapping[str, str], where: str) -> Figure:
    """The figure of the ablations."""
    frame = pd.read_csv(METRICS / "ablations.csv", dtype={"number": "Int64"})
    wholes = {
        "transfer epochs": augment(params).epochs,
        "members of the ensemble": ensemble(params).members,
    }
    return ablations(frame, wholes, families, where)


def further(params: dict[str, Any], where: str) -> Figure:
    """The figure of further test sets."""
    listed = prepare(params).extra_tests
    frame = read_extra_table(METRICS) if listed else pd.DataFrame(columns=COLUMNS)
    return extra(frame, OWN, where)


def write_all(figures: Mapping[str, Figure]) -> None:
    """Every figure by the name of its file."""
    for name, figure in figures.items():
        save(figure, OUT / name)
    plt.close("all")


def main() -> None:
    """Run the stage."""
    params = read_params()
    count = results.draw(params).figure_rows
    where = f"{results.data_name(params)}, {results.scale(params)} scale"

    cells = read_cells(METRICS, params)
    of_rows = families(cell for name, cell in cells.items() if name.group in ("mimic", "hard"))
    numbers = pd.read_csv(METRICS / "figure1.csv")
    accuracy = read_ensemble(METRICS / "ensemble.json")["test_accuracy"]
    samples, _ = read_tensors(SAMPLES)

    first = figure1(numbers, of_rows, accuracy, where)
    figures = {
        "figure1.svg": first,
        "figure1.png": first,
        "sweeps.png": sweeps(searches(cells), where),
        "augmentation.png": augmentation(
            samples["originals"][:count], samples["views"][:count], where
        ),
        "ablations.png": varied(params, of_rows, where),
        "extra.png": further(params, where),
    }

    figures |= {f"{name}.png": figure for name, figure in assessed(of_rows, where).items()}

    write_all(figures)
    print(f"draw: {', '.join(sorted(path.name for path in OUT.glob('*.*g')))} in {OUT}/")


if __name__ == "__main__":
    entry.run(main)
