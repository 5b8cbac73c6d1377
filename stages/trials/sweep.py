"""One sweep, from its journal to the test accuracies of its best nets; without torch.

Whatever needs torch runs in a process of its own: the trials, the question whether they fit on a
GPU, and the evaluation on the test set when all choices are made. So this process proposes, keeps
the journal and starts the next trial at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from stages.runtime.engines import Engine, from_settings
from stages.runtime.environment import describe, host, record
from stages.search.ask_tell import RankedRow, TrialRow, best, retrain, run, top
from stages.search.journal import Journal
from stages.search.propose import Settings
from stages.search.space import Space
from stages.settings.sweeps import REPORTED_TRIALS
from stages.trials.earlier import Kept, Search
from stages.trials.folder import TrialFolder, total_seconds
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


UNKNOWN = {"commit": None, "changed": None}
"""What the record says of the commit of trials that this run has not trained."""


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

    def words(self, name: str, work: Path) -> str:
        """What the stage prints when it is done.

        Args:
            name: of the search.
            work: its work folder.
        """
        test_accuracy = self.tested.trials[self.best.trial]["test_accuracy"]
        again = [columns["test_accuracy"] for columns in self.tested.retrained.values()]
        mean = f", {sum(again) / len(again):.4f} over {len(again)} seeds" if again else ""

        return (
            f"{name}: {len(self.rows)} trials, best validation accuracy {1 - self.best.value:.4f}, "
            f"test {test_accuracy:.4f}{mean}, {total_seconds(work, len(self.rows)):.0f} s in trials"
        )


def run_sweep(
    job: Job,
    *,
    stage: str,
    name: str,
    space: Space,
    settings: Mapping[str, Any],
    seed: int,
    inputs: Sequence[Path],
    out: Path,
    kept: Kept,
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
        out: the stage's output folder, of which an earlier run may be found.
        kept: which files of trials it holds.
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

    place = job.work if again is None else again.work
    search = Search(job.work, sweep.trials, place, final_seeds, out, kept)
    found = search.take_over()
    if found:
        print(f"{name}: {found} trials are taken from its earlier outputs", flush=True)

    with (
        from_settings(job.execution, preload, inputs) as executor,
        SweepProgress(name, sweep.trials, max_epochs, _progress_files(job)) as progress,
    ):
        # As many trials as are to share a GPU fit on it. One alone needs no process that says so:
        # a trial that runs out of memory ends the run with a line of its own.
        if executor.gpus and job.execution.trials_per_gpu > 1:
            executor.submit(check_memory, job, space.middle()).result()

        def submit(trial: int, values: dict[str, Any], trial_seed: int) -> Any:
            future = _submit(executor, train, job, trial, values, trial_seed)
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

        # Trials of an earlier run whose nets are needed now, and are not at hand.
        _train_again(job, rows, kept, train, executor)

        # Only now the test set is opened.
        reported = [row.trial for row in top(rows, REPORTED_TRIALS)]
        finished = [row.trial for row in retrained if row.value is not None]
        testing = executor.submit(_test, evaluate, job, reported, finished)
        tested, environment = testing.result()

    of_settings = {"precision": job.numerics.precision, "seed": settings["seed"]}
    record(stage, {**environment, **of_settings}, continued=search.continued)

    # A search that was resumed elsewhere, or with other packages, has trials of both.
    others = search.environments(besides=environment)
    for other in others:
        record(stage, {**other, **of_settings, **UNKNOWN}, continued=True)
    if others:
        print(
            f"{name}: note: its trials were trained in {len(others) + 1} environments, which "
            "metrics/environment.json lists: another machine or version rounds differently",
            flush=True,
        )
    return SweepResult(rows, chosen, retrained, tested)


def _submit(
    executor: Engine, train: Train[Job], job: Job, trial: int, values: dict[str, Any], seed: int
) -> Future[dict[str, Any]]:
    """Train in a process of its own, unless the result is there."""
    finished = TrialFolder(job.work, trial).finished(values, seed)
    if finished is None:
        return executor.submit(train, job, trial, values, seed)

    future: Future[dict[str, Any]] = Future()
    future.set_result(finished)
    return future


def _train_again(
    job: Job, rows: list[TrialRow], kept: Kept, train: Train[Job], executor: Engine
) -> None:
    """Train the nets that will be kept or tested, and of which a trial has left its result alone.

    A search that was taken over has nets and outputs of the trials that it needed then. Its results
    stay as the journal has them: the same trial gives the same net.
    """
    files = kept(rows)
    reported = {row.trial for row in top(rows, REPORTED_TRIALS)}
    futures = []

    for row in rows:
        folder = TrialFolder(job.work, row.trial)
        names = set(files.get(row.trial, {}).values())
        whole = all((folder.folder / name).is_file() for name in names)
        testable = folder.tested.is_file() or folder.weights.is_file()
        if not whole or (row.trial in reported and not testable):
            folder.result.unlink(missing_ok=True)
            futures.append(executor.submit(train, job, row.trial, row.params, row.seed))

    for future in futures:
        future.result()


def _test(
    evaluate: Callable[[Job, list[int], list[int]], Tested],
    job: Job,
    reported: list[int],
    finished: list[int],
) -> tuple[Tested, dict[str, Any]]:
    """In a process of its own: what is reported, and what that process says of itself."""
    tested = evaluate(job, reported, finished)
    return tested, {**host(), **describe(job.execution.device, job.numerics.threads)}


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
            lambda *trial: _submit(executor, train, again, *trial),
            progress.event,
        )


def _progress_files(job: SweepJob) -> Callable[[int], Path]:
    """Number of a trial -> the file in which it says how far it is."""
    return lambda trial: TrialFolder(job.work, trial).progress
