"""Any student from its plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from stages.nets.families import FAMILIES, Plan
from stages.nets.stack import stack


def build_cnn(plan: Plan, input_scale: float = 1.0, dropout: Sequence[float] = ()) -> nn.Sequential:
    """Convolutional student of a plan.

    Urban et al. 2017, Table 1 and sections 6.2 and 6.3; Ba and Caruana 2014. 5x5 filters with
    padding 2, max-pools, one hidden ReLU layer, out; `conv1` and `snn-2014` have a linear
    bottleneck in front of the hidden layer. Assumptions (1) to (4): layouts, filters, padding,
    pools. Called with (n, s, s, 3) images, returns (n, classes) float32 logits.

    Args:
        dropout: after each pool, then after the hidden layer (DOc1, ..., DOf1); empty for none.

    Raises:
        ValueError: a plan without convolutions, a wrong number of dropouts.
    """
    if not FAMILIES[plan.family].layout:
        raise ValueError(
            f"build_cnn takes plans with convolutions, got {plan.family}: use build_mlp"
        )
    return stack(plan.layers, plan.inputs, input_scale, dropout)


def build_mlp(plan: Plan, input_scale: float = 1.0) -> nn.Sequential:
    """Fully connected student of a plan (Urban et al. 2017, sections 2.3, 6.3, Table 3).

    `mlp1` is bottleneck (linear) - hidden ReLU layer - out. Assumption (5): the bottleneck comes
    first; it has biases and can be multiplied into the hidden layer, see `absorb`. Assumption (6):
    deeper nets have none, nor has `mlp1-plain`. Called with (n, s, s, 3) images or vectors of the
    plan's shape, returns (n, classes) float32 logits.

    Raises:
        ValueError: a plan with convolutions.
    """
    if FAMILIES[plan.family].layout:
        raise ValueError(
            f"build_mlp takes plans without convolutions, got {plan.family}: use build_cnn"
        )
    return stack(plan.layers, plan.inputs, input_scale)


def build_student(
    plan: Plan, input_scale: float = 1.0, dropout: Sequence[float] = ()
) -> nn.Sequential:
    """The net of a plan: (n, s, s, 3) images or (n, ...) vectors to (n, classes) float32 logits.

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
    """The student that a weights file describes.

    Args:
        description: the arguments of `build_student`, the plan as JSON.

    Raises:
        TypeError, ValueError, KeyError: it is another description.
    """
    return build_student(
        Plan.from_json(description["plan"]), description["input_scale"], description["dropout"]
    )
