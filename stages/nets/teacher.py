"""The teacher network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from stages.nets.stack import stack
from stages.nets.teacher_layers import fast_teacher_layers, teacher_layers
from stages.settings.inputs import CIFAR_IMAGES, Inputs


def build_teacher(
    widths: Sequence[int],
    dropout: Sequence[float],
    classes: int = 10,
    inputs: Inputs = CIFAR_IMAGES,
) -> nn.Sequential:
    """c^2-mp-c^2-mp-c^4-mp-fc^2-out with 3x3 filters (Urban et al. 2017, sections 2.7 and 6.1).

    Called with (n, s, s, 3) images or (n, ...) vectors, returns (n, classes) float32 logits. For
    vectors it is c-mp-fc^3 or fc^3, as Ba and Caruana (2014) had for speech; see
    `teacher_layers.teacher_layers`.

    Args:
        widths: (C1, C2, C3, H1), as of `teacher_widths`.
        dropout: (DOc1, DOc2, DOc3, DOf1, DOf2), each in [0, 1). Assumption (8): two DOf. For
            vectors (DOc1, DOf1, DOf2, DOf3), without DOc1 where there are no frames.

    Raises:
        ValueError: a wrong number of widths or dropouts, images too small for three pools.
    """
    layers = teacher_layers(widths, classes, inputs)

    needed = sum(layer.kind in ("pool", "fc") for layer in layers)
    if len(dropout) != needed:
        if inputs.is_images:
            names = "DOc1-3, DOf1-2"
        else:
            names = "DOc1, DOf1-3" if inputs.has_frames else "DOf1-3"
        raise ValueError(f"a teacher has {needed} dropouts ({names}), got {len(dropout)}")

    return stack(layers, inputs, dropout=dropout)


def build_fast_teacher(
    widths: Sequence[int],
    dropout: Sequence[float],
    classes: int = 10,
    inputs: Inputs = CIFAR_IMAGES,
) -> nn.Sequential:
    """The teacher of `teachers.net: fast`, six convolutions with batch norm; see its layers.

    Called with (n, s, s, 3) images, returns (n, classes) float32 logits.

    Args:
        widths: (C1, C2, C3).
        dropout: (DOg,), in [0, 1): in front of the output layer.

    Raises:
        ValueError: a wrong number of widths or dropouts, vectors, images that are too small.
    """
    if len(dropout) != 1:
        raise ValueError(f"a fast teacher has 1 dropout (DOg), got {len(dropout)}")

    layers = fast_teacher_layers(widths, classes, inputs)
    pools = sum(layer.kind == "pool" for layer in layers)
    return stack(layers, inputs, dropout=(*(0.0,) * (pools - 1), *dropout))


BUILD = {"paper": build_teacher, "fast": build_fast_teacher}
"""Makes a teacher by `teachers.net`."""


def described_teacher(description: Mapping[str, Any]) -> nn.Sequential:
    """The teacher that a weights file describes.

    Args:
        description: `widths`, `dropout` and `classes` as of `build_teacher`; `size_px` of images
            or `shape` of vectors; `net` where it is not that of the paper.

    Raises:
        TypeError, ValueError: it is another description.
    """
    inputs = Inputs.from_json(description)
    others = {
        key: value for key, value in description.items() if key not in ("size_px", "shape", "net")
    }
    return BUILD[description.get("net", "paper")](**others, inputs=inputs)
