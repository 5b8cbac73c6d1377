"""One training run: SGD with Nesterov momentum under a schedule.

Data reach the loop an epoch at a time, in pieces, on the device, as uint8 images in their order of
presentation. Batches do not depend on the pieces. There is no synchronisation with the device
inside an epoch. After each epoch the state can be saved, and a run that resumes there ends with the
same bytes as an unbroken one: the generators are seeded from (seed, epoch).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from stages.fit.batches import Pair, in_batches
from stages.fit.checkpoint import Checkpoint
from stages.fit.evaluate import Validation
from stages.fit.losses import LOSSES, Loss
from stages.fit.schedule import SCHEDULES, Kind, replay
from stages.fit.step import SGD, CapturedStep, Step, rate_on

Epoch = Callable[[int], Iterable[Pair]]
"""epoch number -> pieces: images uint8 (n, s, s, 3) and their targets, both on the device."""
Rate = Callable[[float], float]
"""share of an epoch's images, 0 .. 1 -> learning rate."""


@dataclass(frozen=True)
class Recipe:
    """What one training run does (Urban et al. 2017, sections 2.6 and 2.8).

    Attributes:
        loss: "cross_entropy" (targets are labels int64), "l2_on_logits" (targets are float32
            logits), or a loss.
        lr: initial learning rate.
        momentum: Nesterov momentum, constant.
        weight_decay: L2 factor; applies to weights, not to biases (assumption 9).
        batch_size: images per step; the last batch of an epoch may be smaller.
        max_epochs: bound on the epochs, or None.
        precision: "fp32" or "bf16".
        eval_batch: images per forward pass when validating.
        schedule: of the learning rate, "paper" or "budget".
        epoch_images: images of an epoch, by which the schedule "budget" counts its steps.
    """

    loss: str | Loss
    lr: float
    momentum: float
    weight_decay: float
    batch_size: int
    max_epochs: int | None
    precision: str = "fp32"
    eval_batch: int = 1000
    schedule: Kind = "paper"
    epoch_images: int | None = None


@dataclass(frozen=True)
class Outcome:
    """The end of a training run.

    Attributes:
        state: state dict of the best validation epoch, on the host; None for a failed run.
        best_epoch: that epoch, from 0; -1 for a failed run.
        errors: validation error of every epoch.
        losses: mean training loss of every epoch.
        why: "no_drop", "factor", "end", or "failed".
        reason: what failed, else None.
    """

    state: dict[str, Tensor] | None
    best_epoch: int
    errors: list[float]
    losses: list[float]
    why: str
    reason: str | None

    @property
    def value(self) -> float | None:
        """Lowest validation error; None for a failed run."""
        return None if self.state is None else self.errors[self.best_epoch]


def train(
    net: nn.Module,
    recipe: Recipe,
    epochs: Epoch,
    validation: tuple[np.ndarray | Tensor, Tensor],
    seed: int,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[int, float, float], None] | None = None,
    graphs: bool = True,
) -> Outcome:
    """Train `net` in place and return the weights of its best validation epoch.

    Args:
        net: on its device, initialised.
        recipe: see `Recipe`.
        epochs: gives the images and targets of an epoch.
        validation: images uint8 (m, s, s, 3) and labels int64 (m,) on the device; on a CPU the
            images may be a memory map.
        seed: of the dropout masks.
        checkpoint: where to save and find the state between epochs.
        on_epoch: called with (epoch, mean loss, validation error) after each epoch.
        graphs: on CUDA, capture a step once and replay it; the kernels are the same.

    A loss that is NaN or infinite ends the run as failed; nothing is raised.

    Raises:
        ValueError: the schedule "budget" without `max_epochs` or `epoch_images`.
    """
    if recipe.schedule == "budget" and recipe.epoch_images is None:
        raise ValueError("the schedule 'budget' counts steps: say how many images an epoch has")

    schedule = SCHEDULES[recipe.schedule](recipe.max_epochs)
    optimizer = SGD(net, recipe.momentum, recipe.weight_decay)
    steps = Steps(net, optimizer, recipe, graphs)
    validating = Validation(net, *validation, recipe.eval_batch, recipe.precision)
    best = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}
    losses: list[float] = []
    errors: list[float] = []

    # Resume
    saved = None if checkpoint is None else checkpoint.load()
    if saved is not None:
        errors = saved.errors
        losses = saved.losses
        schedule = replay(errors, recipe.max_epochs, recipe.schedule)
        _restore(net, optimizer, best, saved.tensors)

    while schedule.why is None:
        epoch = schedule.epoch + 1

        # Train
        pieces = iter(epochs(epoch))
        first = next(pieces)
        steps.prepare(*first)
        _seed(seed, epoch)
        pieces = chain([first], pieces)
        del first  # a piece lives until it has been used
        loss = steps.run(lambda share: recipe.lr * schedule.factor_at(share), pieces)
        if not math.isfinite(loss):
            return Outcome(None, -1, errors, losses, "failed", f"loss is {loss} in epoch {epoch}")

        # Validate
        errors.append(validating.error())
        losses.append(loss)
        if schedule.update(errors[-1]):
            for name, tensor in net.state_dict().items():
                best[name].copy_(tensor)

        # Report and save
        if on_epoch is not None:
            on_epoch(epoch, loss, errors[-1])

        if checkpoint is not None and schedule.why is None and checkpoint.due(time.monotonic()):
            checkpoint.save(errors, losses, _tensors(net, optimizer, best))

    state = {name: tensor.cpu() for name, tensor in best.items()}
    return Outcome(state, schedule.best_epoch, errors, losses, schedule.why, None)


def _seed(seed: int, epoch: int) -> None:
    """Seed torch's generators for one epoch, so that no generator state needs saving."""
    (word,) = np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)
    torch.manual_seed(int(word >> 1))


class Steps:
    """The steps of an epoch, on CUDA by a captured graph where the batches are whole.

    Args:
        net: to train, in place.
        optimizer: of the net.
        recipe: see `Recipe`.
        graphs: capture on CUDA; elsewhere it has no effect.
    """

    def __init__(self, net: nn.Module, optimizer: SGD, recipe: Recipe, graphs: bool) -> None:
        self.net = net
        self.recipe = recipe
        loss = LOSSES[recipe.loss] if isinstance(recipe.loss, str) else recipe.loss
        self.step = Step(net, optimizer, loss, recipe.precision)
        self.graphs = graphs and self.step.device.type == "cuda"
        self.captured: CapturedStep | None = None

    def prepare(self, images: Tensor, targets: Tensor) -> None:
        """Capture a step, once; nothing of the net changes."""
        batch = self.recipe.batch_size
        if self.graphs and self.captured is None and len(images) >= batch:
            self.net.train()
            self.captured = CapturedStep(self.step, images[:batch], targets[:batch])

    def run(self, rate: Rate, pieces: Iterable[Pair]) -> float:
        """One pass over an epoch's images in their order; returns the mean loss.

        Args:
            rate: of a step, by the share of the epoch at its middle image.
            pieces: images and targets.
        """
        batch = self.recipe.batch_size
        whole = self.recipe.epoch_images or 1
        count = 0
        self.step.total.zero_()
        self.net.train()

        for part, target in in_batches(pieces, batch):
            captured = self.captured if len(part) == batch else None
            lr = rate_on(self.step.device, rate((count + len(part) / 2) / whole))
            (captured or self.step)(part, target, lr)
            count += len(part)

        return self.step.total.item() / count


def _tensors(net: nn.Module, optimizer: SGD, best: dict[str, Tensor]) -> dict[str, Tensor]:
    """All tensors of a checkpoint, by name."""
    tensors = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    return tensors | {f"momentum.{name}": tensor for name, tensor in optimizer.buffers.items()}


@torch.no_grad()
def _restore(
    net: nn.Module, optimizer: SGD, best: dict[str, Tensor], tensors: dict[str, Tensor]
) -> None:
    """Copy the tensors of a checkpoint to where they came from."""
    for name, tensor in net.state_dict().items():
        tensor.copy_(tensors[f"net.{name}"])
    for name, tensor in best.items():
        tensor.copy_(tensors[f"best.{name}"])
    for name, buffer in optimizer.buffers.items():
        buffer.copy_(tensors[f"momentum.{name}"])
