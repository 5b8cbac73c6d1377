"""Layers of the teachers, without torch: those of Urban et al. 2017 and the fast ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stages.nets.layers import (
    Layer,
    chain,
    check_box,
    check_control,
    check_multiple,
    count,
    macs,
    to_multiple,
    width_in,
)
from stages.settings.inputs import CIFAR_IMAGES, Inputs

TEACHER_LAYOUT = "ccpccpccccp"  # Urban et al. 2017, section 2.7: c^2-mp-c^2-mp-c^4-mp
TEACHER_CONTROLS = ("C1", "C2", "C3", "H1")
FAST_LAYOUT = "cpccpccpcg"
"""Ours: three blocks of a convolution, a pool and a convolution, then the largest value of each map."""
FAST_CONTROLS = ("C1", "C2", "C3")
FAST_LEAST_PX = 16
"""With fewer its last maps have one pixel, and batch norm nothing to average in a batch of one."""
FRAMES_KERNEL = 5
FRAMES_POOL = 2
FRAMES_HIDDEN = 3
"""Teachers of vectors, as Ba and Caruana (2014) describe them for speech: one convolution and pool
where there are frames, then three hidden layers. The sizes of filter and pool are ours; they print
none.
"""


def teacher_widths(
    controls: Mapping[str, float],
    boxes: Mapping[str, tuple[int, int]],
    *,
    multiple: int = 1,
    names: Sequence[str] = TEACHER_CONTROLS,
) -> tuple[int, ...]:
    """Filters of each group of convolutions and units of the hidden layers, in the order of `names`.

    Urban et al. 2017, section 2.7: width = round(low + (high - low) * control), half to even. Ours:
    a `multiple` above 1 takes the nearest multiple of it, which may lie up to half of it outside
    the box.

    Args:
        controls: C1, C2, C3 and H1 in [0, 1]; other keys are ignored.
        boxes: C1, C2, C3 and H1 to (low, high).
        multiple: all widths are multiples of it.
        names: which of them the teacher has; for vectors C1 and H1, or H1 alone.

    Raises:
        ValueError: a key is missing, a control is outside [0, 1], a box is not 1 <= low <= high, a
            multiple below 1.
    """
    check_multiple(multiple, "teachers.width_multiple")

    widths = []
    for name in names:
        for mapping, parameter in ((controls, "teachers.space"), (boxes, "teachers.boxes")):
            if name not in mapping:
                raise ValueError(f"{parameter} has no {name}: it needs {list(names)}")

        check_control(name, controls[name], 0, f"teachers.space.{name}")
        check_box(boxes[name], f"teachers.boxes.{name}")
        widths.append(to_multiple(width_in(boxes[name], controls[name]), multiple))

    return tuple(widths)


def teacher_layers(
    widths: Sequence[int], classes: int = 10, inputs: Inputs = CIFAR_IMAGES
) -> tuple[Layer, ...]:
    """Layers of c^2-mp-c^2-mp-c^4-mp-fc^2-out, 3x3 filters, 2x2 pools, for widths (C1, C2, C3, H1).

    Assumption (2): 3x3 filters in teachers; assumption (3): padding keeps the size. For vectors
    with frames c-mp-fc^3-out for widths (C1, H1), without frames fc^3-out for (H1,); see
    `FRAMES_KERNEL`.

    Raises:
        ValueError: a wrong number of widths, a width below 1, inputs too small for the pools.
    """
    if inputs.is_vectors:
        return _vector_teacher(widths, classes, inputs)

    if len(widths) != 4 or min(widths) < 1:
        raise ValueError(f"a teacher has 4 widths of at least 1 (C1, C2, C3, H1), got {widths}")

    c1, c2, c3, h1 = widths
    return chain(
        TEACHER_LAYOUT,
        (c1,) * 2 + (c2,) * 2 + (c3,) * 4,
        (h1, h1),
        kernel=3,
        pool=2,
        bottleneck=None,
        classes=classes,
        inputs=inputs,
    )


def _vector_teacher(widths: Sequence[int], classes: int, inputs: Inputs) -> tuple[Layer, ...]:
    names = ("C1", "H1") if inputs.has_frames else ("H1",)
    if len(widths) != len(names) or min(widths) < 1:
        raise ValueError(
            f"a teacher of {inputs.words} has {len(names)} width(s) of at least 1 "
            f"({', '.join(names)}), got {widths}"
        )

    return chain(
        "cp" if inputs.has_frames else "",
        widths[:-1],
        (widths[-1],) * FRAMES_HIDDEN,
        kernel=FRAMES_KERNEL,
        pool=FRAMES_POOL,
        bottleneck=None,
        classes=classes,
        inputs=inputs,
    )


def fast_teacher_layers(
    widths: Sequence[int], classes: int = 10, inputs: Inputs = CIFAR_IMAGES
) -> tuple[Layer, ...]:
    """Layers of c-mp-c | c-mp-c | c-mp-c | gmp-out, 3x3 filters, for widths (C1, C2, C3).

    Ours: a small net with batch norm in every convolution. The first convolution of a block has its
    width, its pool is in front of batch norm, and a global max-pool takes the place of the fully
    connected layers, as in the nets that are trained fast on CIFAR-10 (Page 2018, "How to train
    your ResNet").

    Raises:
        ValueError: vectors, a wrong number of widths, a width below 1, images below 16 px.
    """
    if inputs.is_vectors or min(inputs.map[:2]) < FAST_LEAST_PX:
        raise ValueError(
            f"teachers.net 'fast' takes images of at least {FAST_LEAST_PX} px, got {inputs.words}: "
            "take teachers.net: paper"
        )

    if len(widths) != 3 or min(widths) < 1:
        raise ValueError(f"a fast teacher has 3 widths of at least 1 (C1, C2, C3), got {widths}")

    c1, c2, c3 = widths
    return chain(
        FAST_LAYOUT,
        (c1, c1, c2, c2, c3, c3),
        (),
        kernel=3,
        pool=2,
        bottleneck=None,
        classes=classes,
        inputs=inputs,
        normalised=True,
    )


TEACHERS = {"paper": teacher_layers, "fast": fast_teacher_layers}
"""Layers of a teacher by `teachers.net`."""


def teacher_params(
    widths: Sequence[int], classes: int = 10, inputs: Inputs = CIFAR_IMAGES, net: str = "paper"
) -> int:
    """Weights and biases of the teacher with these widths, see `TEACHERS`."""
    return count(TEACHERS[net](widths, classes, inputs))


def teacher_macs(
    widths: Sequence[int], classes: int = 10, inputs: Inputs = CIFAR_IMAGES, net: str = "paper"
) -> int:
    """Multiply-accumulates of one image or vector in a forward pass of that teacher."""
    return macs(TEACHERS[net](widths, classes, inputs))
