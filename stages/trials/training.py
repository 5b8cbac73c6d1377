"""What every trial does, whatever net it trains; it runs in the trial's process."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stages.fit.checkpoint import Checkpoint
from stages.fit.curves import logged
from stages.fit.loop import Epoch, Recipe, train
from stages.fit.losses import Loss
from stages.fit.memory import check_room
from stages.images.host import on_device
from stages.nets.initial import glorot_
from stages.runtime.device import check_precision, choose_device, set_up_torch
from stages.runtime.environment import describe, host
from stages.store.atomic import alone, write_json
from stages.store.prepared import read_validation
from stages.store.weights import save_weights
from stages.trials.folder import TrialFolder
from stages.trials.shared import SweepJob


@dataclass(frozen=True)
class UntrainedNet:
    """A net before its weights are drawn.

    Attributes:
        net: on the host.
        description: what it is built from, kept beside its weights.
        sizes: what the trial's result says of it, as plain JSON data: widths, parameters, ....
    """

    net: nn.Module
    description: dict[str, Any]
    sizes: dict[str, Any]


Build = Callable[[int], UntrainedNet]
"""Makes the net for this number of classes."""


def train_trial(
    job: SweepJob,
    trial: int,
    values: dict[str, Any],
    seed: int,
    *,
    build: Build,
    feed: Callable[[torch.device], AbstractContextManager[Epoch]],
    epoch_images: int,
    loss: str | Loss,
    weight_decay: float,
    curve: str,
    on_best: Callable[[nn.Module, np.ndarray | Tensor], None] | None = None,
) -> dict[str, Any]:
    """Train one net; its result as plain JSON data, its weights in the trial's folder.

    A trial that has finished before gives the result that it left. If another process of this
    machine is training it, see early.py, its result is waited for.

    Args:
        job: what all trials share.
        trial, values, seed: the trial, its searched hyperparameters and its seed.
        build: makes the net.
        feed: gives the epochs on a device; entered when the net is there, left after training.
        epoch_images, loss, weight_decay: as in `Recipe`.
        curve: under which name its curve grows, if `execution.log` wants one.
        on_best: called with the net at its best validation epoch and the validation images, on the
            device or in a memory map; what it writes is on disk before the result.
    """
    folder = TrialFolder(job.work, trial)

    # Nodes of a cluster need no lock: there a trial may run twice, and leaves the same files.
    with alone(folder.folder / "trial") if job.execution.engine == "local" else nullcontext():
        finished = folder.finished(values, seed)
        if finished is not None:
            return finished

        return _train(
            job, folder, values, seed, build, feed, epoch_images, loss, weight_decay, curve, on_best
        )


def _train(
    job: SweepJob,
    folder: TrialFolder,
    values: dict[str, Any],
    seed: int,
    build: Build,
    feed: Callable[[torch.device], AbstractContextManager[Epoch]],
    epoch_images: int,
    loss: str | Loss,
    weight_decay: float,
    curve: str,
    on_best: Callable[[nn.Module, np.ndarray | Tensor], None] | None,
) -> dict[str, Any]:
    """Train one net that is not finished; arguments and result as of `train_trial`."""
    # The device, and torch's state in this process.
    started = time.monotonic()
    device = choose_device(job.execution.device)
    set_up_torch(job.numerics.threads, device)
    check_precision(device, job.numerics.precision)

    # The net, its weights drawn from the trial's seed.
    everything = {**job.fixed, **values}
    images, labels, header = read_validation(job.prepared)
    untrained = build(len(header["classes"]))

    glorot_(untrained.net, everything["init_scale"], torch.Generator().manual_seed(seed))
    net = untrained.net.to(device).to(memory_format=torch.channels_last)

    # Training, from its newest checkpoint if there is one.
    recipe = Recipe(
        loss=loss,
        lr=everything["lr"],
        momentum=everything["momentum"],
        weight_decay=weight_decay,
        batch_size=job.section.training.batch_size,
        max_epochs=job.section.training.max_epochs,
        precision=job.numerics.precision,
        eval_batch=job.numerics.eval_batch,
        schedule=job.section.training.schedule,
        epoch_images=epoch_images,
    )

    validation = (on_device(images, device), torch.from_numpy(labels).to(device))
    checkpoint = Checkpoint(folder.checkpoint, job.execution.checkpoint_seconds)

    with (
        feed(device) as epochs,
        logged(job.execution.log, curve, folder.report) as report,
    ):
        outcome = train(
            net,
            recipe,
            epochs,
            validation,
            seed,
            checkpoint,
            report,
            job.execution.cuda_graphs,
        )

    # What it leaves, the result last: a trial with a result is never run again.
    if outcome.state is not None:
        save_weights(folder.weights, outcome.state, untrained.description)
        if on_best is not None:
            net.load_state_dict(outcome.state)
            on_best(net, validation[0])

    result = {
        "value": outcome.value,
        "reason": outcome.reason,
        "why": outcome.why,
        **untrained.sizes,
        "best_epoch": outcome.best_epoch,
        "errors": outcome.errors,
        "losses": outcome.losses,
    }

    here = {**host(), **describe(job.execution.device, job.numerics.threads)}
    write_json(folder.environment, here)
    folder.finish(values, seed, result, time.monotonic() - started)
    checkpoint.clear()
    return result


def check_memory(job: SweepJob, build: Build) -> None:
    """Refuse a sweep if fewer trials fit on a GPU than are to share it; on a CPU nothing is asked.

    Args:
        build: makes a net like those of the trials.

    Raises:
        ValueError: they do not fit.
    """
    device = choose_device(job.execution.device)
    images, _, header = read_validation(job.prepared)
    net = build(len(header["classes"])).net

    check_room(
        net,
        torch.from_numpy(images[:2].copy()),
        job.section.training.batch_size,
        job.numerics.precision,
        device,
        job.execution.trials_per_gpu,
        job.execution.cuda_graphs,
    )
