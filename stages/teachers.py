"""teachers: the search over nets of eight conv layers -> data/teachers (Table 1, Figure 1).

Reads data/prepared. Every trial is one net on hard labels with augmentation drawn on the fly;
eighteen hyperparameters are searched (Urban et al. 2017, sections 2.4-2.7 and 6.1). Writes
data/teachers: the weights of every trial's best validation epoch and the outputs of all of them on
the validation images; metrics/teachers.json and metrics/teachers.csv, one line a trial. Nothing is
searched where `ensemble.source` takes other nets; the same files say so then.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from stages.fit.curves import check_log
from stages.runtime import entry
from stages.runtime.work import work_folder
from stages.search.ask_tell import TrialRow
from stages.search.space import Space
from stages.settings import common
from stages.settings.read import read_params
from stages.settings.sweeps import split_space
from stages.settings.teachers import teachers
from stages.settings.transfer import ensemble
from stages.store import chance
from stages.store.atomic import write_json
from stages.store.manifest import fresh_folder, write_manifest
from stages.store.prepared import PreparedManifest, read_validation
from stages.trials.columns import TEACHER_COLUMNS
from stages.trials.earlier import keep_files, write_trials
from stages.trials.folder import WEIGHTS
from stages.trials.shared import Tested
from stages.trials.sweep import SweepResult, run_sweep
from stages.trials.tables import write_curves, write_metrics, write_table
from stages.trials.teacher import TeacherJob, settings_of

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


def kept(rows: list[TrialRow]) -> dict[int, dict[str, str]]:
    """Files of trials in data/teachers: of each that did not fail its net, and what it says of the
    validation images."""
    return {
        row.trial: {
            f"{row.trial:03d}.safetensors": WEIGHTS,
            f"{row.trial:03d}.validation.safetensors": "validation.safetensors",
        }
        for row in rows
        if row.value is not None
    }


def write_outputs(job: TeacherJob, result: SweepResult) -> None:
    """Assemble data/teachers and the metrics from the work folder."""
    out = fresh_folder(OUT)

    keep_files(result.rows, kept, job.work, out)
    write_trials(out, job.work, result.rows)
    write_curves(out / "curves.json", result.rows)

    good = [row for row in result.rows if row.value is not None]
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


def write_none(source: str) -> None:
    """The outputs of a search that was not made, since the ensemble's nets are from `source`."""
    write_manifest(fresh_folder(OUT), {"trials": [], "source": source})
    write_table(METRICS / "teachers.csv", [], TEACHER_COLUMNS)
    write_json(METRICS / "teachers.json", {"source": source})
    print(f"teachers: none is searched: ensemble.source is {source}")


def main() -> None:
    """Run the stage."""
    params = read_params()
    if not ensemble(params).searched:
        write_none(ensemble(params).source)
        return

    inputs = PreparedManifest.read(PREPARED).inputs
    section = teachers(params, inputs)
    numerics = common.numerics(params)
    images = common.images(params)
    execution = common.execution(params)
    seed = common.seed(params)
    check_log(execution.log)

    searched, fixed = split_space(section.space)
    settings = settings_of(params, inputs)

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
            out=OUT,
            kept=kept,
            preload=PRELOAD,
            train=remote_train,
            evaluate=remote_evaluate,
            check_memory=remote_check_memory,
        )

        write_outputs(job, result)

        print(result.words("teachers", work))

        accuracy = 1 - result.best.value
        labels = read_validation(PREPARED)[1]
        if chance.at_chance(accuracy, labels):
            print(
                f"teachers: note: the best of them is at chance: "
                f"{chance.words(accuracy, labels)}; change teachers.space (lr, init_scale) or "
                "teachers.training in params.yaml"
            )


if __name__ == "__main__":
    entry.run(main)
