"""students: one cell, (target, row, budget) -> data/students or data/hard (Table 1, Table 2, Figure 1).

`python -m stages.students mimic --row R --budget B` searches a row of Table 2 on the ensemble's logits (Urban et al.
2017, sections 2.8 and 6.3); `hard` searches the same net on the true labels of the same images (sections 3 and 6.2);
`ablation` searches a variant of a mimic net. Reads data/prepared, data/augmented, data/logits unless it is hard, and
data/ensemble for a variant that is labelled while it trains. Writes the chosen net, the curves of all trials, the
outputs on the test images of the nets that are reported, and under metrics/ the cell's accuracies and one line a trial.
With `final_seeds` the chosen hyperparameters are trained again from as many other seeds: the best of a sweep was chosen
by its validation error, and these were not.
"""

from __future__ import annotations

import argparse
import functools
import zlib
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stages.fit.environment import describe
from stages.nets.budget import parse_budget, plan
from stages.nets.families import Plan, check_row, control_names, dropout_names
from stages.search.journal import Journal
from stages.search.propose import Settings
from stages.search.space import Space
from stages.search.sweep import Row, retrain, run, top
from stages.settings import common
from stages.settings.read import read_params
from stages.settings.students import (
    FOLDER,
    ROWS,
    SECTION,
    Matrix,
    Target,
    Variant,
    ablation,
    cell_space,
    matrix,
    row,
    variant,
)
from stages.settings.students import Row as RowSettings
from stages.settings.sweeps import split_space
from stages.store import door
from stages.store.atomic import link_or_copy
from stages.store.environment import record
from stages.store.progress import SweepProgress
from stages.store.shards import check_pairs, first_members
from stages.store.trials import TrialFolder, total_seconds, write_curves, write_metrics, write_retrained
from stages.store.work import fresh_folder, read_manifest, work_folder
from stages.workers.executors import from_settings

PREPARED = Path("data/prepared")
AUGMENTED = Path("data/augmented")
LOGITS = Path("data/logits")
ENSEMBLE = Path("data/ensemble")
PRELOAD = ("stages.students_trial", "stages.search.sweep", "stages.settings.students")
Tested = dict[str, dict[int, dict[str, Any]]]
"""`trials` and `retrained`: number -> test_accuracy and test_sha256."""
REPORTED = 5
"""Trials whose test accuracy is reported: Figure 1 shows the five best by validation error."""


@dataclass(frozen=True)
class Cell:
    """What all trials of one cell share; small, since it travels to every trial's process."""

    work: Path
    target: Target
    name: str
    budget: str
    family: str
    section: Matrix
    row: RowSettings
    variant: Variant
    fixed: dict[str, float]
    numerics: common.Numerics
    execution: common.Execution
    images: common.Images
    seed: int
    epochs: int
    classes: int
    size_px: int
    prepared: Path = PREPARED
    augmented: Path = AUGMENTED
    logits: Path = LOGITS
    ensemble: Path = ENSEMBLE

    @property
    def tests(self) -> Path:
        """Outputs of the reported nets on the test images."""
        return self.work / "test.safetensors"

    @property
    def again(self) -> Cell:
        """The same cell for retrained nets, which have folders of their own."""
        return replace(self, work=self.work / "retrained")

    @property
    def dropouts(self) -> list[str]:
        """Dropout hyperparameters of this cell's net; empty for a mimic net."""
        searched = {**self.section.space, **self.row.space}
        return [name for name in dropout_names(self.family) if name in searched]

    def plan(self, values: dict[str, Any]) -> Plan:
        """Widths of the net with these hyperparameters (section 6.3)."""
        names = control_names(self.family)
        boxes, ratios = self.row.boxes, self.row.ratios
        return plan(
            self.family,
            parse_budget(self.budget),
            [values[name] for name in names],
            None if boxes is None else boxes[self.budget],
            classes=self.classes,
            size_px=self.size_px,
            ratio_min=1.0 if ratios is None else ratios[0],
            multiple=self.section.width_multiple,
        )


def train_trial(cell: Cell, trial: int, values: dict[str, Any], seed: int) -> dict[str, Any]:
    """One trial, in its own process: torch is imported there and not here."""
    from stages.students_trial import train_student

    return train_student(cell, trial, values, seed)


def test_nets(cell: Cell, trials: list[int], runs: list[int]) -> Tested:
    """Of trials and retrained nets, the test accuracies; in a process of its own, when the search is over."""
    from stages.students_trial import test_nets

    return test_nets(cell, trials, runs)


def write_outputs(cell: Cell, rows: list[Row], runs: list[Row], tested: Tested) -> None:
    """Assemble the cell's folder and metrics from the work folder."""
    stage, key = FOLDER[cell.target], f"{cell.name}-{cell.budget}"
    best = top(rows, 1)[0]
    out = fresh_folder(Path("data") / stage / key)
    link_or_copy(TrialFolder(cell.work, best.trial).weights, out / "weights.safetensors")
    link_or_copy(cell.tests, out / "test.safetensors")
    write_curves(out / "curves.json", rows)
    hyperparameters = sorted({**cell.fixed, **best.params})
    ends = ("best_epoch", "epochs", "why", "reason")
    names = ("params", "widths", "dependent", *ends, "test_sha256", *hyperparameters)
    metrics = Path("metrics") / stage
    write_metrics(metrics / key, rows, best, tested["trials"], cell.fixed, names)
    write_retrained(metrics / f"{key}.retrained.csv", runs, tested["retrained"], (*ends, "test_sha256"))


def train_again(cell: Cell, best: Row, seed: int, executor: Executor) -> list[Row]:
    """The chosen hyperparameters from `final_seeds` other seeds."""
    count, folder = cell.section.final_seeds, cell.again.work
    name, bound = f"{SECTION[cell.target]} {cell.name}-{cell.budget} again", cell.section.training.max_epochs
    submit = functools.partial(executor.submit, train_trial, cell.again)
    if not count:
        return []
    with SweepProgress(name, count, bound, lambda i: TrialFolder(folder, i).progress) as progress:
        return retrain(best.params, seed, count, submit, progress.event)


def set_up(target: Target, name: str, budget: str) -> tuple[Cell, dict[str, Any], Space]:
    """The cell with an empty work path, what its result depends on, and its search space."""
    params = read_params()
    section, entry, other = matrix(params, target), row(params, target, name), variant(params, target, name)
    family = entry.net or name
    check_row(f"params.yaml: {ROWS[target]}.{name}", family, budget, entry.boxes, entry.ratios)
    searched, fixed = split_space(cell_space(section, entry, dropout_names(family), control_names(family)))
    numerics, execution, images = common.numerics(params), common.execution(params), common.images(params)
    seed = common.seed(params)
    prepared, augmented = read_manifest(PREPARED), read_manifest(AUGMENTED)
    facts = {"epochs": augmented["epochs"], "classes": len(prepared["classes"])}
    cell = Cell(
        Path(), target, name, budget, family, section, entry, other, fixed, numerics, execution, images, seed,
        size_px=prepared["size_px"], **facts,
    )  # fmt: skip
    cell.plan({name: 1.0 for name in control_names(family)})  # refuses a box that cannot meet its budget
    settings = {
        "seed": seed,
        "cell": [target, name, budget],
        "sweep": asdict(section.sweep),
        "training": asdict(section.training),
        "width_multiple": section.width_multiple,
        "space": {"searched": searched, "fixed": fixed},
        "row": asdict(entry),
        "numerics": asdict(numerics),
    }
    if target == "ablation":  # the stream of its base: the same first points and seeds, so that trials are pairs
        settings["stream"] = ["mimic", ablation(params, name).of, budget]
        settings["variant"] = {**asdict(other), **({"mirror": images.mirror} if other.fresh else {})}
    return cell, settings, Space.from_params(searched)


def main() -> None:
    """Run the stage for one cell."""
    parser = argparse.ArgumentParser(prog="python -m stages.students", description=__doc__)
    parser.add_argument("target", choices=list(SECTION))
    parser.add_argument("--row", required=True, help="a row of students.rows, hard.rows or ablations.rows")
    parser.add_argument("--budget", required=True, help="a budget of the same section")
    arguments = parser.parse_args()
    cell, settings, space = set_up(arguments.target, arguments.row, arguments.budget)
    stage, key = SECTION[cell.target], f"{cell.name}-{cell.budget}"
    inputs = [PREPARED, AUGMENTED, *([ENSEMBLE] if cell.variant.fresh else [])]
    if cell.target != "hard":
        inputs.append(LOGITS)
        read_manifest(LOGITS)
        check_pairs(AUGMENTED, LOGITS, cell.epochs)
        if (count := cell.variant.members) is not None:
            check_pairs(AUGMENTED, first_members(LOGITS, count), cell.epochs)
    sweep = cell.section.sweep
    with work_folder(f"{stage}/{key}", settings, inputs, __file__) as work:
        cell = replace(cell, work=work)
        journal = Journal.open(work / "journal.jsonl", {"space": space.fingerprint(), "settings": settings})
        name, bound = f"{stage} {key}", cell.section.training.max_epochs
        with (
            from_settings(cell.execution.engine, cell.execution.slots, preload=PRELOAD) as executor,
            SweepProgress(name, sweep.trials, bound, lambda i: TrialFolder(work, i).progress) as progress,
        ):
            rows = run(
                journal=journal,
                space=space,
                settings=Settings(sweep.engine, sweep.start, sweep.lag),
                seed=seed_of(settings),
                trials=sweep.trials,
                submit=functools.partial(executor.submit, train_trial, cell),
                slots=cell.execution.slots,
                on_event=progress.event,
            )
            best = top(rows, 1)[0]
            runs = train_again(cell, best, seed_of(settings), executor)
            chosen = [r.trial for r in top(rows, REPORTED)], [r.trial for r in runs if r.value is not None]
            tested = executor.submit(test_nets, cell, *chosen).result()
            found = executor.submit(describe, cell.execution.device, cell.numerics.threads).result()
        write_outputs(cell, rows, runs, tested)
        record(f"{stage}@{key}", {**found, "precision": cell.numerics.precision, "seed": settings["seed"]})
        again = [facts["test_accuracy"] for facts in tested["retrained"].values()]
        mean = f", {sum(again) / len(again):.4f} over {len(again)} seeds" if again else ""
        print(
            f"{name}: {len(rows)} trials, best validation accuracy {1 - best.value:.4f}, "
            f"test {tested['trials'][best.trial]['test_accuracy']:.4f}{mean}, {total_seconds(work):.0f} s in trials"
        )


def seed_of(settings: dict[str, Any]) -> int:
    """Seed of a cell's search: each cell has its own stream of the root seed, a variant that of its base."""
    return zlib.crc32("/".join([str(settings["seed"]), *settings.get("stream", settings["cell"])]).encode())


if __name__ == "__main__":
    door.run(main)
