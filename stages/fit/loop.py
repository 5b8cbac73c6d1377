"""One training run: SGD with Nesterov momentum under the paper's schedule; used by teachers and students.

Data reach the loop an epoch at a time, on the device, as uint8 images in their order of presentation. There
is no synchronisation with the device inside an epoch. After each epoch the state can be saved, and a run that
goes on from there ends with the same bytes as an unbroken one: the generators are seeded from (seed, epoch).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from stages.fit.checkpoint import Checkpoint
from stages.fit.evaluate import autocast, error
from stages.fit.losses import LOSSES
from stages.fit.schedule import Schedule, replay

Epoch = Callable[[int], tuple[Tensor, Tensor]]
"""epoch number -> images uint8 (n, s, s, 3) and their targets, both on the device."""


@dataclass(frozen=True)
class Recipe:
    """What one training run does (Urban et al. 2017, sections 2.6 and 2.8).

    Attributes:
        loss: "cross_entropy" (targets are labels int64) or "l2_on_logits" (targets are float32 logits).
        lr: initial learning rate.
        momentum: Nesterov momentum, constant.
        weight_decay: L2 factor; applies to weights, not to biases (assumption 9).
        batch_size: images per step; the last batch of an epoch may be smaller.
        max_epochs: bound on the epochs, or None.
        precision: "fp32" or "bf16".
        eval_batch: images per forward pass when validating.
    """

    loss: str
    lr: float
    momentum: float
    weight_decay: float
    batch_size: int
    max_epochs: int | None
    precision: str = "fp32"
    eval_batch: int = 1000


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
    validation: tuple[Tensor, Tensor],
    seed: int,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[int, float, float], None] | None = None,
) -> Outcome:
    """Train `net` in place and return the weights of its best validation epoch.

    Args:
        net: on its device, initialised.
        recipe: see `Recipe`.
        epochs: gives the images and targets of an epoch.
        validation: images uint8 (m, s, s, 3) and labels int64 (m,) on the device.
        seed: of the dropout masks.
        checkpoint: where to save and find the state between epochs.
        on_epoch: called with (epoch, mean loss, validation error) after each epoch.

    A loss that is NaN or infinite ends the run as failed; nothing is raised.
    """
    schedule, losses, errors = Schedule(recipe.max_epochs), [], []
    optimizer = SGD(net, recipe.momentum, recipe.weight_decay)
    best = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}
    if checkpoint is not None and (saved := checkpoint.load()) is not None:
        errors, losses = saved.errors, saved.losses
        schedule = replay(errors, recipe.max_epochs)
        _restore(net, optimizer, best, saved.tensors)
    while schedule.why is None:
        epoch = schedule.epoch + 1
        _seed(seed, epoch)
        loss = _run_epoch(net, optimizer, recipe, recipe.lr * schedule.factor, *epochs(epoch))
        if not math.isfinite(loss):
            return Outcome(None, -1, errors, losses, "failed", f"loss is {loss} in epoch {epoch}")
        errors.append(error(net, *validation, recipe.eval_batch, recipe.precision))
        losses.append(loss)
        if schedule.update(errors[-1]):
            for name, tensor in net.state_dict().items():
                best[name].copy_(tensor)
        if on_epoch is not None:
            on_epoch(epoch, loss, errors[-1])
        if checkpoint is not None and schedule.why is None and checkpoint.due(time.monotonic()):
            checkpoint.save(errors, losses, _tensors(net, optimizer, best))
    state = {name: tensor.cpu() for name, tensor in best.items()}
    return Outcome(state, schedule.best_epoch, errors, losses, schedule.why, None)


class SGD:
    """SGD with Nesterov momentum: the update of `torch.optim.SGD`, by torch's own fused function.

    The class itself is not used: making one imports torch's compiler, a second or more for every trial.
    """

    def __init__(self, net: nn.Module, momentum: float, weight_decay: float) -> None:
        self.momentum = momentum
        named = list(net.named_parameters())
        self.parameters = [parameter for _, parameter in named]
        weights = [(n, p) for n, p in named if p.dim() > 1]
        biases = [(n, p) for n, p in named if p.dim() <= 1]
        self.groups = [(group, decay) for group, decay in ((weights, weight_decay), (biases, 0.0)) if group]
        self.buffers: dict[str, Tensor] = {}

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One update from the gradients, which are then dropped."""
        for group, decay in self.groups:
            buffers: list[Tensor | None] = [self.buffers.get(name) for name, _ in group]
            sgd(
                [parameter for _, parameter in group],
                [parameter.grad for _, parameter in group],
                buffers,
                fused=True,
                weight_decay=decay,
                momentum=self.momentum,
                lr=lr,
                dampening=0.0,
                nesterov=self.momentum > 0,
                maximize=False,
            )
            if self.momentum > 0:
                self.buffers.update({name: b for (name, _), b in zip(group, buffers, strict=True)})
        for parameter in self.parameters:
            parameter.grad = None


def _seed(seed: int, epoch: int) -> None:
    """Seed torch's generators for one epoch, so that no generator state needs saving."""
    torch.manual_seed(int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> 1))


def _run_epoch(
    net: nn.Module, optimizer: SGD, recipe: Recipe, lr: float, images: Tensor, targets: Tensor
) -> float:
    """One pass over an epoch's images in their order; returns the mean loss."""
    loss_of = LOSSES[recipe.loss]
    total = torch.zeros((), dtype=torch.float64, device=images.device)
    net.train()
    for part, target in zip(
        images.split(recipe.batch_size), targets.split(recipe.batch_size), strict=True
    ):
        with autocast(images.device, recipe.precision):
            outputs = net(part)
        loss = loss_of(outputs.float(), target)
        loss.backward()
        optimizer.step(lr)
        total += loss.detach() * len(part)
    return total.item() / len(images)


def _tensors(net: nn.Module, optimizer: SGD, best: dict[str, Tensor]) -> dict[str, Tensor]:
    held = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    held |= {f"best.{name}": tensor for name, tensor in best.items()}
    return held | {f"momentum.{name}": tensor for name, tensor in optimizer.buffers.items()}


@torch.no_grad()
def _restore(net: nn.Module, optimizer: SGD, best: dict[str, Tensor], held: dict[str, Tensor]) -> None:
    for name, tensor in net.state_dict().items():
        tensor.copy_(held[f"net.{name}"])
    for name, tensor in best.items():
        tensor.copy_(held[f"best.{name}"])
    for name, parameter in net.named_parameters():
        if f"momentum.{name}" in held:
            optimizer.buffers[name] = torch.empty_like(parameter).copy_(held[f"momentum.{name}"])
