"""Any student from its plan. Used by the doors that train and label with students."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from stages.nets.cnn import build_cnn
from stages.nets.families import FAMILIES, Plan
from stages.nets.mlp import build_mlp


def build_student(
    plan: Plan, input_scale: float = 1.0, dropout: Sequence[float] = ()
) -> nn.Sequential:
    """The net of a plan; (n, s, s, 3) images, or vectors of its shape -> (n, classes) float32 logits.

    Args:
        input_scale: factor of the standardised pixels (Urban et al. 2017, section 2.8).
        dropout: pools + 1 probabilities for a convolutional net on hard labels; empty for mimic
            nets, which have none (section 2.8).

    Raises:
        ValueError: dropout for an MLP, a wrong number of dropouts.
    """
    if FAMILIES[plan.family].layout:
        return build_cnn(plan, input_scale, dropout)
    if dropout:
        raise ValueError(f"{plan.family} takes no dropout, got {list(dropout)}: change space")
    return build_mlp(plan, input_scale)


def described_student(description: Mapping[str, Any]) -> nn.Sequential:
    """The student that a weights file describes: the arguments of `build_student`, the plan as JSON.

    Raises:
        TypeError, ValueError, KeyError: it is another description.
    """
    return build_student(Plan.from_json(description["plan"]), description["input_scale"], description["dropout"])
