"""assess: outputs of all nets on the test images -> metrics/ (claims, fidelity, ablations).

Reads the outputs in data/ensemble and of the cells that params.yaml lists, whose hashes are in
their trial tables: DVC runs this stage again when a table changes. Writes metrics/claims.* and
verdicts.json (the paper's eight claims, Urban et al. 2017, sections 3 and 4), fidelity.* (how near
each net is to the ensemble, and calibration), confusion.csv, calibration.csv, ablations.* (variants
beside their bases) and extra.* (further test sets, from data/extra). Accuracies of the claims and
ablations are those of the retrained nets of a cell where there are some, else of its best trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.report import ablations, claims, extra, fidelity, outputs, power, verdicts
from stages.report.paper import convolutions
from stages.report.quantities import Quantity
from stages.report.reported import ReportedNet, read_nets, resampled
from stages.runtime import entry
from stages.settings import common, results
from stages.settings.budgets import parse_budget
from stages.settings.groups import CellName
from stages.settings.prepare import prepare
from stages.settings.read import read_params
from stages.settings.students import ablation
from stages.store.atomic import write_json, write_text
from stages.store.ensemble_manifest import EnsembleManifest
from stages.store.predictions import mean_logits, read_test_logits
from stages.store.prepared import read_test

METRICS = Path("metrics")
DATA = Path("data")
PREPARED = Path("data/prepared")
EXTRA = Path("data/extra")


def judged(
    nets: list[ReportedNet],
    accuracies: dict[CellName, Quantity],
    ensemble: Quantity,
    settings: results.Assess,
) -> list[verdicts.Verdict]:
    """The verdict on each claim."""
    budgets = {name.budget for name in accuracies if name.group == "mimic"}
    ceiling = None if settings.mlp_ceiling_pct is None else settings.mlp_ceiling_pct / 100

    run = claims.Run(
        accuracies,
        {net.name: net.cell.family for net in nets},
        tuple(sorted(budgets, key=parse_budget)),
        settings.tolerance_pct / 100,
        ceiling,
        ensemble,
    )
    return verdicts.judge(claims.claims(run), settings.level)


def varied(params: dict[str, Any], accuracies: dict[CellName, Quantity]) -> list[ablations.Pair]:
    """Every variant beside its base."""
    pairs = []
    for name, accuracy in accuracies.items():
        if name.group == "ablation":
            of = ablation(params, name.row).of
            entry = params["ablation_rows"][name.row]
            base = accuracies[CellName("mimic", of, name.budget)]
            pairs.append(ablations.Pair(name.row, of, name.budget, entry, accuracy, base))

    return pairs


def fidelities(
    nets: list[ReportedNet],
    members: dict[int, np.ndarray],
    ensemble: np.ndarray,
    labels: np.ndarray,
) -> pd.DataFrame:
    """Accuracy, calibration and nearness to the ensemble: a line a net.

    Nets are the best trial of each cell, the ensemble, and its first member, which is the best
    single teacher by validation error.
    """
    lines = []
    for net in nets:
        name = net.name
        columns = {"target": name.group, "row": name.row, "budget": name.budget}
        measured = asdict(fidelity.measure(net.logits, labels, ensemble))
        lines.append({**columns, "params": net.cell.params, **measured})

    teacher = fidelity.measure(members[0], labels, ensemble)
    lines.append({"target": "teacher", **asdict(teacher)})
    lines.append({"target": "ensemble", **asdict(fidelity.measure(ensemble, labels, None))})
    return pd.DataFrame(lines)


def drawn_outputs(
    nets: list[ReportedNet], members: dict[int, np.ndarray], ensemble: np.ndarray
) -> dict[str, np.ndarray]:
    """Outputs of the nets whose confusions and calibration are drawn, by the words for them.

    The ensemble, the best teacher, the best mimic net with and the best without convolution and
    their twins on hard labels; best by validation error.
    """
    shown = {"ensemble": ensemble, "teacher": members[0]}
    for convolutional in (True, False):
        mimic = [
            net
            for net in nets
            if net.name.group == "mimic" and bool(convolutions(net.cell.family)) == convolutional
        ]
        if not mimic:
            continue

        best = min(mimic, key=lambda net: net.cell.shown["validation_error"].iloc[0])
        shown[best.name.words] = best.logits
        twin = replace(best.name, group="hard")
        shown.update({net.name.words: net.logits for net in nets if net.name == twin})

    return shown


def extra_accuracies(
    params: dict[str, Any],
    nets: list[ReportedNet],
    members: dict[int, np.ndarray],
    ensemble: np.ndarray,
    labels: np.ndarray,
    level: float,
) -> pd.DataFrame:
    """Accuracies on further test sets beside those on the own one; no lines where there are none."""
    if not prepare(params).extra_tests:
        return extra.table([], [], level)

    outputs_of = {"ensemble": ensemble, "teacher": members[0]}
    outputs_of |= {net.name.words: net.logits for net in nets}

    sets = extra.scored_sets(EXTRA, outputs_of, labels)
    drawn = extra.drawn_nets({net.name: net.cell for net in nets})
    return extra.table(sets, drawn, level)


def claims_caption(
    nets: list[ReportedNet], settings: results.Assess, images: int, where: str
) -> str:
    """What the verdicts rest on."""
    runs = sorted({len(net.hits) for net in nets})
    seeds = str(runs[0]) if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    cell = "net a cell" if runs == [1] else "nets a cell"
    over = "test images, and how much seeds differ"
    if runs == [1]:
        over = "test images only: nothing about seeds, since there is one run"
    level = f"{100 * settings.level:g}\u00a0%"

    return (
        f"**Claims of the paper** ({where}). {images:,} test images, {seeds} {cell}, "
        f"{level} intervals from {settings.resamples:,} resamples of {over}; "
        f"all verdicts together at {level}."
    )


def fidelity_caption(images: int, where: str) -> str:
    """What stands above the table of fidelity."""
    return (
        f"**Fidelity and calibration** on {images:,} test images ({where}); "
        "best trials by validation error."
    )


def ablations_caption(where: str) -> str:
    """What stands above the table of ablations."""
    return (
        "**Ablations.** Variants of mimic nets beside the nets of which they are variants "
        f"({where})."
    )


def write_all(values: Mapping[str, Any], texts: Mapping[str, str]) -> None:
    """JSON and text files under metrics/, by their names."""
    for name, value in values.items():
        write_json(METRICS / name, value)
    for name, text in texts.items():
        write_text(METRICS / name, text)


def main() -> None:
    """Run the stage."""
    params = read_params()
    settings = results.assess(params)
    where = f"{results.data_name(params)}, {results.scale(params)} scale"

    # Outputs of all nets on the test images.
    _, labels, header = read_test(PREPARED)
    nets = list(read_nets(DATA, METRICS, params, labels))
    members = read_test_logits(DATA / "ensemble/test.safetensors")["members"]
    ensemble = mean_logits(members, EnsembleManifest.read(DATA / "ensemble").weights)
    ensemble_hits = ensemble.argmax(1) == labels

    # Claims and ablations, from resampled accuracies.
    accuracies, of_ensemble = resampled(
        nets, ensemble_hits, settings.resamples, common.seed(params)
    )
    judgement = judged(nets, accuracies, of_ensemble, settings)
    needs = power.needs(judgement, settings.level, len(labels))
    answers = verdicts.to_json(judgement, claims.paper_effects(), settings.level, needs)
    claims_md = verdicts.to_markdown(answers, claims_caption(nets, settings, len(labels), where))
    variants = ablations.table(varied(params, accuracies), settings.level)

    # Fidelity, calibration and confusions, from outputs.
    nearness = fidelities(nets, members, ensemble, labels)
    drawn = drawn_outputs(nets, members, ensemble)
    confusions = outputs.confusions(drawn, labels, header["classes"])
    calibrations = outputs.calibrations(drawn, labels)

    # Further test sets.
    further = extra_accuracies(params, nets, members, ensemble, labels, settings.level)

    write_all(
        {
            "claims.json": {"level": settings.level, "images": len(labels), "claims": answers},
            "verdicts.json": {name: answer["verdict"] for name, answer in answers.items()},
        },
        {
            "claims.md": claims_md,
            "ablations.csv": variants.to_csv(index=False),
            "ablations.md": ablations.to_markdown(variants, ablations_caption(where)),
            "fidelity.csv": nearness.round(6).to_csv(index=False),
            "fidelity.md": outputs.to_markdown(nearness, fidelity_caption(len(labels), where)),
            "confusion.csv": confusions.to_csv(index=False),
            "calibration.csv": calibrations.round(6).to_csv(index=False),
            "extra.csv": further.to_csv(index=False),
            "extra.md": extra.to_markdown(further, where, settings.level),
        },
    )

    print(claims_md.split("\n\nUndecided claims:")[0].split("\n\nEffects")[0])


if __name__ == "__main__":
    entry.run(main)
