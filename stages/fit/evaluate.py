"""Outputs and errors of a net on images that fit in memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context in which a net runs: nothing for fp32, bfloat16 autocast for bf16."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def logits(net: nn.Module, images: Tensor, batch: int, precision: str = "fp32") -> Tensor:
    """Pre-softmax outputs float32 (n, classes) of `net` in eval mode for uint8 images (n, s, s, 3).

    Images may lie on the host; they go to the device of the net batch by batch. The net's mode is
    restored.
    """
    device = next(net.parameters()).device
    training = net.training

    net.eval()
    with torch.inference_mode(), autocast(device, precision):
        parts = [net(part.to(device)).float() for part in images.split(batch)]
    net.train(training)

    return torch.cat(parts)


def mean_logits(
    nets: Sequence[nn.Module], images: np.ndarray, batch: int, precision: str, sizes: Sequence[int]
) -> dict[int, np.ndarray]:
    """Mean of the logits of the first k nets, for each k of `sizes`.

    Args:
        nets: on one device.
        images: uint8 (n, s, s, 3), on the host.
        batch: images per forward pass.
        precision: "fp32" or "bf16".
        sizes: how many nets are averaged.

    Returns:
        k -> float32 (n, classes); summed in float64.
    """
    pixels = torch.from_numpy(images).to(next(nets[0].parameters()).device)  # once for all nets
    total = torch.zeros((), dtype=torch.float64, device=pixels.device)

    means = {}
    for k, net in enumerate(nets[: max(sizes)], start=1):
        total = logits(net, pixels, batch, precision).double() + total
        if k in sizes:
            means[k] = (total / k).float().cpu().numpy()

    return means


def error(
    net: nn.Module, images: Tensor, labels: Tensor, batch: int, precision: str = "fp32"
) -> float:
    """Fraction of images whose highest output is not at their label (0/1 error, section 2.6)."""
    return _hits(net, images, labels, batch, precision, wrong=True) / len(labels)


def accuracy(
    net: nn.Module, images: Tensor, labels: Tensor, batch: int, precision: str = "fp32"
) -> float:
    """Fraction of images whose highest output is at their label."""
    return _hits(net, images, labels, batch, precision, wrong=False) / len(labels)


def _hits(
    net: nn.Module, images: Tensor, labels: Tensor, batch: int, precision: str, wrong: bool
) -> int:
    """Number of images whose highest output is at their label, or is not (`wrong`)."""
    outputs = logits(net, images, batch, precision)
    hit = outputs.argmax(dim=1) == labels.to(outputs.device)
    return int((~hit if wrong else hit).sum())
