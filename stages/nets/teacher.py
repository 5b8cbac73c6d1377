"""The teacher network. Used by the doors that train teachers and label with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from stages.nets.layers import teacher_layers, teacher_macs, teacher_params, teacher_widths
from stages.nets.stack import stack

__all__ = ["build_teacher", "described_teacher", "teacher_macs", "teacher_params", "teacher_widths"]


def build_teacher(
    widths: Sequence[int], dropout: Sequence[float], classes: int = 10, size_px: int = 32
) -> nn.Sequential:
    """c^2-mp-c^2-mp-c^4-mp-fc^2-out with 3x3 filters (Urban et al. 2017, sections 2.7 and 6.1).

    Called with (n, size_px, size_px, 3) images, returns (n, classes) float32 logits.

    Args:
        widths: (C1, C2, C3, H1), as of `teacher_widths`.
        dropout: (DOc1, DOc2, DOc3, DOf1, DOf2), each in [0, 1). Assumption (8): two DOf.

    Raises:
        ValueError: a wrong number of widths or dropouts, images too small for three pools.
    """
    if len(dropout) != 5:
        raise ValueError(f"a teacher has 5 dropouts (DOc1-3, DOf1-2), got {len(dropout)}")
    return stack(teacher_layers(widths, classes, size_px), dropout=dropout)


def described_teacher(description: Mapping[str, Any]) -> nn.Sequential:
    """The teacher that a weights file describes: the arguments of `build_teacher`.

    Raises:
        TypeError, ValueError: it is another description.
    """
    return build_teacher(**description)
