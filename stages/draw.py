"""draw: metrics -> plots/ (Figure 1, claims, fidelity, calibration, confusions, sweeps,
augmentation samples).

Reads what tabulate and assess wrote, the trial tables of the cells that params.yaml lists, and
data/samples. Figure 1 has the form of the paper's: the mean of the five best trials of a cell,
dashed lines at the best and the fifth, short lines for hard labels at their budget, a log scale of
parameters (Urban et al. 2017, Figure 1).
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from stages.report.cells import read_ensemble, read_sweep
from stages.report.figures import outputs as pictures
from stages.report.figures.ablations import ablations
from stages.report.figures.claims import claims
from stages.report.figures.figure1 import figure1
from stages.report.figures.samples import augmentation
from stages.report.figures.searches import sweeps
from stages.report.figures.style import save
from stages.report.tables import teacher_depth
from stages.runtime import entry
from stages.settings import results
from stages.settings.groups import FOLDER
from stages.settings.read import read_params
from stages.settings.students import matrix
from stages.settings.transfer import augment, ensemble
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
    trials = read_sweep(METRICS / "teachers")[0]
    tables = {"teachers": {teacher_depth(trials["widths"].dropna().iloc[0]): trials}}
    for target, folder in FOLDER.items():
        section = matrix(params, target)
        for row in section.rows:
            cells = {b: read_sweep(METRICS / folder / f"{row}-{b}")[0] for b in section.budgets}
            tables[row if target == "ablation" else f"{target.removesuffix('_2014')} {row}"] = cells
    save(sweeps(tables, where), OUT / "sweeps.png")
    arrays, _ = read_tensors(SAMPLES)
    save(
        augmentation(arrays["originals"][:count], arrays["views"][:count], where),
        OUT / "augmentation.png",
    )
    wholes = {
        "transfer epochs": augment(params).epochs,
        "members of the ensemble": ensemble(params).members,
    }
    varied = pd.read_csv(METRICS / "ablations.csv", dtype={"number": "Int64"})
    save(ablations(varied, wholes, where), OUT / "ablations.png")
    for name, drawn in assessed(where).items():
        save(drawn, OUT / f"{name}.png")
    plt.close("all")
    print(f"draw: {', '.join(sorted(path.name for path in OUT.glob('*.*g')))} in {OUT}/")


def assessed(where: str) -> dict[str, Figure]:
    """The figures of what assess wrote, by name."""
    tables = {name: pd.read_csv(METRICS / f"{name}.csv") for name in ("fidelity", "calibration")}
    words = {"true": str, "predicted": str}  # a class may be called NA, or 01
    confusion = pd.read_csv(METRICS / "confusion.csv", dtype=words, keep_default_na=False)
    facts = tables["fidelity"].fillna({"row": "", "budget": ""})
    facts["net"] = [
        " ".join(filter(None, names))
        for names in zip(facts.target, facts.row, facts.budget, strict=True)
    ]
    shown = facts.set_index("net").loc[list(dict.fromkeys(tables["calibration"].net))].reset_index()
    return {
        "claims": claims(json.loads((METRICS / "claims.json").read_text()), where),
        "fidelity": pictures.fidelity(facts[facts.target.isin(["mimic", "hard"])], where),
        "confusion": pictures.confusions(confusion, list(dict.fromkeys(confusion.true)), where),
        "calibration": pictures.calibration(tables["calibration"], shown, where),
    }


if __name__ == "__main__":
    entry.run(main)
