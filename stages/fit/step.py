"""One step of training, eager or as a captured CUDA graph.

A step on a small net is some sixty kernels of a few microseconds each, and launching them takes
longer than running them. On CUDA a step is therefore captured once per trial and replayed: one
launch instead of sixty, without a compiler, whatever the widths of the net.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from stages.fit.evaluate import autocast
from stages.fit.losses import Loss

WARM_UP_STEPS = 3
"""Steps without an update before a capture, for libraries to choose and allocate (torch's notes)."""


def rate_on(device: torch.device, lr: float) -> float:
    """The learning rate of a step on this device: on CUDA rounded to float32, else as it is.

    The graph of a captured step finds its rate in a float32 tensor. Torch's kernel computes with a
    rate in float64 (FusedSgdKernel.cu), so an eager step with one that is not rounded would leave
    other bytes.
    """
    return float(np.float32(lr)) if device.type == "cuda" else lr


class SGD:
    """SGD with Nesterov momentum: the update of `torch.optim.SGD`, by torch's own fused function.

    The class itself is not used, since making one imports torch's compiler in every trial. The
    weight decay applies to weights, not to biases (assumption 9).
    """

    def __init__(self, net: nn.Module, momentum: float, weight_decay: float) -> None:
        self.momentum = momentum

        named = list(net.named_parameters())
        self.parameters = [parameter for _, parameter in named]

        # zeros give the first step that torch makes from nothing: momentum * 0 + gradient
        self.buffers = {n: torch.zeros_like(p) for n, p in named} if momentum > 0 else {}

        weights = [(n, p) for n, p in named if p.dim() > 1]
        biases = [(n, p) for n, p in named if p.dim() <= 1]
        self.groups = [
            (group, decay) for group, decay in ((weights, weight_decay), (biases, 0.0)) if group
        ]

    @torch.no_grad()
    def step(self, lr: float | Tensor) -> None:
        """One update from the gradients, which are then dropped.

        Args:
            lr: the rate, see `rate_on`; it may lie on the device, float32 ().
        """
        for group, decay in self.groups:
            gradients = [parameter.grad for _, parameter in group]

            sgd(
                [parameter for _, parameter in group],
                cast("list[Tensor]", gradients),  # backward has written each one
                [self.buffers.get(name) for name, _ in group],
                fused=True,
                weight_decay=decay,
                momentum=self.momentum,
                lr=lr,
                dampening=0.0,
                nesterov=self.momentum > 0,
                maximize=False,
            )

        self.drop_gradients()

    def drop_gradients(self) -> None:
        """Forget the gradients; the next backward pass writes new ones."""
        for parameter in self.parameters:
            parameter.grad = None


class Step:
    """Forward, backward and update of one batch; adds the batch's loss to `total`.

    Nothing in it waits for the device.

    Args:
        net: in training mode, on its device.
        optimizer: of the net.
        loss: outputs float32 (b, classes) and targets to the mean loss of a batch.
        precision: "fp32" or "bf16".

    Attributes:
        total: float64 (), the sum of losses over the images since it was last set to zero.
    """

    def __init__(self, net: nn.Module, optimizer: SGD, loss: Loss, precision: str) -> None:
        self.net = net
        self.optimizer = optimizer
        self.loss = loss
        self.precision = precision
        self.device = next(net.parameters()).device
        self.total = torch.zeros((), dtype=torch.float64, device=self.device)

    def __call__(self, images: Tensor, targets: Tensor, lr: float | Tensor) -> None:
        """One update on images uint8 (b, s, s, 3) and their targets, both on the device."""
        loss = self.gradients(images, targets)
        self.optimizer.step(lr)
        self.total.add_(loss, alpha=len(images))

    def gradients(self, images: Tensor, targets: Tensor) -> Tensor:
        """Leave the gradients of one batch in the parameters; returns its loss."""
        with autocast(self.device, self.precision):
            outputs = self.net(images)
        loss = self.loss(outputs.float(), targets)
        loss.backward()
        return loss.detach()


class CapturedStep:
    """A `Step` for batches of one shape as a CUDA graph: the same kernels, data and rate.

    Args:
        step: whose tensors the graph reads and writes in place.
        images, targets: a batch of the shape that all have; only read.

    Capturing draws from the generator, which must be seeded afterwards.
    """

    def __init__(self, step: Step, images: Tensor, targets: Tensor) -> None:
        self.images = images.clone()
        self.targets = targets.clone()
        self.lr = torch.zeros((), device=images.device)
        statistics = [(buffer, buffer.clone()) for buffer in step.net.buffers()]

        # Warm up
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_STEPS):
                step.gradients(self.images, self.targets)
                step.optimizer.drop_gradients()
        torch.cuda.current_stream().wait_stream(side)

        # Capture
        self.graph = torch.cuda.CUDAGraph()

        # thread_local: another thread may be reading the next epoch into pinned memory
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            step(self.images, self.targets, self.lr)

        # What batch norm has counted meanwhile is forgotten.
        for buffer, before in statistics:
            buffer.copy_(before)

    def __call__(self, images: Tensor, targets: Tensor, lr: float) -> None:
        """One update on a batch of the captured shape."""
        self.images.copy_(images)
        self.targets.copy_(targets)
        self.lr.fill_(lr)
        self.graph.replay()
