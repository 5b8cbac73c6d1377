"""Settings of teachers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from stages.settings.common import Count, Schedule, check_bound
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


OF_FAST = Names(("C1", "C2", "C3"), ("DOg",), OF_IMAGES.jitter)
"""Ours: six convolutions with batch norm."""


def names_of(inputs: Inputs, net: str = "paper") -> Names:
    """Hyperparameters of teachers that see such inputs, by `teachers.net`."""
    if net == "fast":
        return OF_FAST
    if inputs.is_images:
        return OF_IMAGES
    return OF_FRAMES if inputs.has_frames else OF_VECTORS


@strict
class TeacherTraining:
    """Batch size, an optional bound on the epochs, and how the learning rate falls."""

    batch_size: Count
    max_epochs: Count | None
    schedule: Schedule = "paper"

    @model_validator(mode="after")
    def _bounded(self) -> TeacherTraining:
        check_bound(self.schedule, self.max_epochs)
        return self


@strict
class Teachers:
    """The section `teachers`.

    Attributes:
        sweep: see `Sweep`.
        training: see `TeacherTraining`.
        width_multiple: all widths are multiples of it.
        boxes: low and high of the filters in each group and of the hidden units.
        space: what is searched, and what is fixed.
        net: that of the paper, or a small one with batch norm, which learns faster; images only.
    """

    sweep: Sweep
    training: TeacherTraining
    width_multiple: Annotated[int, Field(ge=1, le=64)]
    boxes: dict[str, Box]
    space: dict[str, Range | float]
    net: Literal["paper", "fast"] = "paper"


def teachers(params: dict[str, Any], inputs: Inputs = CIFAR_IMAGES) -> Teachers:
    """The section `teachers`, its space complete and in range.

    Args:
        inputs: what the teachers see; of images, frames and other vectors they differ.
    """
    section = parse(Teachers, params["teachers"], "teachers")
    if section.net == "fast" and inputs.is_vectors:
        raise ValueError(
            "params.yaml: teachers.net is 'fast', which takes images: take paper for vectors"
        )

    names = names_of(inputs, section.net)
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
