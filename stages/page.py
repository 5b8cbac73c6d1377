"""page: everything that was found -> plots/report.html, one file that loads nothing from elsewhere;
prints the tables.

Reads what tabulate and assess wrote, the trial tables of the cells that params.yaml lists,
metrics/environment.json, data/prepared, data/samples, and the outputs of the ensemble and of the
best mimic net on the test images. The last are a dependency by the hashes in the trial tables, as
those of assess are. Equal inputs give the same bytes. Table 1 and Table 2 are printed here and not
where they are made: the last stage also runs in a clone that comes with metrics/.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from stages.report.cells import CellResult, read_cell, read_ensemble, read_sweep
from stages.report.page.html import render
from stages.report.page.read import (
    COLUMNS,
    read_claims,
    read_environment,
    read_markdown,
    read_table,
)
from stages.report.page.sections import TEACHERS, Inputs, Key, compose
from stages.report.page.summary import best
from stages.runtime import entry
from stages.settings import results
from stages.settings.groups import FOLDER, SECTION
from stages.settings.prepare import prepare
from stages.settings.read import SECTIONS, read_params
from stages.settings.students import matrix, row
from stages.settings.sweeps import Range
from stages.settings.teachers import teachers
from stages.settings.transfer import augment, ensemble
from stages.store.atomic import write_text
from stages.store.predictions import fingerprint, mean_logits, read_test_logits
from stages.store.prepared import read_test
from stages.store.tensors import read_tensors

METRICS, DATA, OUT = Path("metrics"), Path("data"), Path("plots/report.html")
UNTRACKED = "execution"
"""The section of params.yaml that no stage tracks, where and how trials run: it is not shown."""


def read_cells(params: dict[str, Any]) -> dict[Key, CellResult]:
    """The teachers' search, then all cells that params.yaml lists."""
    trials, facts = read_sweep(METRICS / "teachers")
    cells = {TEACHERS: CellResult("teachers", "", facts["test_accuracy"], trials, facts=facts)}
    for target in SECTION:
        section = matrix(params, target)
        for name, budget in product(section.rows, section.budgets):
            cells[target, name, budget] = read_cell(METRICS / FOLDER[target], name, budget)
    return cells


def log_scales(params: dict[str, Any]) -> dict[Key, set[str]]:
    """Of every search the hyperparameters that it draws on a log scale."""
    spaces = {TEACHERS: teachers(params, prepare(params).inputs).space}
    for target in SECTION:
        section = matrix(params, target)
        for name, budget in product(section.rows, section.budgets):
            spaces[target, name, budget] = {**section.space, **row(params, target, name).space}
    return {
        key: {name for name, item in space.items() if isinstance(item, Range) and item.log}
        for key, space in spaces.items()
    }


def outputs(
    cell: CellResult, labels: np.ndarray, classes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, classes) of the ensemble and of a mimic cell's best trial on the test images.

    Raises:
        FileNotFoundError, ValueError: they are not there, or others than the tables say.
    """
    path = DATA / FOLDER["mimic"] / f"{cell.row}-{cell.budget}" / "test.safetensors"
    trial = cell.shown.iloc[0]
    student = read_test_logits(path).get("trials", {}).get(int(trial["trial"]))
    if student is None or fingerprint(student) != trial["test_sha256"]:
        raise ValueError(
            f"{path} holds other outputs than {METRICS / FOLDER['mimic']}/{cell.row}-{cell.budget}.csv says: bring "
            f"both from one run, with 'dvc checkout {path.parent}' or 'dvc pull {path.parent}'"
        )
    members = read_test_logits(path := DATA / "ensemble/test.safetensors").get("members")
    if not members or {net.shape for net in (*members.values(), student)} != {
        (len(labels), len(classes))
    }:
        raise ValueError(
            f"{path} has no outputs for the {len(labels)} test images and {len(classes)} classes of data/prepared: "
            "run 'dvc repro --force ensemble'"
        )
    return mean_logits(members), student


def read_samples() -> tuple[np.ndarray, np.ndarray]:
    """Originals and views of training examples."""
    arrays, _ = read_tensors(path := DATA / "samples/augmented.safetensors")
    if set(arrays) != {"originals", "views"}:
        raise ValueError(f"{path} holds no samples: run 'dvc repro --force augment'")
    return arrays["originals"], arrays["views"]


def read(params: dict[str, Any]) -> Inputs:
    """Everything that the page shows."""
    cells = read_cells(params)
    inputs, labels, header = read_test(DATA / "prepared")
    top = best([cell for (target, _, _), cell in cells.items() if target == "mimic"])
    return Inputs(
        data=results.tabulate(params).data,
        scale=results.scale(params),
        comparable=results.tabulate(params).comparable,
        members=ensemble(params).members,
        epochs=augment(params).epochs,
        training=prepare(params).train,
        shown=results.draw(params).figure_rows,
        params={name: params[name] for name in SECTIONS if name != UNTRACKED},
        stages=dict(SECTION.items()),
        cells=cells,
        logs=log_scales(params),
        accuracy=read_ensemble(METRICS / "ensemble.json")["test_accuracy"],
        tables={name: read_table(METRICS, name) for name in COLUMNS},
        claims=read_claims(METRICS),
        environment=read_environment(METRICS),
        inputs=inputs,
        labels=labels,
        classes=header["classes"],
        nets=outputs(top, labels, header["classes"]),
        samples=read_samples(),
    )


def main() -> None:
    """Run the stage."""
    text = render(*compose(read(read_params())))
    tables = [read_markdown(METRICS, name) for name in ("table1", "table2")]
    write_text(OUT, text)
    print("\n".join(tables))
    print(f"page: {OUT}, {len(text.encode()) / 1e6:.1f} MB")


if __name__ == "__main__":
    entry.run(main)
