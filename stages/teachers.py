"""teachers: the search over nets of eight conv layers -> data/teachers (Table 1, Figure 1).

Reads data/prepared. Every trial is one net on hard labels with augmentation drawn on the fly;
eighteen hyperparameters are searched (Urban et al. 2017, sections 2.4-2.7 and 6.1). Writes
data/teachers: the weights of every trial's best validation epoch and the outputs of all of them on
the validation images; metrics/teachers.json and metrics/teachers.csv, one line a trial.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from stages.fit.curves import check_log
from stages.runtime import entry
from stages.runtime.work import work_folder
from stages.search.space import Space
from stages.settings import common
from stages.settings.read import read_params
from stages.settings.sweeps import split_space
from stages.settings.teachers import teachers
from stages.store import chance
from stages.store.atomic import link_or_copy
from stages.store.manifest import fresh_folder, write_manifest
from stages.store.prepared import PreparedManifest, read_validation
from stages.trials.columns import TEACHER_COLUMNS
from stages.trials.folder import TrialFolder, total_seconds
from stages.trials.shared import Tested
from stages.trials.sweep import SweepResult, run_sweep
from stages.trials.tables import write_curves, write_metrics
from stages.trials.teacher import TeacherJob

PREPARED = Path("data/prepared")
OUT = Path("data/teachers")
METRICS = Path("metrics")
PRELOAD = ("stages.trials.teacher_trial", "stages.search.ask_tell", "stages.settings.teachers")


# What runs in processes of its own. These functions travel there by name and import torch there, so
# that the process of the sweep never does.


def remote_train(job: TeacherJob, trial: int, values: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train one trial."""
    from stages.trials.teacher_trial import train_teacher

    return train_teacher(job, trial, values, seed)


def remote_evaluate(job: TeacherJob, trials: list[int], retrained: list[int]) -> Tested:
    """Test accuracies of these trials; no teacher is retrained."""
    from stages.trials.teacher_trial import evaluate_teachers

    return evaluate_teachers(job, trials)


def remote_check_memory(job: TeacherJob, values: dict[str, Any]) -> None:
    """Refuse the sweep if its trials do not fit on a GPU."""
    from stages.trials.teacher_trial import untrained_teacher
    from stages.trials.training import check_memory

    check_memory(job, partial(untrained_teacher, job, {**job.fixed, **values}))


def write_outputs(job: TeacherJob, result: SweepResult) -> None:
    """Assemble data/teachers and the metrics from the work folder."""
    out = fresh_folder(OUT)

    # The nets of all trials that did not fail, with their outputs on the validation images.
    good = [row for row in result.rows if row.value is not None]
    for row in good:
        folder = TrialFolder(job.work, row.trial)
        link_or_copy(folder.weights, out / f"{row.trial:03d}.safetensors")
        link_or_copy(
            folder.folder / "validation.safetensors",
            out / f"{row.trial:03d}.validation.safetensors",
        )

    write_curves(out / "curves.json", result.rows)

    trials = [{"trial": row.trial, "validation_error": row.value} for row in good]
    write_manifest(out, {"trials": trials})

    # The table.
    write_metrics(
        METRICS / "teachers",
        result.rows,
        tested=result.tested.trials,
        fixed=job.fixed,
        columns=(*TEACHER_COLUMNS, *sorted(job.section.space)),
    )


def main() -> None:
    """Run the stage."""
    params = read_params()
    inputs = PreparedManifest.read(PREPARED).inputs
    section = teachers(params, inputs)
    numerics = common.numerics(params)
    images = common.images(params)
    execution = common.execution(params)
    seed = common.seed(params)
    check_log(execution.log)

    # All that the results depend on.
    searched, fixed = split_space(section.space)
    settings = {
        "seed": seed,
        "section": {**asdict(section), "sweep": section.sweep.of_each},
        "numerics": asdict(numerics),
        "images": asdict(images),
    }

    # The search, and what it leaves.
    with work_folder("teachers", settings, [PREPARED], __file__) as work:
        job = TeacherJob(work, PREPARED, section, fixed, numerics, execution, images, inputs)
        result = run_sweep(
            job,
            stage="teachers",
            name="teachers",
            space=Space.from_params(searched),
            settings=settings,
            seed=seed,
            inputs=[PREPARED],
            preload=PRELOAD,
            train=remote_train,
            evaluate=remote_evaluate,
            check_memory=remote_check_memory,
        )

        write_outputs(job, result)

        best = result.best
        test_accuracy = result.tested.trials[best.trial]["test_accuracy"]
        print(
            f"teachers: {len(result.rows)} trials, "
            f"best validation accuracy {1 - best.value:.4f}, test {test_accuracy:.4f}, "
            f"{total_seconds(work, len(result.rows)):.0f} s in trials"
        )

        labels = read_validation(PREPARED)[1]
        if chance.at_chance(1 - best.value, labels):
            print(
                f"teachers: note: the best of them is at chance: "
                f"{chance.words(1 - best.value, labels)}; change teachers.space (lr, init_scale) or "
                "teachers.training in params.yaml"
            )


if __name__ == "__main__":
    entry.run(main)
