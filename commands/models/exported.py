"""A net as it is exported, with or without its bottleneck, from an export's description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from commands.models.absorb import absorb
from stages.nets.student import described_student
from stages.nets.teacher import described_teacher

BUILD = {"student": described_student, "teacher": described_teacher}
"""Kind of a net -> what builds it from the description in its weights file."""


def has_bottleneck(net: nn.Sequential) -> bool:
    """Whether `absorb` has something to do."""
    return "bottleneck" in dict(net.named_children())


def exported_net(description: Mapping[str, Any]) -> nn.Sequential:
    """The net of an export, with weights that are to be replaced.

    Args:
        description: `kind` (student or teacher), `net` (as in the weights file of the run) and
            `absorbed`.

    Raises:
        TypeError, ValueError, KeyError: it is another description.
    """
    net = BUILD[description["kind"]](description["net"])
    return absorb(net) if description["absorbed"] else net


def count(net: nn.Module) -> int:
    """Number of weights and biases."""
    return sum(parameter.numel() for parameter in net.parameters())


def outline(net: nn.Sequential) -> str:
    """The layers of a net in one line, e.g. `conv1 5x5, 12 filters; pool1 2x2; fc1 80; out 10`."""
    parts = []
    for name, module in net.named_children():
        if isinstance(module, nn.Conv2d):
            height, width = module.kernel_size
            parts.append(f"{name} {height}x{width}, {module.out_channels} filters")
        elif isinstance(module, nn.MaxPool2d):
            step = "" if module.stride == module.kernel_size else f" by {module.stride}"
            parts.append(f"{name} {module.kernel_size}x{module.kernel_size}{step}")
        elif isinstance(module, nn.Linear):
            parts.append(f"{name} {module.out_features}")
        elif isinstance(module, nn.BatchNorm2d):
            parts.append("batch norm")

    return "; ".join(parts)
