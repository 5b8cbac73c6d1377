"""What one trial of teachers does, and the test of the best of them; it runs in its own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stages.fit.batches import Pair
from stages.fit.evaluate import accuracy, logits
from stages.fit.loop import Epoch
from stages.images.draws import draw, order
from stages.images.vectors import views_of
from stages.nets.stored import load_net
from stages.nets.teacher import described_teacher
from stages.nets.teacher_layers import teacher_params, teacher_widths
from stages.runtime.device import choose_device, set_up_torch
from stages.store.maps import parts
from stages.store.prepared import PreparedManifest, read_test, read_train
from stages.store.tensors import write_tensors
from stages.trials.folder import TrialFolder
from stages.trials.shared import Tested
from stages.trials.teacher import TeacherJob
from stages.trials.training import UntrainedNet, train_trial


def train_teacher(job: TeacherJob, trial: int, values: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train one teacher; its result as plain JSON data, the weights and outputs in its folder."""
    everything = {**job.fixed, **values}

    return train_trial(
        job,
        trial,
        values,
        seed,
        build=partial(untrained_teacher, job, everything),
        feed=lambda device: nullcontext(augmented_epochs(job, everything, seed, device)),
        epoch_images=PreparedManifest.read(job.prepared).images["train"],
        loss="cross_entropy",
        weight_decay=everything["weight_decay"],
        curve=f"teachers/{trial:03d}",
        on_best=partial(write_validation_logits, job, trial),
    )


def untrained_teacher(job: TeacherJob, values: dict[str, Any], classes: int) -> UntrainedNet:
    """The teacher with these hyperparameters."""
    widths, description = described(job, values, classes)
    params = teacher_params(widths, classes, job.inputs, job.section.net)
    sizes = {"widths": list(widths), "params": params}
    return UntrainedNet(described_teacher(description), description, sizes)


def described(
    job: TeacherJob, values: dict[str, Any], classes: int
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Widths of the teacher with these hyperparameters, and what `described_teacher` takes."""
    names = job.names
    multiple = job.section.width_multiple
    widths = teacher_widths(values, job.section.boxes, multiple=multiple, names=names.widths)

    return widths, {
        "widths": list(widths),
        "dropout": [values[name] for name in names.dropouts],
        "classes": classes,
        **{name: value for name, value in job.inputs.to_json().items() if value is not None},
        **({} if job.section.net == "paper" else {"net": job.section.net}),
    }


def augmented_epochs(
    job: TeacherJob, values: dict[str, Any], seed: int, device: torch.device
) -> Epoch:
    """Epochs of augmented training images, each drawn from (seed, epoch) (section 2.5).

    They are made in parts, when these are needed.
    """
    images, labels, _ = read_train(job.prepared)
    hsv = [values[name] for name in job.names.jitter]
    views = views_of(images, device, hsv, job.images.crop_min_px)

    targets = torch.from_numpy(labels)
    count = len(targets)
    pieces = parts(count, images[0].nbytes)
    del images  # the views have what they need

    def epoch_of(epoch: int) -> Iterator[Pair]:
        index = order(seed, epoch, "teacher", count)
        draws = draw(
            seed,
            epoch,
            "teacher",
            count,
            size_px=views.size_px,
            crop_min=job.images.crop_min_px,
            mirror=job.images.mirror,
        )

        for part in pieces:
            chosen = torch.from_numpy(index[part]).long()
            yield views(index[part], draws[part]), targets[chosen].to(views.device)

    return epoch_of


def write_validation_logits(
    job: TeacherJob, trial: int, net: nn.Module, images: np.ndarray | Tensor
) -> None:
    """Keep a trial's outputs on the validation images, from which the ensemble is chosen."""
    outputs = logits(net, images, job.numerics.eval_batch, job.numerics.precision)
    path = TrialFolder(job.work, trial).folder / "validation.safetensors"
    write_tensors(path, {"logits": outputs.cpu().numpy()}, {})


def evaluate_teachers(job: TeacherJob, trials: list[int]) -> Tested:
    """Test accuracy of the nets of these trials, at their best validation epochs."""
    device = choose_device(job.execution.device)
    set_up_torch(job.numerics.threads, device)

    images, labels, _ = read_test(job.prepared)
    classes = torch.from_numpy(labels)
    numerics = job.numerics

    tested = {}
    for trial in trials:
        path = TrialFolder(job.work, trial).weights
        net = load_net(path, described_teacher, device)
        share = accuracy(net, images, classes, numerics.eval_batch, numerics.precision)
        tested[trial] = {"test_accuracy": share}

    return Tested(tested)
