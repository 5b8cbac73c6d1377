"""assess: outputs of all reported nets on the test images -> metrics/ (claims, fidelity,
calibration, confusions).

Reads the outputs in data/ensemble and of the cells that params.yaml lists, whose hashes are in
their trial tables: DVC runs this stage again when a table changes. Writes metrics/claims.* and
verdicts.json (the paper's eight claims, Urban et al. 2017, sections 3 and 4), fidelity.* (how near
each net is to the ensemble, and calibration), confusion.csv, calibration.csv and ablations.*
(variants beside their bases). Accuracies are those of the retrained nets of a cell where there are
some, else of its best trial.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.report import ablations, claims, fidelity, outputs, verdicts
from stages.report.cells import CellResult, read_cell
from stages.report.statistics import joint_bootstrap
from stages.runtime import entry
from stages.settings import common, results
from stages.settings.budgets import parse_budget
from stages.settings.groups import FOLDER, SECTION, Target
from stages.settings.read import read_params
from stages.settings.students import ablation, matrix
from stages.store.atomic import write_json, write_text
from stages.store.predictions import fingerprint, mean_logits, read_test_logits
from stages.store.prepared import read_test

METRICS, DATA = Path("metrics"), Path("data")
PREPARED = Path("data/prepared")


@dataclass(frozen=True)
class ReportedNet:
    """A cell's nets on the test images.

    Attributes:
        key: target, row, budget; see `claims.Key`.
        cell: its metrics.
        logits: float32 (n, classes) of the best trial.
        hits: bool (runs, n), of the retrained nets if there are any, else of the best trial.
    """

    key: claims.Key
    cell: CellResult
    logits: np.ndarray
    hits: np.ndarray


def read_nets(params: dict[str, Any], target: Target, labels: np.ndarray) -> Iterator[ReportedNet]:
    """All cells of a target, rows first."""
    section, stage = matrix(params, target), FOLDER[target]
    for row, budget in product(section.rows, section.budgets):
        cell = read_cell(METRICS / stage, row, budget)
        path = DATA / stage / f"{row}-{budget}" / "test.safetensors"
        nets = read_test_logits(path)
        best = cell.shown.iloc[0]
        wanted = {("trials", int(best["trial"])): best["test_sha256"]}
        good = cell.retrained.dropna(subset=["test_accuracy"])
        wanted |= {
            ("retrained", int(run)): sha
            for run, sha in zip(good["run"], good["test_sha256"], strict=True)
        }
        found = []
        for (kind, number), sha in wanted.items():
            net = nets.get(kind, {}).get(number)
            if net is None or len(net) != len(labels) or fingerprint(net) != sha:
                raise ValueError(
                    f"{path} holds other outputs than {METRICS / stage}/{row}-{budget}.csv says: bring both from one "
                    f"run, with 'dvc checkout {path.parent}', 'dvc pull {path.parent}' or 'dvc repro --force {stage}'"
                )
            found.append(net)
        hits = np.stack([net.argmax(1) == labels for net in found])
        yield ReportedNet(
            (target, row, budget), cell, found[0], hits[1:] if len(hits) > 1 else hits
        )


def resampled(
    nets: list[ReportedNet], ensemble: np.ndarray, settings: results.Assess, seed: int
) -> dict[claims.Key, claims.Quantity]:
    """Test accuracies with their bootstrap samples.

    Args:
        ensemble: bool (n,), hits of the ensemble.
        seed: the root seed; the bootstrap has its own stream of it.
    """
    keys = [*(net.key for net in nets), claims.ENSEMBLE]
    hits = [*(net.hits for net in nets), ensemble[None]]
    rng = np.random.default_rng((seed, zlib.crc32(b"assess")))
    samples = joint_bootstrap(hits, settings.resamples, rng)
    return {
        key: claims.Quantity(float(own.mean()), samples[:, i])
        for i, (key, own) in enumerate(zip(keys, hits, strict=True))
    }


def judged(
    accuracies: dict[claims.Key, claims.Quantity], settings: results.Assess
) -> list[verdicts.Verdict]:
    """The verdict on each claim."""
    budgets = sorted(
        {budget for target, _, budget in accuracies if target == "mimic"}, key=parse_budget
    )
    ceiling = None if settings.mlp_ceiling_pct is None else settings.mlp_ceiling_pct / 100
    run = claims.Run(accuracies, tuple(budgets), settings.tolerance_pct / 100, ceiling)
    return verdicts.judge(claims.claims(run), settings.level)


def varied(
    params: dict[str, Any], accuracies: dict[claims.Key, claims.Quantity]
) -> list[ablations.Pair]:
    """Every variant beside its base."""
    pairs = []
    for key, accuracy in accuracies.items():
        if key[0] == "ablation":
            of = ablation(params, key[1]).of
            entry = params["ablation_rows"][key[1]]
            pairs.append(
                ablations.Pair(key[1], of, key[2], entry, accuracy, accuracies["mimic", of, key[2]])
            )
    return pairs


def fidelities(
    nets: list[ReportedNet], members: dict[int, np.ndarray], labels: np.ndarray
) -> pd.DataFrame:
    """Accuracy, calibration and nearness to the ensemble of every cell's best trial, the ensemble
    and its first member.

    The first member is the best single teacher by validation error.
    """
    ensemble, lines = mean_logits(members), []
    for net in nets:
        row = dict(zip(("target", "row", "budget"), net.key, strict=True))
        lines.append(
            {
                **row,
                "params": net.cell.params,
                **asdict(fidelity.measure(net.logits, labels, ensemble)),
            }
        )
    teacher = asdict(fidelity.measure(members[0], labels, ensemble))
    lines.append({"target": "teacher", **teacher})
    lines.append({"target": "ensemble", **asdict(fidelity.measure(ensemble, labels, None))})
    return pd.DataFrame(lines)


def shown(nets: list[ReportedNet], members: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs of the nets whose confusions and calibration are drawn, by target, row and budget.

    The ensemble, the best teacher, the best mimic net with and the best without convolution and
    their twins on hard labels; best by validation error.
    """

    def best(rows: tuple[str, ...]) -> ReportedNet | None:
        mimic = [net for net in nets if net.key[0] == "mimic" and net.key[1] in rows]
        return min(mimic, key=lambda net: net.cell.shown["validation_error"].iloc[0], default=None)

    found = {"ensemble": mean_logits(members), "teacher": members[0]}
    for net in (best(claims.CONVS), best(claims.MLPS)):
        if net is not None:
            found[f"mimic {net.key[1]} {net.key[2]}"] = net.logits
            twin = [other for other in nets if other.key == ("hard", *net.key[1:])]
            found |= {f"hard {other.key[1]} {other.key[2]}": other.logits for other in twin}
    return found


def main() -> None:
    """Run the stage."""
    params = read_params()
    settings, where = (
        results.assess(params),
        f"{results.tabulate(params).data}, {results.scale(params)} scale",
    )
    _, labels, header = read_test(PREPARED)
    nets = [net for target in SECTION for net in read_nets(params, target, labels)]
    members = read_test_logits(DATA / "ensemble/test.safetensors")["members"]
    hits = mean_logits(members).argmax(1) == labels
    accuracies = resampled(nets, hits, settings, common.seed(params))
    answers = verdicts.to_json(judged(accuracies, settings), claims.paper_effects(), settings.level)
    write_json(
        METRICS / "claims.json", {"level": settings.level, "images": len(labels), "claims": answers}
    )
    write_json(
        METRICS / "verdicts.json", {name: entry["verdict"] for name, entry in answers.items()}
    )
    write_text(
        METRICS / "claims.md",
        verdicts.to_markdown(answers, claims_caption(nets, settings, len(labels), where)),
    )
    write_ablations(ablations.table(varied(params, accuracies), settings.level), where)
    table = fidelities(nets, members, labels)
    write_text(METRICS / "fidelity.csv", table.round(6).to_csv(index=False))
    caption = f"**Fidelity and calibration** on {len(labels):,} test images ({where}); best trials by validation error."
    write_text(METRICS / "fidelity.md", outputs.to_markdown(table, caption))
    drawn = shown(nets, members)
    write_text(
        METRICS / "confusion.csv",
        outputs.confusions(drawn, labels, header["classes"]).to_csv(index=False),
    )
    write_text(
        METRICS / "calibration.csv",
        outputs.calibrations(drawn, labels).round(6).to_csv(index=False),
    )
    print((METRICS / "claims.md").read_text().split("\n\nEffects")[0])


def write_ablations(table: pd.DataFrame, where: str) -> None:
    """metrics/ablations.csv and .md."""
    write_text(METRICS / "ablations.csv", table.to_csv(index=False))
    caption = f"**Ablations.** Variants of mimic nets beside the nets of which they are variants ({where})."
    write_text(METRICS / "ablations.md", ablations.to_markdown(table, caption))


def claims_caption(
    nets: list[ReportedNet], settings: results.Assess, images: int, where: str
) -> str:
    """What the verdicts rest on."""
    runs = sorted({len(net.hits) for net in nets})
    seeds = str(runs[0]) if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    over = "test images only, not seeds" if runs == [1] else "test images and seeds"
    level = f"{100 * settings.level:g}\u00a0%"
    return (
        f"**Claims of the paper** ({where}). {images:,} test images, {seeds} net{'' if runs == [1] else 's'} a cell, "
        f"{level} intervals from {settings.resamples:,} resamples of {over}; all verdicts together at {level}."
    )


if __name__ == "__main__":
    entry.run(main)
