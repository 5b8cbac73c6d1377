"""students: one cell, (target, row, budget) -> data/students or data/hard (Table 1, Table 2, Figure
1).

`python -m stages.students mimic --row R --budget B` searches a row of Table 2 on the ensemble's
logits (Urban et al. 2017, sections 2.8 and 6.3); `hard` searches the same net on the true labels of
the same images (sections 3 and 6.2); `ablation` searches a variant of a mimic net. `teacher_2014`
searches the teacher of Ba and Caruana (2014) on the true labels and keeps its best nets as an
ensemble, whose logits `student_2014` mimics. Reads data/prepared, data/augmented, and data/logits
or the nets that label while a student trains. Writes the chosen net, the curves of all trials, the
outputs on the test images of the nets that are reported, and under metrics/ the cell's accuracies
and a line a trial. With `final_seeds` the chosen hyperparameters are trained again from as many
other seeds: the best of a sweep was chosen by its validation error, and these were not.
"""

from __future__ import annotations

import argparse
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages.fit.curves import check_log
from stages.runtime import entry
from stages.runtime.engines import from_settings
from stages.runtime.environment import describe, record
from stages.runtime.work import work_folder
from stages.search.journal import Journal
from stages.search.propose import Settings
from stages.search.sweep import TrialRow, retrain, run, top
from stages.settings.groups import SECTION
from stages.store.atomic import link_or_copy
from stages.store.manifest import fresh_folder, read_manifest, write_manifest
from stages.store.predictions import mean_logits, read_test_logits
from stages.store.prepared import read_test
from stages.store.shards import check_pairs, first_members
from stages.trials.cell import Cell, Tested, seed_of, set_up
from stages.trials.folder import TrialFolder, total_seconds
from stages.trials.progress import SweepProgress
from stages.trials.tables import write_curves, write_metrics, write_retrained

PRELOAD = ("stages.trials.student_trial", "stages.search.sweep", "stages.trials.cell")
REPORTED = 5
"""Trials whose test accuracy is reported: Figure 1 shows the five best by validation error."""


def train_trial(cell: Cell, trial: int, values: dict[str, Any], seed: int) -> dict[str, Any]:
    """One trial, in its own process: torch is imported there and not here."""
    from stages.trials.student_trial import train_student

    return train_student(cell, trial, values, seed)


def test_nets(cell: Cell, trials: list[int], runs: list[int]) -> Tested:
    """Of trials and retrained nets, the test accuracies; in a process of its own, when the search
    is over.
    """
    from stages.trials.student_trial import test_nets

    return test_nets(cell, trials, runs)


def check_memory(cell: Cell, values: dict[str, Any]) -> None:
    """As many trials as share a GPU fit on it; in a process of its own, before the first one."""
    from stages.trials.student_trial import check_memory

    check_memory(cell, values)


def write_outputs(cell: Cell, rows: list[TrialRow], runs: list[TrialRow], tested: Tested) -> None:
    """Assemble the cell's folder and metrics from the work folder."""
    best = top(rows, 1)[0]
    out = fresh_folder(Path("data") / cell.folder / cell.key)
    link_or_copy(TrialFolder(cell.work, best.trial).weights, out / "weights.safetensors")
    link_or_copy(cell.tests, out / "test.safetensors")
    write_curves(out / "curves.json", rows)
    hyperparameters = sorted({**cell.fixed, **best.params})
    ends = ("best_epoch", "epochs", "why", "reason")
    names = ("params", "widths", "dependent", *ends, "test_sha256", *hyperparameters)
    metrics = Path("metrics") / cell.folder
    extra = write_members(cell, rows, out) if cell.keep else {}
    write_metrics(metrics / cell.key, rows, best, tested["trials"], cell.fixed, names, extra)
    write_retrained(
        metrics / f"{cell.key}.retrained.csv", runs, tested["retrained"], (*ends, "test_sha256")
    )


def write_members(cell: Cell, rows: list[TrialRow], out: Path) -> dict[str, Any]:
    """The nets of lowest validation error as an ensemble, and what it is: members, params, test
    accuracy.

    Raises:
        ValueError: fewer trials have finished than it has members.
    """
    chosen = top(rows, cell.keep)
    if len(chosen) < cell.keep:
        raise ValueError(
            f"params.yaml: teachers_2014.members is {cell.keep}, only {len(chosen)} trials finished: lower it, or "
            "raise hard.sweep.trials"
        )
    for place, member in enumerate(chosen):
        link_or_copy(
            TrialFolder(cell.work, member.trial).weights, out / f"member-{place:02d}.safetensors"
        )
    write_manifest(out, {"members": [member.trial for member in chosen]})
    outputs, labels = read_test_logits(cell.tests)["trials"], read_test(cell.prepared)[1]
    mean = mean_logits({member.trial: outputs[member.trial] for member in chosen})
    return {
        "members": len(chosen),
        "ensemble_params": sum(member.result["params"] for member in chosen),
        "ensemble_test_accuracy": float((mean.argmax(1) == labels).mean()),
    }


def train_again(cell: Cell, best: TrialRow, seed: int, executor: Executor) -> list[TrialRow]:
    """The chosen hyperparameters from `final_seeds` other seeds."""
    count, folder = cell.section.final_seeds, cell.again.work
    name, bound = f"{cell.stage} {cell.key} again", cell.section.training.max_epochs
    if not count:
        return []
    with SweepProgress(name, count, bound, lambda i: TrialFolder(folder, i).progress) as progress:
        return retrain(
            best.params,
            seed,
            count,
            lambda *again: executor.submit(train_trial, cell.again, *again),
            progress.event,
        )


def check_targets(cell: Cell) -> None:
    """Every shard of logits belongs to its shard of images, before anything is trained; reads
    headers only.
    """
    if cell.logits in cell.reads:
        read_manifest(cell.logits)
        check_pairs(cell.augmented, cell.logits, cell.epochs)
        if (count := cell.variant.members) is not None:
            check_pairs(cell.augmented, first_members(cell.logits, count), cell.epochs)


def main() -> None:
    """Run the stage for one cell."""
    parser = argparse.ArgumentParser(prog="python -m stages.students", description=__doc__)
    parser.add_argument("target", choices=list(SECTION))
    parser.add_argument("--row", required=True, help="a row of the target's section in params.yaml")
    parser.add_argument("--budget", required=True, help="a budget of the same section")
    parser.add_argument("--teacher", help="for student_2014: row of its teacher")
    parser.add_argument("--teacher_budget", help="for student_2014: budget of its teacher")
    arguments = parser.parse_args()
    cell, settings, space = set_up(**vars(arguments))
    check_targets(cell)
    check_log(cell.execution.log)
    sweep = cell.section.sweep
    with work_folder(f"{cell.stage}/{cell.key}", settings, cell.reads, __file__) as work:
        cell = replace(cell, work=work)
        journal = Journal.open(
            work / "journal.jsonl", {"space": space.fingerprint(), "settings": settings}
        )
        name, bound = f"{cell.stage} {cell.key}", cell.section.training.max_epochs
        with (
            from_settings(cell.execution, PRELOAD, cell.reads) as executor,
            SweepProgress(
                name, sweep.trials, bound, lambda i: TrialFolder(work, i).progress
            ) as progress,
        ):
            if executor.gpus:
                executor.submit(check_memory, cell, space.middle()).result()
            rows = run(
                journal=journal,
                space=space,
                settings=Settings(sweep.engine, sweep.start, sweep.lag),
                seed=seed_of(settings),
                trials=sweep.trials,
                submit=lambda *trial: executor.submit(train_trial, cell, *trial),
                slots=executor.slots,
                on_event=progress.event,
            )
            best = top(rows, 1)[0]
            runs = train_again(cell, best, seed_of(settings), executor)
            chosen = (
                [r.trial for r in top(rows, REPORTED)],
                [r.trial for r in runs if r.value is not None],
            )
            tested = executor.submit(test_nets, cell, *chosen).result()
            found = executor.submit(describe, cell.execution.device, cell.numerics.threads).result()
        write_outputs(cell, rows, runs, tested)
        record(
            f"{cell.stage}@{cell.key}",
            {**found, "precision": cell.numerics.precision, "seed": settings["seed"]},
        )
        again = [facts["test_accuracy"] for facts in tested["retrained"].values()]
        assert best.value is not None  # one that failed is never the best
        mean = f", {sum(again) / len(again):.4f} over {len(again)} seeds" if again else ""
        print(
            f"{name}: {len(rows)} trials, best validation accuracy {1 - best.value:.4f}, "
            f"test {tested['trials'][best.trial]['test_accuracy']:.4f}{mean}, {total_seconds(work):.0f} s in trials"
        )


if __name__ == "__main__":
    entry.run(main)
