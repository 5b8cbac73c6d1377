"""page: all results -> plots/report.html, one file that loads nothing from elsewhere.

Reads what tabulate and assess wrote, the trial tables of the cells that params.yaml lists,
metrics/environment.json, data/prepared, data/samples, and the outputs of the ensemble and of the
best mimic net on the test images. The last are a dependency by the hashes in the trial tables, as
those of assess are. Equal inputs give the same bytes. Prints Table 1 and Table 2: here and not in
tabulate, since the last stage also runs in a clone that comes with metrics/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.report.cells import CellResult, origin_words, read_cells, read_ensemble, read_teachers
from stages.report.extra import COLUMNS as EXTRA
from stages.report.extra import read_extra_table
from stages.report.page.data import TEACHERS, PageData, PageExamples, PageSettings
from stages.report.page.dataset import first_of_classes
from stages.report.page.html import render
from stages.report.page.read import (
    COLUMNS,
    read_claims,
    read_environment,
    read_look,
    read_markdown,
    read_table,
)
from stages.report.page.sections import compose
from stages.report.page.summary import best
from stages.report.stored import best_outputs
from stages.runtime import entry
from stages.settings import results
from stages.settings.groups import CellName
from stages.settings.prepare import prepare
from stages.settings.read import SECTIONS, read_params
from stages.settings.students import cells, matrix, row
from stages.settings.sweeps import Range
from stages.settings.teachers import teachers
from stages.settings.transfer import augment, ensemble
from stages.store.atomic import write_text
from stages.store.ensemble_manifest import EnsembleManifest
from stages.store.predictions import mean_logits, read_test_logits
from stages.store.prepared import PreparedManifest, read_test, read_train
from stages.store.tensors import read_tensors

METRICS = Path("metrics")
DATA = Path("data")
OUT = Path("plots/report.html")
UNTRACKED = "execution"
"""The section of params.yaml that no stage tracks, where and how trials run: it is not shown."""


def teachers_search() -> CellResult | None:
    """The teachers' search; None where there was none."""
    found = read_teachers(METRICS)
    if found is None:
        return None

    trials, facts = found
    return CellResult("teachers", "", facts["test_accuracy"], trials, facts=facts)


def log_scales(params: dict[str, Any]) -> dict[str, set[str]]:
    """Name of a search -> the hyperparameters that it draws on a log scale."""
    spaces = {TEACHERS: teachers(params, prepare(params).inputs).space}
    for name in cells(params):
        section = matrix(params, name.group)
        spaces[name.words] = {**section.space, **row(params, name.group, name.row).space}

    return {
        search: {name for name, item in space.items() if isinstance(item, Range) and item.log}
        for search, space in spaces.items()
    }


def ensemble_outputs(shape: tuple[int, int], student: np.ndarray) -> np.ndarray:
    """Logits of the ensemble on the test images.

    Args:
        shape: test images and classes of data/prepared.
        student: logits that are shown beside them.

    Raises:
        FileNotFoundError, ValueError: they are missing, or of other images or classes.
    """
    path = DATA / "ensemble/test.safetensors"
    members = read_test_logits(path).get("members")
    if not members or {net.shape for net in (*members.values(), student)} != {shape}:
        raise ValueError(
            f"{path} has no outputs for the {shape[0]} test images and {shape[1]} classes of "
            "data/prepared: run 'dvc repro --force ensemble'"
        )

    return mean_logits(members, EnsembleManifest.read(path.parent).weights)


def read_samples() -> tuple[np.ndarray, np.ndarray]:
    """Originals and views of training examples."""
    path = DATA / "samples/augmented.safetensors"
    arrays, _ = read_tensors(path)
    if set(arrays) != {"originals", "views"}:
        raise ValueError(f"{path} holds no samples: run 'dvc repro --force augment'")
    return arrays["originals"], arrays["views"]


def read_examples(top: CellResult) -> PageExamples:
    """What the page shows of data/.

    Args:
        top: the best mimic cell.
    """
    inputs, labels, header = read_test(DATA / "prepared")
    classes = header["classes"]

    student = best_outputs(DATA, METRICS, CellName("mimic", top.row, top.budget), top)
    logits = ensemble_outputs((len(labels), len(classes)), student)

    originals, views = read_samples()

    return PageExamples(
        inputs=inputs,
        labels=labels,
        classes=classes,
        ensemble=logits,
        student=student,
        originals=originals,
        views=views,
        of_classes=first_of_classes(*read_train(DATA / "prepared")[:2], len(classes)),
    )


def read_settings(params: dict[str, Any]) -> PageSettings:
    """What the page shows of params.yaml."""
    return PageSettings(
        data=results.data_name(params),
        scale=results.scale(params),
        comparable=results.tabulate(params).comparable,
        members=ensemble(params).members,
        epochs=augment(params).epochs,
        training=PreparedManifest.read(DATA / "prepared").images["train"],
        samples=results.draw(params).figure_rows,
        sections={name: params[name] for name in SECTIONS if name != UNTRACKED},
    )


def read(params: dict[str, Any]) -> PageData:
    """Everything that the page shows."""
    searched = read_cells(METRICS, params)
    top = best([cell for name, cell in searched.items() if name.group == "mimic"])
    further = prepare(params).extra_tests
    of_ensemble = read_ensemble(METRICS / "ensemble.json")
    return PageData(
        settings=read_settings(params),
        teachers=teachers_search(),
        cells=searched,
        logs=log_scales(params),
        accuracy=of_ensemble["test_accuracy"],
        origin=origin_words(of_ensemble),
        tables={name: read_table(METRICS, name) for name in COLUMNS},
        claims=read_claims(METRICS),
        environment=read_environment(METRICS),
        look=read_look(METRICS),
        examples=read_examples(top),
        extra=read_extra_table(METRICS) if further else pd.DataFrame(columns=EXTRA),
    )


def main() -> None:
    """Run the stage."""
    page = compose(read(read_params()))
    text = render(page.values, page.charts)

    tables = [read_markdown(METRICS, name) for name in ("table1", "table2")]

    write_text(OUT, text)
    print("\n".join(tables))
    print(f"page: {OUT}, {len(text.encode()) / 1e6:.1f} MB")


if __name__ == "__main__":
    entry.run(main)
