"""A net with the weights of a file; used by the doors that read nets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

Description = Mapping[str, Any]
Built = TypeVar("Built", bound=nn.Module)


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
