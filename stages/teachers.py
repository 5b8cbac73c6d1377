"""teachers: the search over nets of eight conv layers -> data/teachers (Table 1, Figure 1's
ceiling).

Reads data/prepared. Every trial is one net on hard labels with augmentation drawn on the fly;
eighteen hyperparameters are searched (Urban et al. 2017, sections 2.4-2.7 and 6.1). Writes
data/teachers: the weights of every trial's best validation epoch and the outputs of all of them on
the validation images; metrics/teachers.json and metrics/teachers.csv, one line a trial.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from stages.fit.curves import check_log
from stages.runtime import entry
from stages.runtime.engines import from_settings
from stages.runtime.environment import describe, record
from stages.runtime.work import work_folder
from stages.search.journal import Journal
from stages.search.propose import Settings
from stages.search.space import Space
from stages.search.sweep import TrialRow, run, top
from stages.settings import common
from stages.settings.inputs import Inputs
from stages.settings.read import read_params
from stages.settings.sweeps import split_space
from stages.settings.teachers import teachers
from stages.store.atomic import link_or_copy
from stages.store.manifest import fresh_folder, read_manifest, write_manifest
from stages.trials.folder import TrialFolder, total_seconds
from stages.trials.progress import SweepProgress
from stages.trials.tables import write_curves, write_metrics
from stages.trials.teacher import TeacherJob

PREPARED = Path("data/prepared")
OUT = Path("data/teachers")
METRICS = Path("metrics")
PRELOAD = ("stages.trials.teacher_trial", "stages.search.sweep", "stages.settings.teachers")
REPORTED = 5
"""Trials whose test accuracy is reported: the best by validation error."""


def train_trial(job: TeacherJob, trial: int, values: dict[str, Any], seed: int) -> dict[str, Any]:
    """One trial, in its own process: torch is imported there and not here."""
    from stages.trials.teacher_trial import train_teacher

    return train_teacher(job, trial, values, seed)


def test_trials(job: TeacherJob, trials: list[int]) -> list[float]:
    """Test accuracies of these trials, in a process of their own; called when the search is
    over.
    """
    from stages.trials.teacher_trial import test_accuracies

    return test_accuracies(job, trials)


def check_memory(job: TeacherJob, values: dict[str, Any]) -> None:
    """As many trials as share a GPU fit on it; in a process of its own, before the first one."""
    from stages.trials.teacher_trial import check_memory

    check_memory(job, values)


def write_outputs(
    job: TeacherJob, rows: list[TrialRow], tested: dict[int, dict[str, float]]
) -> None:
    """Assemble data/teachers and the metrics from the work folder."""
    out = fresh_folder(OUT)
    good = [row for row in rows if row.value is not None]
    for row in good:
        folder = TrialFolder(job.work, row.trial)
        link_or_copy(folder.weights, out / f"{row.trial:03d}.safetensors")
        link_or_copy(
            folder.folder / "validation.safetensors",
            out / f"{row.trial:03d}.validation.safetensors",
        )
    write_curves(out / "curves.json", rows)
    facts = {"trials": [{"trial": row.trial, "validation_error": row.value} for row in good]}
    write_manifest(out, facts)
    names = (
        "params",
        "widths",
        "best_epoch",
        "epochs",
        "why",
        "reason",
        *sorted(job.section.space),
    )
    write_metrics(METRICS / "teachers", rows, top(rows, 1)[0], tested, job.fixed, names)


def main() -> None:
    """Run the stage."""
    params = read_params()
    inputs = Inputs.from_json(read_manifest(PREPARED))
    section, numerics, images = (
        teachers(params, inputs),
        common.numerics(params),
        common.images(params),
    )
    execution, seed = common.execution(params), common.seed(params)
    check_log(execution.log)
    searched, fixed = split_space(section.space)
    space, sweep = Space.from_params(searched), section.sweep
    settings = {
        "seed": seed,
        "section": asdict(section),
        "numerics": asdict(numerics),
        "images": asdict(images),
    }
    with work_folder("teachers", settings, [PREPARED], __file__) as work:
        job = TeacherJob(work, PREPARED, section, fixed, numerics, execution, images, inputs)
        journal = Journal.open(
            work / "journal.jsonl", {"space": space.fingerprint(), "settings": settings}
        )
        name, bound = "teachers", section.training.max_epochs
        with (
            from_settings(execution, PRELOAD, [PREPARED]) as executor,
            SweepProgress(
                name, sweep.trials, bound, lambda i: TrialFolder(work, i).progress
            ) as progress,
        ):
            if executor.gpus:
                executor.submit(check_memory, job, space.middle()).result()
            rows = run(
                journal=journal,
                space=space,
                settings=Settings(sweep.engine, sweep.start, sweep.lag),
                seed=seed,
                trials=sweep.trials,
                submit=lambda *trial: executor.submit(train_trial, job, *trial),
                slots=executor.slots,
                on_event=progress.event,
            )
            chosen = [r.trial for r in top(rows, REPORTED)]
            tested = executor.submit(test_trials, job, chosen).result()
            found = executor.submit(describe, execution.device, numerics.threads).result()
        facts = {
            trial: {"test_accuracy": share} for trial, share in zip(chosen, tested, strict=True)
        }
        write_outputs(job, rows, facts)
        record("teachers", {**found, "precision": numerics.precision, "seed": seed})
        best = top(rows, 1)[0]
        assert best.value is not None  # one that failed is never the best
        print(
            f"teachers: {len(rows)} trials, best validation accuracy {1 - best.value:.4f}, "
            f"test {facts[best.trial]['test_accuracy']:.4f}, {total_seconds(work):.0f} s in trials"
        )


if __name__ == "__main__":
    entry.run(main)
