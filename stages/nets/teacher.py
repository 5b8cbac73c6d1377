"""The teacher network. Used by the doors that train teachers and label with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from stages.nets.layers import teacher_layers, teacher_macs, teacher_params, teacher_widths
from stages.nets.stack import stack

__all__ = ["build_teacher", "described_teacher", "teacher_macs", "teacher_params", "teacher_widths"]


def build_teacher(
    widths: Sequence[int],
    dropout: Sequence[float],
    classes: int = 10,
    size_px: int | None = 32,
    shape: Sequence[int] | None = None,
) -> nn.Sequential:
    """c^2-mp-c^2-mp-c^4-mp-fc^2-out with 3x3 filters (Urban et al. 2017, sections 2.7 and 6.1).

    Called with (n, size_px, size_px, 3) images, returns (n, classes) float32 logits. For vectors of
    a `shape` c-mp-fc^3 or fc^3, as Ba and Caruana (2014) had for speech; see
    `layers.teacher_layers`.

    Args:
        widths: (C1, C2, C3, H1), as of `teacher_widths`.
        dropout: (DOc1, DOc2, DOc3, DOf1, DOf2), each in [0, 1). Assumption (8): two DOf. Of vectors
            (DOc1, DOf1, DOf2, DOf3), without DOc1 where there are no frames.

    Raises:
        ValueError: a wrong number of widths or dropouts, images too small for three pools.
    """
    layers = teacher_layers(widths, classes, size_px, shape)
    needed = sum(layer.kind in ("pool", "fc") for layer in layers)
    if len(dropout) != needed:
        which = (
            "DOc1-3, DOf1-2" if shape is None else "DOc1, DOf1-3" if len(shape) > 1 else "DOf1-3"
        )
        raise ValueError(f"a teacher has {needed} dropouts ({which}), got {len(dropout)}")
    return stack(layers, dropout=dropout, shape=shape)


def described_teacher(description: Mapping[str, Any]) -> nn.Sequential:
    """The teacher that a weights file describes: the arguments of `build_teacher`.

    Raises:
        TypeError, ValueError: it is another description.
    """
    return build_teacher(**description)
