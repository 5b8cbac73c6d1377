"""Nets from files: weights, with the description from which the net is built again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from stages.store.weights import load_weights

Description = Mapping[str, Any]
Built = TypeVar("Built", bound=nn.Module)


def load_net(path: Path, build: Callable[[Description], Built], device: torch.device) -> Built:
    """The net in a file, on the device, in channels-last memory format.

    Args:
        build: makes the net of a description, e.g. `described_student`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, its description is of no such net, or its weights are of another
            one.
    """
    state, description = load_weights(path)
    net = restore(path, build, state, description)
    return net.to(device).to(memory_format=torch.channels_last)


def restore(
    source: object,
    build: Callable[[Description], Built],
    state: Mapping[str, Tensor],
    description: Description,
) -> Built:
    """The net of a description, with these weights, on the host.

    Args:
        source: where both are from, for the error.
        build: makes the net of a description.

    Raises:
        ValueError: the description is of no such net, or the weights are of another one.
    """
    try:
        net = build(description)
        net.load_state_dict(state)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"{source} holds no net of this kind ({reason}): delete it and run 'dvc repro' again"
        ) from error

    return net
