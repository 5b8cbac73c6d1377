"""The sections of the report page: what the templates show and what the charts draw."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from stages.report.page import charts, claims, confusion, images, summary, tables
from stages.report.page import searches as search_charts
from stages.report.page.data import PageData, PagePart
from stages.report.page.dataset import dataset
from stages.report.page.extra import further
from stages.report.page.figure1 import chosen, figure1
from stages.report.page.text import counted, percent, whole
from stages.settings.groups import CellName
from stages.store import chance

CARDS = 24
"""Test images that are shown with what nets believe of them."""


def head(data: PageData) -> PagePart:
    """Title, facts, summary."""
    settings = data.settings
    vectors = data.examples.vectors
    count = len(data.examples.labels)

    tested = counted(count, "test vector" if vectors else "test image")
    sentences = summary.summary(
        settings.data, tested, settings.members, data.accuracy, data.mimic, data.claims
    )
    if data.origin:
        sentences.append(f"The members of the ensemble are {data.origin}.")
    if chance.at_chance(data.accuracy, data.examples.labels):
        compared = chance.words(data.accuracy, data.examples.labels)
        sentences.append(f"The ensemble is at chance: it is {compared}. It has nothing to teach.")

    return PagePart(
        {
            "title": settings.data,
            "scale": settings.scale,
            "comparable": settings.comparable,
            "members": settings.members,
            "origin": data.origin,
            "searched": data.teachers is not None,
            "vectors": vectors,
            "images": count,
            "class_count": len(data.examples.classes),
            "cell_count": len(data.cells),
            "best": summary.named(data.cells[data.best]),
            "summary": sentences,
            "provenance": summary.provenance(data.environment, data.current),
        }
    )


def first_figure(data: PageData) -> PagePart:
    """Figure 1 with a panel a cell.

    Raises:
        ValueError: its numbers are of other cells than those of params.yaml.
    """
    numbers = data.tables["figure1"]
    cells = {name: cell for name, cell in data.cells.items() if name.group in ("mimic", "hard")}

    columns = zip(numbers["target"], numbers["row"], numbers["budget"], strict=True)
    listed = {CellName(*line) for line in columns}
    differing = sorted(name.words for name in listed ^ set(cells))
    if differing:
        raise ValueError(
            f"metrics/figure1.csv and params.yaml differ in the cell {differing[0]}: "
            "run 'dvc repro tabulate'"
        )

    chart = figure1(numbers, cells, data.families, data.accuracy, data.settings.members)
    return PagePart(
        {
            "cells": [{"name": name.words, "facts": chosen(cell)} for name, cell in cells.items()],
            "cell_first": list(cells).index(data.best),
            "numbers": tables.numbers(numbers),
        },
        {"figure1": [chart]},
    )


def judged(data: PageData) -> PagePart:
    """Table 1, Table 2, claims, retrained nets, ablations."""
    settings = data.settings
    varied = data.tables["ablations"]
    again = data.tables["retrained"]

    wholes = {
        "transfer epochs": settings.epochs,
        "members of the ensemble": settings.members,
    }
    series = charts.varied(varied, wholes, data.families)

    return PagePart(
        {
            "table1": tables.first(data.tables["table1"], settings.comparable),
            "table2": tables.second(data.tables["table2"], settings.comparable),
            "claims": claims.claims(data.claims),
            "level": percent(data.claims["level"], 0),
            "again": None if again.empty else claims.again(again),
            "ablations": None if varied.empty else claims.variants(varied),
            "measures": list(series),
        },
        {f"varied-{i}": [chart] for i, chart in enumerate(series.values())},
    )


def searches(data: PageData) -> PagePart:
    """Every search, and charts with one variant a search."""
    drawn: dict[str, list[Any]] = {"course": [], "importance": [], "parallel": []}
    shown = []

    for name, cell in data.searches.items():
        # Its charts.
        trials = cell.trials
        rhos = search_charts.importance(trials)
        drawn["course"].append(search_charts.course(trials))
        drawn["importance"].append(search_charts.importance_chart(rhos) if rhos else None)
        drawn["parallel"].append(search_charts.parallel(trials, data.logs[name]))

        # Its trials, and the best of them.
        best = cell.shown.iloc[0]
        done = len(search_charts.finished(trials))

        columns, lines = search_charts.trial_lines(trials)
        shown.append(
            {
                "name": name,
                "head": columns,
                "lines": lines,
                "trials": whole(len(lines)),
                "done": done,
                "failed": whole(len(lines) - done),
                "spark": search_charts.sparkline(trials),
                "error": percent(best["validation_error"], 2),
                "at": whole(best["trial"] + 1),
                "test": percent(best["test_accuracy"], 2),
                "spread": f"{(done - 1) ** -0.5:.2f}" if done > 1 else "",
            }
        )

    rhos_of_all = search_charts.rho_lines(
        [(name, cell.trials) for name, cell in data.searches.items()]
    )

    values = {"searches": shown, "rhos": rhos_of_all, "fewest": search_charts.FEWEST}
    return PagePart(values, drawn)


def outputs(data: PageData) -> PagePart:
    """Fidelity, calibration and confusions.

    Raises:
        ValueError: the tables are of different nets.
    """
    # The nets by name; those of the reliability diagram are among those of fidelity.
    curves = data.tables["calibration"]
    confused = data.tables["confusion"]
    fidelity = data.tables["fidelity"]

    columns = zip(fidelity["target"], fidelity["row"], fidelity["budget"], strict=True)
    fidelity = fidelity.assign(net=[" ".join(filter(None, line)) for line in columns])

    calibrated = list(dict.fromkeys(curves["net"]))
    unknown = [net for net in calibrated if net not in set(fidelity["net"])]
    if unknown:
        raise ValueError(
            f"metrics/calibration.csv has {unknown[0]!r}, fidelity.csv has not: "
            "run 'dvc repro --force assess'"
        )

    # A matrix and its frequent mistakes for each net.
    nets = list(dict.fromkeys(confused["net"]))
    classes = data.examples.classes
    shown = []

    for net in nets:
        lines = confusion.of_net(confused, net, classes)
        shown.append(
            {
                "name": net,
                "accuracy": percent(confusion.accuracy(lines), 2),
                "lines": confusion.frequent(lines, classes),
                "chart": confusion.matrix(lines, classes),
            }
        )

    # Charts of fidelity and calibration.
    best = data.best.words

    students = fidelity[fidelity["target"].isin(["mimic", "hard"])]

    agreement, divergence = charts.fidelity(students, data.families)
    in_order = fidelity.set_index("net").loc[calibrated].reset_index()

    return PagePart(
        {
            "fidelity": tables.fidelity(fidelity),
            "calibration": tables.calibration(curves),
            "confusions": shown,
            "confusion_first": nets.index(best) if best in nets else 0,
            "most_classes": confusion.MOST_CLASSES,
        },
        {
            "agreement": [agreement],
            "divergence": [divergence],
            "calibration": [charts.calibration(curves, in_order)],
            "confusion": [entry["chart"] for entry in shown],
        },
    )


def pictures(data: PageData) -> PagePart:
    """Augmentation samples, and test images with what two nets believe of them."""
    shown = data.examples
    nets = (shown.ensemble, shown.student)
    alone, both = images.mistaken(shown.ensemble, shown.student, shown.labels, CARDS)

    count = data.settings.samples
    wrong = (shown.student.argmax(1) != shown.labels).sum()

    return PagePart(
        {
            "samples": images.samples(shown.originals[:count], shown.views[:count]),
            "epochs": data.settings.epochs,
            "alone": images.gallery(alone, shown.inputs, shown.labels, nets, shown.classes),
            "both": images.gallery(both, shown.inputs, shown.labels, nets, shown.classes),
            "wrong": whole(wrong),
        }
    )


def provenance(data: PageData) -> PagePart:
    """Cost, environment, parameters."""
    settings = data.settings

    stages = {} if data.teachers is None else {"teachers": [data.teachers]}
    for name, cell in data.cells.items():
        stages.setdefault(name.stage, []).append(cell)

    return PagePart(
        {
            "cost": tables.cost(stages, settings.training),
            "training": whole(settings.training),
            "environments": tables.environments(data.environment, data.current),
            "parameters": tables.parameters(settings.sections),
        }
    )


SECTIONS: tuple[Callable[[PageData], PagePart], ...] = (
    head,
    first_figure,
    judged,
    searches,
    outputs,
    further,
    dataset,
    pictures,
    provenance,
)


def compose(data: PageData) -> PagePart:
    """All sections together."""
    return merged(section(data) for section in SECTIONS)


def merged(parts: Iterable[PagePart]) -> PagePart:
    """Parts as one.

    Raises:
        ValueError: two parts have a value or a chart of the same name.
    """
    values: dict[str, Any] = {}
    drawn: dict[str, list[Any]] = {}
    for part in parts:
        twice = [*(values.keys() & part.values.keys()), *(drawn.keys() & part.charts.keys())]
        if twice:
            raise ValueError(
                f"two sections of the page give {min(twice)!r}: rename one in stages/report/page/sections.py"
            )

        values.update(part.values)
        drawn.update(part.charts)

    return PagePart(values, drawn)
