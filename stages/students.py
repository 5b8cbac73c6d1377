"""students: one cell, (group, row, budget) -> data/students or data/hard (Tables 1, 2, Figure 1).

`python -m stages.students mimic --row R --budget B` searches a row of Table 2 on the ensemble's
logits (Urban et al. 2017, sections 2.8 and 6.3); `hard` searches the same net on the true labels of
the same images (sections 3 and 6.2); `ablation` searches a variant of a mimic net. `teacher_2014`
searches the teacher of Ba and Caruana (2014) on the true labels and keeps its best nets as an
ensemble, whose logits `student_2014` mimics. Reads data/prepared, data/augmented, and data/logits
or the nets that label while a student trains. Writes the chosen net, the curves of all trials, the
outputs on the test images of the nets that are reported, and under metrics/ the cell's accuracies
and a line a trial. With `final_seeds` the chosen hyperparameters are trained again from as many
other seeds: retrained nets carry no selection bias, since no choice was made among them.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages.fit.curves import check_log
from stages.runtime import entry
from stages.runtime.work import work_folder
from stages.settings.groups import GROUPS, CellName
from stages.store.atomic import link_or_copy
from stages.store.manifest import fresh_folder, read_manifest
from stages.store.shards import check_pairs, first_members
from stages.trials.cell import Cell, seed_of, set_up
from stages.trials.columns import END_COLUMNS, FAMILY, STUDENT_COLUMNS
from stages.trials.earlier import TESTED, keep_files, write_trials
from stages.trials.early import Call, early_trials
from stages.trials.members import write_members
from stages.trials.shared import Tested
from stages.trials.sweep import SweepResult, run_sweep
from stages.trials.tables import write_curves, write_metrics, write_retrained

PRELOAD = ("stages.trials.student_trial", "stages.search.ask_tell", "stages.trials.cell")


# What runs in processes of its own. These functions travel there by name and import torch there, so
# that the process of the sweep never does.


def remote_train(cell: Cell, trial: int, values: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train one trial."""
    from stages.trials.student_trial import train_student

    return train_student(cell, trial, values, seed)


def remote_evaluate(cell: Cell, trials: list[int], retrained: list[int]) -> Tested:
    """Test accuracies of these trials and retrained nets."""
    from stages.trials.student_trial import evaluate_students

    return evaluate_students(cell, trials, retrained)


def remote_check_memory(cell: Cell, values: dict[str, Any]) -> None:
    """Refuse the sweep if its trials do not fit on a GPU."""
    from stages.trials.student_trial import untrained_student
    from stages.trials.training import check_memory

    everything = {**cell.fixed, **values}
    check_memory(cell, lambda classes: untrained_student(cell, everything))


def early(name: CellName) -> list[Call]:
    """Trials of a cell that can be trained before its turn, see commands/running/early.py."""
    return early_trials(name, __file__, remote_train)


def write_outputs(cell: Cell, result: SweepResult) -> None:
    """Assemble the cell's folder and metrics from the work folder."""
    out = fresh_folder(Path("data") / cell.name.files)
    stem = Path("metrics") / cell.name.files
    best = result.best

    keep_files(result.rows, cell.kept, cell.work, out)
    link_or_copy(cell.tests, out / TESTED)
    write_trials(out, cell.work, result.rows, result.retrained)
    write_curves(out / "curves.json", result.rows)
    more = write_members(cell, result.rows, out) if cell.keep else {}

    hyperparameters = sorted({**cell.fixed, **best.params})
    write_metrics(
        stem,
        result.rows,
        tested=result.tested.trials,
        fixed={**cell.fixed, FAMILY: cell.family},
        columns=(*STUDENT_COLUMNS, *hyperparameters, FAMILY),
        more=more,
    )

    write_retrained(
        stem.with_name(f"{stem.name}.retrained.csv"),
        result.retrained,
        result.tested.retrained,
        columns=(*END_COLUMNS, "test_sha256"),
    )


def check_targets(cell: Cell) -> None:
    """Refuse logits of other images, before anything is trained; reads headers only."""
    if cell.logits not in cell.reads:
        return

    read_manifest(cell.logits)
    check_pairs(cell.augmented, cell.logits, cell.epochs)

    members = cell.variant.members
    if members is not None:
        check_pairs(cell.augmented, first_members(cell.logits, members), cell.epochs)


def main() -> None:
    """Run the stage for one cell."""
    # Which cell.
    parser = argparse.ArgumentParser(prog="python -m stages.students", description=__doc__)
    parser.add_argument("group", choices=list(GROUPS))
    parser.add_argument("--row", required=True, help="a row of the group's section in params.yaml")
    parser.add_argument("--budget", required=True, help="a budget of the same section")
    parser.add_argument("--teacher", help="for student_2014: row of its teacher")
    parser.add_argument("--teacher_budget", help="for student_2014: budget of its teacher")
    asked = parser.parse_args()

    teacher = None
    if asked.teacher and asked.teacher_budget:
        teacher = CellName("teacher_2014", asked.teacher, asked.teacher_budget)

    # What it is; bad settings and logits are refused before anything is trained.
    cell, settings, space = set_up(CellName(asked.group, asked.row, asked.budget, teacher))
    check_targets(cell)
    check_log(cell.execution.log)

    # The search, and what it leaves.
    with work_folder(cell.name.work, settings, cell.reads, __file__) as work:
        cell = replace(cell, work=work)
        result = run_sweep(
            cell,
            stage=cell.name.recorded,
            name=cell.name.title,
            space=space,
            settings=settings,
            seed=seed_of(settings),
            inputs=cell.reads,
            out=Path("data") / cell.name.files,
            kept=cell.kept,
            preload=PRELOAD,
            train=remote_train,
            evaluate=remote_evaluate,
            check_memory=remote_check_memory,
            again=cell.again,
            final_seeds=cell.section.final_seeds,
        )

        write_outputs(cell, result)
        print(result.words(cell.name.title, work))


if __name__ == "__main__":
    entry.run(main)
