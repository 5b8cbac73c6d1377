"""What one trial of students does, and the test of the best of them; it runs in its own process."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stages.fit.evaluate import logits
from stages.fit.losses import Loss, distillation
from stages.nets.families import Plan
from stages.nets.stored import load_net
from stages.nets.student import described_student
from stages.runtime.device import choose_device, set_up_torch
from stages.store.predictions import fingerprint, read_test_logits, write_test_logits
from stages.store.prepared import read_test
from stages.trials.cell import Cell
from stages.trials.folder import TrialFolder
from stages.trials.shared import Tested
from stages.trials.student_data import epoch_images, feed
from stages.trials.training import UntrainedNet, train_trial


def train_student(cell: Cell, trial: int, values: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train one student; its result as plain JSON data, its weights in the trial's folder."""
    everything = {**cell.fixed, **values}
    decay = cell.variant.weight_decay

    return train_trial(
        cell,
        trial,
        values,
        seed,
        build=lambda classes: untrained_student(cell, everything),
        feed=partial(feed, cell),
        epoch_images=epoch_images(cell),
        loss=_loss(cell),
        weight_decay=cell.section.training.weight_decay if decay is None else decay,
        curve=cell.curve(trial),
    )


def untrained_student(cell: Cell, values: dict[str, Any]) -> UntrainedNet:
    """The student with these hyperparameters."""
    widths, description = described(cell, values)
    sizes = {
        "widths": list(widths.widths),
        "dependent": widths.dependent,
        "params": widths.params,
    }
    return UntrainedNet(described_student(description), description, sizes)


def described(cell: Cell, values: dict[str, Any]) -> tuple[Plan, dict[str, Any]]:
    """Widths of the student with these hyperparameters, and what `described_student` takes."""
    widths = cell.plan(values)
    return widths, {
        "plan": widths.to_json(),
        "input_scale": values["input_scale"],
        "dropout": [values[name] for name in cell.dropouts],
    }


def _loss(cell: Cell) -> str | Loss:
    mixed = cell.variant.loss
    if mixed is not None:
        return distillation(mixed.temperature, mixed.hard_weight)
    return "cross_entropy" if cell.hard else "l2_on_logits"


def evaluate_students(cell: Cell, trials: list[int], retrained: list[int]) -> Tested:
    """Test accuracy of these trials and retrained nets, at their best validation epochs.

    Their outputs go to `cell.tests`, and the sha256 of each one's to its table.
    """
    device = choose_device(cell.execution.device)
    set_up_torch(cell.numerics.threads, device)

    images, labels, _ = read_test(cell.prepared)
    numerics = cell.numerics

    def outputs(root: Path, number: int) -> np.ndarray:
        folder = TrialFolder(root, number)
        if folder.tested.is_file():
            return read_test_logits(folder.tested)["trials"][number]

        net = load_net(folder.weights, described_student, device)
        return logits(net, images, numerics.eval_batch, numerics.precision).cpu().numpy()

    def columns(outputs_of_net: np.ndarray) -> dict[str, Any]:
        return {
            "test_accuracy": float((outputs_of_net.argmax(1) == labels).mean()),
            "test_sha256": fingerprint(outputs_of_net),
        }

    of_trials = {trial: outputs(cell.work, trial) for trial in trials}
    of_retrained = {run: outputs(cell.again.work, run) for run in retrained}
    write_test_logits(cell.tests, {"trials": of_trials, "retrained": of_retrained})

    return Tested(
        {number: columns(each) for number, each in of_trials.items()},
        {number: columns(each) for number, each in of_retrained.items()},
    )
