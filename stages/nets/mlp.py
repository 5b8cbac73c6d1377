"""Students without convolution, `mlp1` with a linear bottleneck, the others without. Used by `student`."""

from __future__ import annotations

from torch import nn

from stages.nets.families import FAMILIES, Plan
from stages.nets.stack import stack


def build_mlp(plan: Plan, input_scale: float = 1.0) -> nn.Sequential:
    """Fully connected student of a plan (Urban et al. 2017, sections 2.3, 6.3, Table 3).

    `mlp1` is bottleneck (linear) - hidden ReLU layer - out. Assumption (5): the bottleneck comes
    first; it has biases and can be multiplied into the hidden layer, see `absorb`. Assumption (6):
    deeper nets have none, nor has `mlp1-plain`. Called with (n, s, s, 3) images or vectors of the plan's shape, returns
    (n, classes) float32 logits.

    Raises:
        ValueError: a plan with convolutions.
    """
    if FAMILIES[plan.family].layout:
        raise ValueError(f"build_mlp takes plans without convolutions, got {plan.family}: use build_cnn")
    return stack(plan.layers, input_scale, shape=plan.shape)
