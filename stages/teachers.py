"""teachers: the search over nets of eight conv layers -> data/teachers (Table 1, Figure 1's ceiling).

Reads data/prepared. Every trial is one net on hard labels with augmentation drawn on the fly; eighteen
hyperparameters are searched (Urban et al. 2017, sections 2.4-2.7 and 6.1). Writes data/teachers: the weights of
every trial's best validation epoch and the outputs of all of them on the validation images; metrics/teachers.json
and metrics/teachers.csv, one line a trial.
"""

from __future__ import annotations

import functools
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.fit.checkpoint import Checkpoint
from stages.fit.device import choose_device, set_up_torch
from stages.fit.evaluate import accuracy, logits
from stages.fit.loop import Epoch, Recipe, train
from stages.images.draws import draw, order
from stages.images.hsv import Jitter
from stages.images.views import Views
from stages.nets.initial import glorot_
from stages.nets.layers import teacher_params, teacher_widths
from stages.nets.teacher import build_teacher
from stages.search.executors import from_settings
from stages.search.journal import Journal
from stages.search.propose import Settings
from stages.search.space import Space
from stages.search.sweep import Row, run, top
from stages.settings import common
from stages.settings.read import read_params
from stages.settings.sweeps import split_space
from stages.settings.teachers import Teachers, teachers
from stages.store import door
from stages.store.atomic import link_or_copy, write_json
from stages.store.prepared import read_test, read_train, read_validation
from stages.store.progress import SweepProgress
from stages.store.tensors import write_tensors
from stages.store.trials import TrialFolder, total_seconds, write_table
from stages.store.weights import load_weights, save_weights
from stages.store.work import fresh_folder, read_manifest, work_folder, write_manifest

PREPARED = Path("data/prepared")
OUT = Path("data/teachers")
METRICS = Path("metrics")
DROPOUTS = ("DOc1", "DOc2", "DOc3", "DOf1", "DOf2")
JITTER = ("D_h", "D_s", "D_v", "A_s", "A_v")
PRELOAD = "stages.teachers"
REPORTED = 5
"""Trials whose test accuracy is reported: the best by validation error."""


@dataclass(frozen=True)
class Job:
    """What all trials of the sweep share; small, since it travels to every trial's process."""

    work: Path
    prepared: Path
    section: Teachers
    fixed: dict[str, float]
    numerics: common.Numerics
    execution: common.Execution
    images: common.Images


def train_trial(job: Job, trial: int, values: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train one teacher; its result as plain JSON data, the weights and outputs in its folder."""
    folder = TrialFolder(job.work, trial)
    if (done := folder.finished(values, seed)) is not None:
        return done
    started = time.monotonic()
    values = {**job.fixed, **values}
    device = choose_device(job.execution.device)
    set_up_torch(job.numerics.threads, device)
    train_images, train_labels, header = read_train(job.prepared)
    images, labels, _ = read_validation(job.prepared)
    validation = torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)
    widths = teacher_widths(values, asdict(job.section.boxes))
    description = {
        "widths": list(widths),
        "dropout": [values[name] for name in DROPOUTS],
        "classes": len(header["classes"]),
        "size_px": images.shape[1],
    }
    net = build_teacher(**description)
    glorot_(net, values["init_scale"], torch.Generator().manual_seed(seed))
    net = net.to(device, memory_format=torch.channels_last)
    jitter = Jitter(*(values[name] for name in JITTER))
    views = Views(train_images, device, jitter, job.images.crop_min_px)
    checkpoint = Checkpoint(
        folder.checkpoint, save_weights, load_weights, job.execution.checkpoint_seconds
    )
    outcome = train(
        net,
        _recipe(job, values),
        _epochs(views, train_labels, seed, job.images),
        validation,
        seed,
        checkpoint,
        folder.report,
    )
    result = {
        "value": outcome.value,
        "reason": outcome.reason,
        "why": outcome.why,
        "widths": list(widths),
        "params": teacher_params(widths, description["classes"], description["size_px"]),
        "best_epoch": outcome.best_epoch,
        "errors": outcome.errors,
        "losses": outcome.losses,
    }
    if outcome.state is not None:
        net.load_state_dict(outcome.state)
        save_weights(folder.weights, outcome.state, description)
        outputs = logits(net, validation[0], job.numerics.eval_batch, job.numerics.precision)
        write_tensors(folder.folder / "validation.safetensors", {"logits": outputs.cpu().numpy()}, {})
    folder.finish(_own(job, values), seed, result, time.monotonic() - started)
    checkpoint.clear()
    return result


def _own(job: Job, values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in job.fixed}


def _recipe(job: Job, values: dict[str, Any]) -> Recipe:
    return Recipe(
        loss="cross_entropy",
        lr=values["lr"],
        momentum=values["momentum"],
        weight_decay=values["weight_decay"],
        batch_size=job.section.training.batch_size,
        max_epochs=job.section.training.max_epochs,
        precision=job.numerics.precision,
        eval_batch=job.numerics.eval_batch,
    )


def _epochs(views: Views, labels: np.ndarray, seed: int, images: common.Images) -> Epoch:
    """Augmented epochs of one trial, each drawn from (seed, epoch) (section 2.5)."""
    targets = torch.from_numpy(labels)

    def epoch_of(epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        count = len(targets)
        index = order(seed, epoch, "teacher", count)
        draws = draw(
            seed,
            epoch,
            "teacher",
            count,
            size_px=views.size_px,
            crop_min=images.crop_min_px,
            mirror=images.mirror,
        )
        return views(index, draws), targets[torch.from_numpy(index).long()].to(views.device)

    return epoch_of


def test_accuracies(job: Job, rows: list[Row]) -> dict[int, float]:
    """Test accuracy of the best trials by validation error; called when the search is over."""
    device = choose_device(job.execution.device)
    set_up_torch(job.numerics.threads, device)
    images, labels, _ = read_test(job.prepared)
    found = {}
    for row in top(rows, REPORTED):
        state, description = load_weights(TrialFolder(job.work, row.trial).weights)
        net = build_teacher(**description)
        net.load_state_dict(state)
        net = net.to(device, memory_format=torch.channels_last)
        found[row.trial] = accuracy(
            net,
            torch.from_numpy(images),
            torch.from_numpy(labels),
            job.numerics.eval_batch,
            job.numerics.precision,
        )
    return found


def write_outputs(job: Job, rows: list[Row], accuracies: dict[int, float]) -> None:
    """Assemble data/teachers and the metrics from the work folder."""
    out = fresh_folder(OUT)
    good = [row for row in rows if row.value is not None]
    for row in good:
        folder = TrialFolder(job.work, row.trial)
        link_or_copy(folder.weights, out / f"{row.trial:03d}.safetensors")
        link_or_copy(folder.folder / "validation.safetensors", out / f"{row.trial:03d}.validation.safetensors")
    curves = {str(row.trial): {k: row.result[k] for k in ("errors", "losses")} for row in rows}
    write_json(out / "curves.json", curves)
    facts = {"trials": [{"trial": row.trial, "validation_error": row.value} for row in good]}
    write_manifest(out, facts)
    table = [
        {
            "trial": row.trial,
            "validation_error": row.value,
            "test_accuracy": accuracies.get(row.trial),
            "reason": row.reason,
            **{k: row.result[k] for k in ("params", "widths", "best_epoch", "why")},
            "epochs": len(row.result["errors"]),
            **job.fixed,
            **row.params,
        }
        for row in rows
    ]
    names = ("params", "widths", "best_epoch", "epochs", "why", "reason", *sorted(job.section.space))
    write_table(METRICS / "teachers.csv", table, names)
    best = top(rows, 1)[0]
    write_json(
        METRICS / "teachers.json",
        {"test_accuracy": accuracies[best.trial], "validation_accuracy": round(1 - best.value, 9)},
    )


def main() -> None:
    """Run the stage."""
    params = read_params()
    section, numerics, images = teachers(params), common.numerics(params), common.images(params)
    execution, seed = common.execution(params), common.seed(params)
    choose_device(execution.device)
    searched, fixed = split_space(section.space)
    space, sweep = Space.from_params(searched), section.sweep
    settings = {
        "seed": seed,
        "section": asdict(section),
        "numerics": asdict(numerics),
        "images": asdict(images),
    }
    read_manifest(PREPARED)
    with work_folder("teachers", settings, [PREPARED]) as work:
        job = Job(work, PREPARED, section, fixed, numerics, execution, images)
        journal = Journal.open(work / "journal.jsonl", {"space": space.fingerprint(), "settings": settings})
        name, bound = "teachers", section.training.max_epochs
        with (
            from_settings(execution.engine, execution.slots, preload=[PRELOAD]) as executor,
            SweepProgress(name, sweep.trials, bound, lambda i: TrialFolder(work, i).progress) as progress,
        ):
            rows = run(
                journal=journal,
                space=space,
                settings=Settings(sweep.engine, sweep.start, sweep.lag),
                seed=seed,
                trials=sweep.trials,
                submit=functools.partial(executor.submit, train_trial, job),
                slots=execution.slots,
                on_event=progress.event,
            )
        accuracies = test_accuracies(job, rows)
        write_outputs(job, rows, accuracies)
        best = top(rows, 1)[0]
        print(
            f"teachers: {len(rows)} trials, best validation accuracy {1 - best.value:.4f}, "
            f"test {accuracies[best.trial]:.4f}, {total_seconds(work):.0f} s in trials"
        )


if __name__ == "__main__":
    door.run(main)
