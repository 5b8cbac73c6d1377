"""Settings of the door teachers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from stages.settings.common import Count
from stages.settings.read import nearest, parse, strict
from stages.settings.sweeps import Box, Range, Sweep, check_space

SPACE = (
    ("lr", "momentum", "weight_decay", "init_scale")
    + ("C1", "C2", "C3", "H1")
    + ("DOc1", "DOc2", "DOc3", "DOf1", "DOf2")
    + ("D_h", "D_s", "D_v", "A_s", "A_v")
)
"""The eighteen hyperparameters of a teacher (Urban et al. 2017, sections 2.7 and 6.1)."""


@strict
class TeacherTraining:
    """Batch size and an optional bound on the epochs."""

    batch_size: Count
    max_epochs: Count | None


@strict
class TeacherBoxes:
    """Low and high of the filters in the three groups and of the hidden units."""

    C1: Box
    C2: Box
    C3: Box
    H1: Box


@strict
class Teachers:
    """The section `teachers`."""

    sweep: Sweep
    training: TeacherTraining
    width_multiple: Annotated[int, Field(ge=1, le=64)]
    boxes: TeacherBoxes
    space: dict[str, Range | float]


def teachers(params: dict[str, Any]) -> Teachers:
    """The section `teachers`, its space complete and in range."""
    section = parse(Teachers, params["teachers"], "teachers")
    for name in section.space:
        if name not in SPACE:
            raise ValueError(f"params.yaml: unknown key 'teachers.space.{name}'{nearest(name, SPACE)}")
    for name in SPACE:
        if name not in section.space:
            raise ValueError(f"params.yaml: 'teachers.space.{name}' is missing")
    check_space(section.space, "teachers.space")
    return section
