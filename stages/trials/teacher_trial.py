"""What one trial of teachers does: the part of that door that runs in the trial's process.

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
from stages.fit.evaluate import accuracy, logits
from stages.fit.loop import Epoch, Recipe, train
from stages.fit.memory import check_room
from stages.images.draws import draw, order
from stages.images.vectors import Vectors, views_of
from stages.images.views import Views
from stages.nets.initial import glorot_
from stages.nets.layers import teacher_params, teacher_widths
from stages.nets.stored import load_net
from stages.nets.teacher import described_teacher
from stages.runtime.device import check_precision, choose_device, set_up_torch
from stages.settings.common import Images
from stages.store.prepared import read_test, read_train, read_validation
from stages.store.tensors import write_tensors
from stages.store.weights import save_weights
from stages.trials.folder import TrialFolder

if TYPE_CHECKING:
    from stages.trials.teacher import TeacherJob


def train_teacher(job: TeacherJob, trial: int, values: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train one teacher; its result as plain JSON data, the weights and outputs in its folder."""
    folder = TrialFolder(job.work, trial)
    if (done := folder.finished(values, seed)) is not None:
        return done
    started = time.monotonic()
    everything = {**job.fixed, **values}
    device = choose_device(job.execution.device)
    set_up_torch(job.numerics.threads, device)
    check_precision(device, job.numerics.precision)
    train_images, train_labels, header = read_train(job.prepared)
    images, labels, _ = read_validation(job.prepared)
    validation = torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)
    widths, description = described(job, everything, len(header["classes"]))
    net = described_teacher(description)
    glorot_(net, everything["init_scale"], torch.Generator().manual_seed(seed))
    net = net.to(device).to(memory_format=torch.channels_last)
    hsv = [everything[name] for name in job.names.jitter]
    views = views_of(train_images, device, hsv, job.images.crop_min_px)
    checkpoint = Checkpoint(folder.checkpoint, job.execution.checkpoint_seconds)
    with logged(job.execution.log, f"teachers/{trial:03d}", folder.report) as report:
        outcome = train(
            net,
            _recipe(job, everything),
            _epochs(views, train_labels, seed, job.images),
            validation,
            seed,
            checkpoint,
            report,
            job.execution.cuda_graphs,
        )
    result = {
        "value": outcome.value,
        "reason": outcome.reason,
        "why": outcome.why,
        "widths": list(widths),
        "params": teacher_params(widths, description["classes"], job.inputs),
        "best_epoch": outcome.best_epoch,
        "errors": outcome.errors,
        "losses": outcome.losses,
    }
    if outcome.state is not None:
        net.load_state_dict(outcome.state)
        save_weights(folder.weights, outcome.state, description)
        outputs = logits(net, validation[0], job.numerics.eval_batch, job.numerics.precision)
        write_tensors(
            folder.folder / "validation.safetensors", {"logits": outputs.cpu().numpy()}, {}
        )
    folder.finish(values, seed, result, time.monotonic() - started)
    checkpoint.clear()
    return result


def described(
    job: TeacherJob, values: dict[str, Any], classes: int
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Widths of the teacher with these hyperparameters, and what `described_teacher` takes."""
    names, multiple = job.names, job.section.width_multiple
    widths = teacher_widths(values, job.section.boxes, multiple=multiple, names=names.widths)
    return widths, {
        "widths": list(widths),
        "dropout": [values[name] for name in names.dropouts],
        "classes": classes,
        **{name: value for name, value in job.inputs.to_json().items() if value is not None},
    }


def check_memory(job: TeacherJob, values: dict[str, Any]) -> None:
    """As many trials as are asked for fit on a GPU, if they run on one.

    Raises:
        ValueError: they do not.
    """
    device = choose_device(job.execution.device)
    images, _, header = read_validation(job.prepared)
    net = described_teacher(described(job, {**job.fixed, **values}, len(header["classes"]))[1])
    few, batch = torch.from_numpy(images[:2]), job.section.training.batch_size
    check_room(net, few, batch, job.numerics.precision, device, job.execution.trials_per_gpu)


def _recipe(job: TeacherJob, values: dict[str, Any]) -> Recipe:
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


def _epochs(views: Views | Vectors, labels: np.ndarray, seed: int, images: Images) -> Epoch:
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


def test_accuracies(job: TeacherJob, trials: list[int]) -> list[float]:
    """Test accuracy of the nets of these trials, at their best validation epochs."""
    device = choose_device(job.execution.device)
    set_up_torch(job.numerics.threads, device)
    images, labels, _ = read_test(job.prepared)
    pixels, classes = torch.from_numpy(images), torch.from_numpy(labels)
    found = []
    for trial in trials:
        path = TrialFolder(job.work, trial).weights
        net = load_net(path, described_teacher, device)
        numerics = job.numerics
        found.append(accuracy(net, pixels, classes, numerics.eval_batch, numerics.precision))
    return found
