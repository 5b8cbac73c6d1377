"""What one trial of students does: the part of that door that runs in the trial's process.

The door itself imports no torch: it proposes, keeps the journal and starts the next process at
once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stages.fit.checkpoint import Checkpoint
from stages.fit.curves import logged
from stages.fit.evaluate import logits
from stages.fit.loop import Recipe, train
from stages.fit.losses import Loss, distillation
from stages.fit.memory import check_room
from stages.nets.initial import glorot_
from stages.nets.stored import load_net
from stages.nets.student import described_student
from stages.runtime.device import check_precision, choose_device, set_up_torch
from stages.store.predictions import fingerprint, write_test_logits
from stages.store.prepared import read_test, read_validation
from stages.store.weights import save_weights
from stages.trials.folder import TrialFolder
from stages.trials.student_data import feed

if TYPE_CHECKING:
    from pathlib import Path

    from stages.nets.families import Plan
    from stages.trials.cell import Cell, Tested


def train_student(cell: Cell, trial: int, values: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train one student; its result as plain JSON data, its weights in the trial's folder."""
    folder = TrialFolder(cell.work, trial)
    if (done := folder.finished(values, seed)) is not None:
        return done
    started = time.monotonic()
    everything = {**cell.fixed, **values}
    device = choose_device(cell.execution.device)
    set_up_torch(cell.numerics.threads, device)
    check_precision(device, cell.numerics.precision)
    images, labels, _ = read_validation(cell.prepared)
    widths, description = described(cell, everything)
    net = described_student(description)
    glorot_(net, everything["init_scale"], torch.Generator().manual_seed(seed))
    net = net.to(device).to(memory_format=torch.channels_last)
    checkpoint = Checkpoint(folder.checkpoint, cell.execution.checkpoint_seconds)
    with (
        feed(cell, device) as epochs,
        logged(cell.execution.log, cell.curve(trial), folder.report) as report,
    ):
        outcome = train(
            net,
            _recipe(cell, everything),
            epochs,
            (torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)),
            seed,
            checkpoint,
            report,
            cell.execution.cuda_graphs,
        )
    if outcome.state is not None:
        save_weights(folder.weights, outcome.state, description)
    result = {
        "value": outcome.value,
        "reason": outcome.reason,
        "why": outcome.why,
        "widths": list(widths.widths),
        "dependent": widths.dependent,
        "params": widths.params,
        "best_epoch": outcome.best_epoch,
        "errors": outcome.errors,
        "losses": outcome.losses,
    }
    folder.finish(values, seed, result, time.monotonic() - started)
    checkpoint.clear()
    return result


def described(cell: Cell, values: dict[str, Any]) -> tuple[Plan, dict[str, Any]]:
    """Widths of the student with these hyperparameters, and what `described_student` takes."""
    widths = cell.plan(values)
    return widths, {
        "plan": widths.to_json(),
        "input_scale": values["input_scale"],
        "dropout": [values[name] for name in cell.dropouts],
    }


def check_memory(cell: Cell, values: dict[str, Any]) -> None:
    """As many trials as are asked for fit on a GPU, if they run on one.

    Raises:
        ValueError: they do not.
    """
    device = choose_device(cell.execution.device)
    net = described_student(described(cell, {**cell.fixed, **values})[1])
    few, batch = (
        torch.from_numpy(read_validation(cell.prepared)[0][:2]),
        cell.section.training.batch_size,
    )
    check_room(net, few, batch, cell.numerics.precision, device, cell.execution.trials_per_gpu)


def _loss(cell: Cell) -> str | Loss:
    if (mixed := cell.variant.loss) is not None:
        return distillation(mixed.temperature, mixed.hard_weight)
    return "cross_entropy" if cell.hard else "l2_on_logits"


def _recipe(cell: Cell, values: dict[str, Any]) -> Recipe:
    decay = cell.variant.weight_decay
    return Recipe(
        loss=_loss(cell),
        lr=values["lr"],
        momentum=values["momentum"],
        weight_decay=cell.section.training.weight_decay if decay is None else decay,
        batch_size=cell.section.training.batch_size,
        max_epochs=cell.section.training.max_epochs,
        precision=cell.numerics.precision,
        eval_batch=cell.numerics.eval_batch,
    )


def test_nets(cell: Cell, trials: list[int], runs: list[int]) -> Tested:
    """Test accuracy of these trials and retrained nets, at their best validation epochs.

    Their outputs go to `cell.tests`, and each one's sha256 to its accuracy.
    """
    device = choose_device(cell.execution.device)
    set_up_torch(cell.numerics.threads, device)
    images, labels, _ = read_test(cell.prepared)
    pixels, numerics = torch.from_numpy(images), cell.numerics

    def outputs(root: Path, number: int) -> np.ndarray:
        path = TrialFolder(root, number).weights
        net = load_net(path, described_student, device)
        return logits(net, pixels, numerics.eval_batch, numerics.precision).cpu().numpy()

    found = {
        "trials": {trial: outputs(cell.work, trial) for trial in trials},
        "retrained": {run: outputs(cell.again.work, run) for run in runs},
    }
    write_test_logits(cell.tests, found)
    return {
        kind: {
            number: {
                "test_accuracy": float((out.argmax(1) == labels).mean()),
                "test_sha256": fingerprint(out),
            }
            for number, out in nets.items()
        }
        for kind, nets in found.items()
    }
