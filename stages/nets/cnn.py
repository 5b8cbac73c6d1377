"""Students with convolution, also the controls on hard labels. Used by `student`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from stages.nets.families import FAMILIES, Plan
from stages.nets.stack import stack


def build_cnn(
    plan: Plan, input_scale: float = 1.0, dropout: Sequence[float] = ()
) -> nn.Sequential:
    """Convolutional student of a plan (Urban et al. 2017, Table 1 and sections 6.2, 6.3; Ba and Caruana 2014).

    5x5 filters with padding 2, max-pools, one hidden ReLU layer, out; `conv1` and `snn-2014` have a
    linear bottleneck in front of the hidden layer. Assumptions (1) to (4): layouts, filters, padding,
    pools. Called with (n, s, s, 3) images, returns (n, classes) float32 logits.

    Args:
        dropout: after each pool, then after the hidden layer (DOc1, ..., DOf1); empty for none.

    Raises:
        ValueError: a plan without convolutions, a wrong number of dropouts.
    """
    if not FAMILIES[plan.family].layout:
        raise ValueError(f"build_cnn takes plans with convolutions, got {plan.family}: use build_mlp")
    return stack(plan.layers, input_scale, dropout)
