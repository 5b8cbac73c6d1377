"""Outputs and errors of a net on images in memory, or in a memory map."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from stages.images.host import on_device, split
from stages.nets.pixels import Scaled, Standardise
from stages.store.maps import parts
from stages.store.pieces import Array, Pieces

KEPT_BYTES = 256 * 2**20
"""Up to which standardised images are kept in float32."""


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context in which a net runs: nothing for fp32, bfloat16 autocast for bf16."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def logits(
    net: nn.Module, images: np.ndarray | Tensor, batch: int, precision: str = "fp32"
) -> Tensor:
    """Pre-softmax outputs float32 (n, classes) of `net` in eval mode for uint8 images (n, s, s, 3).

    Images may lie on the host, or be a memory map; they go to the device of the net batch by batch.
    The net's mode is restored.
    """
    return _outputs(net, net, split(images, batch), precision)


def _outputs(
    net: nn.Module, layers: nn.Module, batches: Iterable[Tensor], precision: str
) -> Tensor:
    """Outputs of `layers`, which are the net or its last ones, for batches of what they take."""
    device = next(net.parameters()).device
    training = net.training

    net.eval()
    with torch.inference_mode(), autocast(device, precision):
        parts = [layers(part.to(device)).float() for part in batches]
    net.train(training)

    return torch.cat(parts)


def mean_logits(
    nets: Sequence[nn.Module], images: Array, batch: int, precision: str, sizes: Sequence[int]
) -> dict[int, np.ndarray]:
    """Mean of the logits of the first k nets, for each k of `sizes`.

    Args:
        nets: on one device.
        images: uint8 (n, s, s, 3), on the host; they may be a memory map, or come in pieces of
            multiples of `batch`.
        batch: images per forward pass.
        precision: "fp32" or "bf16".
        sizes: how many nets are averaged.

    Returns:
        k -> float32 (n, classes); summed in float64.
    """
    if isinstance(images, Pieces):
        pieces = images.parts
    else:
        whole = images
        pieces = (whole[part] for part in parts(len(whole), whole[0].nbytes, batch))

    found = [_mean_logits(nets, piece, batch, precision, sizes) for piece in pieces]
    return {k: np.concatenate([means[k] for means in found]) for k in found[0]}


def _mean_logits(
    nets: Sequence[nn.Module], images: np.ndarray, batch: int, precision: str, sizes: Sequence[int]
) -> dict[int, np.ndarray]:
    """`mean_logits` of images that the device holds at a time."""
    pixels = on_device(images, next(nets[0].parameters()).device)  # once for all nets
    total = torch.zeros((), dtype=torch.float64, device=next(nets[0].parameters()).device)

    means = {}
    for k, net in enumerate(nets[: max(sizes)], start=1):
        total = logits(net, pixels, batch, precision).double() + total
        if k in sizes:
            means[k] = (total / k).float().cpu().numpy()

    return means


def accuracy(
    net: nn.Module,
    images: np.ndarray | Tensor,
    labels: Tensor,
    batch: int,
    precision: str = "fp32",
) -> float:
    """Fraction of images whose highest output is at their label."""
    outputs = logits(net, images, batch, precision)
    return int((outputs.argmax(dim=1) == labels.to(outputs.device)).sum()) / len(labels)


class Validation:
    """The images on which a net is judged after every epoch (section 2.6).

    On a CPU the outputs of the net's first layer are kept if it has no weights, since to
    standardise the images takes a tenth of a small net's time. The errors are the same.

    Args:
        net: on its device; its weights may change from call to call.
        images: uint8 (n, s, s, 3), on the host, where they may be a memory map, or on the device.
        labels: int64 (n,).
        batch: images per forward pass.
        precision: "fp32" or "bf16".
    """

    def __init__(
        self,
        net: nn.Module,
        images: np.ndarray | Tensor,
        labels: Tensor,
        batch: int,
        precision: str = "fp32",
    ) -> None:
        self.net = net
        self.layers = net
        self.images = images
        self.labels = labels
        self.batch = batch
        self.precision = precision
        self.kept: tuple[Tensor, ...] | None = None

        numbers = math.prod(images.shape)
        if 4 * numbers > KEPT_BYTES or next(net.parameters()).device.type != "cpu":
            return

        if isinstance(net, nn.Sequential) and isinstance(net[0], Standardise | Scaled):
            self.layers = net[1:]
            with torch.inference_mode(), autocast(torch.device("cpu"), precision):
                self.kept = tuple(net[0](part.cpu()) for part in split(images, batch))

    @property
    def batches(self) -> Iterable[Tensor]:
        """What `layers` take."""
        return split(self.images, self.batch) if self.kept is None else self.kept

    def error(self) -> float:
        """Fraction of images whose highest output is not at their label (0/1 error)."""
        outputs = _outputs(self.net, self.layers, self.batches, self.precision)
        wrong = outputs.argmax(dim=1) != self.labels.to(outputs.device)
        return int(wrong.sum()) / len(self.labels)
