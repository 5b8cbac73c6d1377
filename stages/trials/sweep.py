"""One sweep, from its journal to the test accuracies of its best nets; without torch.

Whatever needs torch runs in a process of its own: the trials, the question whether they fit on a
GPU, and the evaluation on the test set when all choices are made. So this process proposes, keeps
the journal and starts the next trial at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from stages.runtime.engines import Engine, from_settings
from stages.runtime.environment import describe, record
from stages.search.ask_tell import RankedRow, TrialRow, best, retrain, run, top
from stages.search.journal import Journal
from stages.search.propose import Settings
from stages.search.space import Space
from stages.settings.sweeps import REPORTED_TRIALS
from stages.trials.folder import TrialFolder
from stages.trials.progress import SweepProgress
from stages.trials.shared import SweepJob, Tested

Job = TypeVar("Job", bound=SweepJob)
Train = Callable[[Job, int, dict[str, Any], int], dict[str, Any]]
"""Result of one trial: (job, number, hyperparameters, seed)."""


def _nothing(job: SweepJob, executor: Engine) -> None:
    """What is done with spare slots where nobody has set anything else."""


on_spare: Callable[[Any, Engine], None] = _nothing
"""Called with the job when its last trial has been submitted, so that slots may fall idle.

commands/running sets it in a process that it has forked.
"""


@dataclass(frozen=True)
class SweepResult:
    """A sweep that is over.

    Attributes:
        rows: all trials, in order.
        best: the one of lowest validation error.
        retrained: its hyperparameters trained again from other seeds, in order.
        tested: of the trials that are reported, and of the retrained nets that did not fail.
    """

    rows: list[TrialRow]
    best: RankedRow
    retrained: list[TrialRow]
    tested: Tested


def run_sweep(
    job: Job,
    *,
    stage: str,
    name: str,
    space: Space,
    settings: Mapping[str, Any],
    seed: int,
    inputs: Sequence[Path],
    preload: Sequence[str],
    train: Train[Job],
    evaluate: Callable[[Job, list[int], list[int]], Tested],
    check_memory: Callable[[Job, dict[str, Any]], None],
    again: Job | None = None,
    final_seeds: int = 0,
) -> SweepResult:
    """Search, retrain the best hyperparameters, test what is reported; record the environment.

    Args:
        job: what all trials share, with the locked work folder.
        stage: as DVC calls it, e.g. "students@conv2-180k".
        name: what the progress bar says, e.g. "students conv2-180k".
        space: what is searched.
        settings: all that the results depend on, as plain JSON data; with the root `seed`.
        seed: of the search.
        inputs: data folders that trials read.
        preload: modules that every trial imports.
        train, evaluate, check_memory: what runs in a process of its own. They travel by name, so
            they are functions of a file without torch. `evaluate` takes numbers of trials and of
            retrained nets, `check_memory` hyperparameters.
        again: `job` of the retrained nets, whose folders are others.
        final_seeds: how many of them.
    """
    sweep = job.section.sweep
    max_epochs = job.section.training.max_epochs
    header = {"space": space.fingerprint(), "settings": settings}
    journal = Journal.open(job.work / "journal.jsonl", header)

    with (
        from_settings(job.execution, preload, inputs) as executor,
        SweepProgress(name, sweep.trials, max_epochs, _progress_files(job)) as progress,
    ):
        # As many trials as are to share a GPU fit on it.
        if executor.gpus:
            executor.submit(check_memory, job, space.middle()).result()

        def submit(trial: int, values: dict[str, Any], trial_seed: int) -> Any:
            future = executor.submit(train, job, trial, values, trial_seed)
            if trial == sweep.trials - 1 and not final_seeds:
                on_spare(job, executor)
            return future

        # All choices: the trials, and the best of them by validation error.
        rows = run(
            journal=journal,
            space=space,
            settings=Settings(sweep.engine, sweep.start, sweep.lag),
            seed=seed,
            trials=sweep.trials,
            submit=submit,
            slots=executor.slots,
            on_event=progress.event,
        )
        chosen = best(rows)

        retrained: list[TrialRow] = []
        if again is not None and final_seeds:
            retrained = _retrain(again, name, chosen, seed, final_seeds, train, executor)

        # Only now the test set is opened.
        reported = [row.trial for row in top(rows, REPORTED_TRIALS)]
        finished = [row.trial for row in retrained if row.value is not None]
        testing = executor.submit(_test, evaluate, job, reported, finished)
        tested, environment = testing.result()

    record(stage, {**environment, "precision": job.numerics.precision, "seed": settings["seed"]})
    return SweepResult(rows, chosen, retrained, tested)


def _test(
    evaluate: Callable[[Job, list[int], list[int]], Tested],
    job: Job,
    reported: list[int],
    finished: list[int],
) -> tuple[Tested, dict[str, Any]]:
    """In a process of its own: what is reported, and what that process says of itself."""
    tested = evaluate(job, reported, finished)
    return tested, describe(job.execution.device, job.numerics.threads)


def _retrain(
    again: Job,
    name: str,
    chosen: TrialRow,
    seed: int,
    count: int,
    train: Train[Job],
    executor: Engine,
) -> list[TrialRow]:
    """The chosen hyperparameters trained from other seeds, with a progress bar."""
    max_epochs = again.section.training.max_epochs
    with SweepProgress(f"{name} again", count, max_epochs, _progress_files(again)) as progress:
        return retrain(
            chosen.params,
            seed,
            count,
            lambda *trial: executor.submit(train, again, *trial),
            progress.event,
        )


def _progress_files(job: SweepJob) -> Callable[[int], Path]:
    """Number of a trial -> the file in which it says how far it is."""
    return lambda trial: TrialFolder(job.work, trial).progress
