"""What the report page shows, section by section, made of what the door page has read: templates'
values and charts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stages.report.cells import CellResult
from stages.report.page import charts, claims, confusion, images, summary, tables
from stages.report.page import searches as sweeps
from stages.report.page.figure1 import chosen, figure1
from stages.report.page.text import counted, percent, whole

CARDS = 24
"""Test images that are shown with what nets believe of them."""
TEACHERS = ("teachers", "", "")

Key = tuple[str, str, str]
"""Target, row, budget."""
Part = tuple[dict[str, Any], dict[str, list[Any]]]
"""Values of the templates, and charts by id, each a list of variants."""


@dataclass(frozen=True)
class Inputs:
    """All that the page shows.

    Attributes:
        data, scale: names of the data set and of the scale.
        comparable: whether the data are the paper's.
        members, epochs, training, shown: of the ensemble; of the transfer set; training examples;
        rows of samples.
        params: sections of params.yaml to be shown.
        stages: target -> its stage, as params.yaml and metrics/environment.json call it.
        cells: the teachers' search under TEACHERS, then all cells.
        logs: hyperparameters that each search draws on a log scale.
        accuracy: of the ensemble on the test images, a fraction.
        tables: of metrics/, by name.
        claims, environment: what these files say.
        inputs, labels: test images uint8 (n, s, s, 3) or vectors float32 (n, ...), and int64 (n,).
        classes: names.
        nets: logits (n, classes) of the ensemble and of the best mimic net.
        samples: originals and views of training examples.
    """

    data: str
    scale: str
    comparable: bool
    members: int
    epochs: int
    training: int
    shown: int
    params: Mapping[str, Any]
    stages: Mapping[str, str]
    cells: Mapping[Key, CellResult]
    logs: Mapping[Key, set[str]]
    accuracy: float
    tables: Mapping[str, pd.DataFrame]
    claims: Mapping[str, Any]
    environment: list[dict[str, Any]]
    inputs: np.ndarray
    labels: np.ndarray
    classes: list[str]
    nets: tuple[np.ndarray, np.ndarray]
    samples: tuple[np.ndarray, np.ndarray]

    @property
    def mimic(self) -> list[CellResult]:
        """The mimic cells."""
        return [cell for (target, _, _), cell in self.cells.items() if target == "mimic"]

    @property
    def best(self) -> Key:
        """The mimic cell of lowest validation error."""
        cell = summary.best(self.mimic)
        return "mimic", cell.row, cell.budget

    @property
    def current(self) -> list[str]:
        """This run's stages, as metrics/environment.json names them."""
        cells = [
            f"{self.stages[target]}@{row}-{budget}" for target, row, budget in self.cells if row
        ]
        return ["teachers", "label", *cells]


def name_of(key: Key) -> str:
    """mimic conv3 180k."""
    return " ".join(filter(None, key))


def head(found: Inputs) -> Part:
    """Title, facts, summary."""
    vectors = found.inputs.dtype == np.float32
    tested = counted(len(found.labels), "test vector" if vectors else "test image")
    sentences = summary.summary(
        found.data, tested, found.members, found.accuracy, found.mimic, found.claims
    )
    return {
        "title": found.data,
        "scale": found.scale,
        "comparable": found.comparable,
        "members": found.members,
        "vectors": vectors,
        "images": len(found.labels),
        "class_count": len(found.classes),
        "cell_count": len(found.cells) - 1,
        "best": summary.named(found.cells[found.best]),
        "summary": sentences,
        "provenance": summary.provenance(found.environment, found.current),
    }, {}


def first_figure(found: Inputs) -> Part:
    """Figure 1 with a panel a cell.

    Raises:
        ValueError: its numbers are of other cells than those of params.yaml.
    """
    numbers = found.tables["figure1"]
    cells = {key: cell for key, cell in found.cells.items() if key[0] in ("mimic", "hard")}
    listed = set(zip(numbers["target"], numbers["row"], numbers["budget"], strict=True))
    if other := sorted(listed ^ set(cells)):
        raise ValueError(
            f"metrics/figure1.csv and params.yaml differ in the cell {name_of(other[0])}: run 'dvc repro tabulate'"
        )
    shown = [{"name": name_of(key), "facts": chosen(cell)} for key, cell in cells.items()]
    parts = {
        "cells": shown,
        "cell_first": list(cells).index(found.best),
        "numbers": tables.numbers(numbers),
    }
    return parts, {"figure1": [figure1(numbers, cells, found.accuracy, found.members)]}


def judged(found: Inputs) -> Part:
    """Table 1, Table 2, claims, retrained nets, ablations."""
    varied, again = found.tables["ablations"], found.tables["retrained"]
    wholes = {"transfer epochs": found.epochs, "members of the ensemble": found.members}
    series = charts.varied(varied, wholes)
    return {
        "table1": tables.first(found.tables["table1"], found.comparable),
        "table2": tables.second(found.tables["table2"], found.comparable),
        "claims": claims.claims(found.claims),
        "level": percent(found.claims["level"], 0),
        "again": None if again.empty else claims.again(again),
        "ablations": None if varied.empty else claims.variants(varied),
        "measures": list(series),
    }, {f"varied-{i}": [chart] for i, chart in enumerate(series.values())}


def searches(found: Inputs) -> Part:
    """Every search, and charts with one variant a search."""
    drawn: dict[str, list[Any]] = {"course": [], "importance": [], "parallel": []}
    shown = []
    for key, cell in found.cells.items():
        rhos, done = sweeps.importance(cell.trials), len(sweeps.finished(cell.trials))
        drawn["course"].append(sweeps.course(cell.trials))
        drawn["importance"].append(sweeps.importance_chart(rhos) if rhos else None)
        drawn["parallel"].append(sweeps.parallel(cell.trials, found.logs[key]))
        best, (columns, lines) = cell.shown.iloc[0], sweeps.trial_lines(cell.trials)
        shown.append(
            {
                "name": name_of(key),
                "head": columns,
                "lines": lines,
                "trials": whole(len(lines)),
                "done": done,
                "failed": whole(len(lines) - done),
                "spark": sweeps.sparkline(cell.trials),
                "error": percent(best["validation_error"], 2),
                "at": whole(best["trial"] + 1),
                "test": percent(best["test_accuracy"], 2),
                "spread": f"{(done - 1) ** -0.5:.2f}" if done > 1 else "",
            }
        )
    table = sweeps.rho_lines([(name_of(key), cell.trials) for key, cell in found.cells.items()])
    return {"searches": shown, "rhos": table, "fewest": sweeps.FEWEST}, drawn


def outputs(found: Inputs) -> Part:
    """Fidelity, calibration and confusions.

    Raises:
        ValueError: the tables are of different nets.
    """
    table, curves, confused = (
        found.tables[name] for name in ("fidelity", "calibration", "confusion")
    )
    table = table.assign(
        net=[
            name_of(key) for key in zip(table["target"], table["row"], table["budget"], strict=True)
        ]
    )
    drawn = list(dict.fromkeys(curves["net"]))
    if unknown := [net for net in drawn if net not in set(table["net"])]:
        raise ValueError(
            f"metrics/calibration.csv has {unknown[0]!r}, fidelity.csv has not: run 'dvc repro --force assess'"
        )
    nets, shown = list(dict.fromkeys(confused["net"])), []
    for net in nets:
        lines = confusion.of_net(confused, net, found.classes)
        drawing = {
            "lines": confusion.frequent(lines, found.classes),
            "chart": confusion.matrix(lines, found.classes),
        }
        shown.append({"name": net, "accuracy": percent(confusion.accuracy(lines), 2), **drawing})
    best = name_of(found.best)
    parts = {
        "fidelity": tables.fidelity(table),
        "calibration": tables.calibration(curves),
        "confusions": shown,
        "confusion_first": nets.index(best) if best in nets else 0,
        "most_classes": confusion.MOST_CLASSES,
    }
    agreement, divergence = charts.fidelity(table[table["target"].isin(["mimic", "hard"])])
    reliability = charts.calibration(curves, table.set_index("net").loc[drawn].reset_index())
    both = {"agreement": [agreement], "divergence": [divergence], "calibration": [reliability]}
    return parts, both | {"confusion": [entry["chart"] for entry in shown]}


def pictures(found: Inputs) -> Part:
    """Augmentation samples, and test images with what two nets believe of them."""
    originals, views = (array[: found.shown] for array in found.samples)
    ensemble, student = found.nets
    alone, both = images.mistaken(ensemble, student, found.labels, CARDS)
    cards = [
        images.gallery(kind, found.inputs, found.labels, found.nets, found.classes)
        for kind in (alone, both)
    ]
    wrong = whole((student.argmax(1) != found.labels).sum())
    return {
        "samples": images.samples(originals, views),
        "epochs": found.epochs,
        "alone": cards[0],
        "both": cards[1],
        "wrong": wrong,
    }, {}


def provenance(found: Inputs) -> Part:
    """Cost, environment, parameters."""
    stages: dict[str, list[CellResult]] = {}
    for (target, _, _), cell in found.cells.items():
        stages.setdefault(found.stages.get(target, target), []).append(cell)
    return {
        "cost": tables.cost(stages, found.training),
        "training": whole(found.training),
        "environments": tables.environments(found.environment, found.current),
        "parameters": tables.parameters(found.params),
    }, {}


SECTIONS: tuple[Callable[[Inputs], Part], ...] = (
    head,
    first_figure,
    judged,
    searches,
    outputs,
    pictures,
    provenance,
)


def compose(found: Inputs) -> Part:
    """Everything."""
    parts: dict[str, Any] = {}
    drawn: dict[str, list[Any]] = {}
    for section in SECTIONS:
        more = section(found)
        parts |= more[0]
        drawn |= more[1]
    return parts, drawn
