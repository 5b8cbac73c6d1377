"""Settings of teachers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from stages.settings.common import Count
from stages.settings.inputs import CIFAR_IMAGES, Inputs
from stages.settings.read import nearest, parse, strict
from stages.settings.sweeps import Box, Range, Sweep, check_space


@dataclass(frozen=True)
class Names:
    """Hyperparameters of a teacher, besides those of every training."""

    widths: tuple[str, ...]
    dropouts: tuple[str, ...]
    jitter: tuple[str, ...] = ()

    @property
    def space(self) -> tuple[str, ...]:
        """All that `teachers.space` needs."""
        return (
            "lr",
            "momentum",
            "weight_decay",
            "init_scale",
            *self.widths,
            *self.dropouts,
            *self.jitter,
        )


OF_IMAGES = Names(
    ("C1", "C2", "C3", "H1"),
    ("DOc1", "DOc2", "DOc3", "DOf1", "DOf2"),
    ("D_h", "D_s", "D_v", "A_s", "A_v"),
)
"""With those of every training the eighteen of Urban et al. 2017, sections 2.7 and 6.1."""

OF_FRAMES = Names(("C1", "H1"), ("DOc1", "DOf1", "DOf2", "DOf3"))
"""Ours: a convolution, a pool and three hidden layers, for vectors (frames, features, ...)."""

OF_VECTORS = Names(("H1",), ("DOf1", "DOf2", "DOf3"))
"""Ours: three hidden layers."""


def names_of(inputs: Inputs) -> Names:
    """Hyperparameters of teachers that see such inputs."""
    if inputs.is_images:
        return OF_IMAGES
    return OF_FRAMES if inputs.has_frames else OF_VECTORS


@strict
class TeacherTraining:
    """Batch size and an optional bound on the epochs."""

    batch_size: Count
    max_epochs: Count | None


@strict
class Teachers:
    """The section `teachers`.

    Attributes:
        sweep: see `Sweep`.
        training: see `TeacherTraining`.
        width_multiple: all widths are multiples of it.
        boxes: low and high of the filters in each group and of the hidden units.
        space: what is searched, and what is fixed.
    """

    sweep: Sweep
    training: TeacherTraining
    width_multiple: Annotated[int, Field(ge=1, le=64)]
    boxes: dict[str, Box]
    space: dict[str, Range | float]


def teachers(params: dict[str, Any], inputs: Inputs = CIFAR_IMAGES) -> Teachers:
    """The section `teachers`, its space complete and in range.

    Args:
        inputs: what the teachers see; of images, frames and other vectors they differ.
    """
    section = parse(Teachers, params["teachers"], "teachers")
    names = names_of(inputs)
    parts = (("boxes", section.boxes, names.widths), ("space", section.space, names.space))

    for part, values, wanted in parts:
        for name in values:
            if name not in wanted:
                raise ValueError(
                    f"params.yaml: unknown key 'teachers.{part}.{name}'{nearest(name, wanted)}"
                )

        for name in wanted:
            if name not in values:
                raise ValueError(f"params.yaml: 'teachers.{part}.{name}' is missing")

    check_space(section.space, "teachers.space")
    return section
