"""Settings of one hyperparameter search: how many trials, and what is searched."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from stages.settings.common import Count
from stages.settings.read import strict

REPORTED_TRIALS = 5
"""Trials of a search whose test accuracy is reported: the best by validation error (Figure 1)."""


@strict
class Sweep:
    """How many trials, and how they are proposed.

    Trial i is proposed from the results of trials 0 .. i - lag; the first `start` of them are Sobol
    points. Without a model, at the price of a worse search::

        teachers:
          sweep: {trials: 129, start: 24, lag: 4, engine: sobol}
    """

    trials: Annotated[int, Field(ge=1, le=100_000)]
    start: Count
    lag: Annotated[int, Field(ge=1, le=4096)]
    engine: Literal["gpyopt", "sobol"]

    @model_validator(mode="after")
    def _lag_fits(self) -> Sweep:
        if self.start < self.lag:
            raise ValueError(
                f"start {self.start} is below lag {self.lag}: the first 'lag' trials have no results "
                "to be proposed from; raise start or lower lag"
            )
        return self

    @property
    def of_each(self) -> dict[str, Any]:
        """What a trial depends on: all but the number of trials, since a search can be continued."""
        return {name: value for name, value in asdict(self).items() if name != "trials"}


@strict
class Range:
    """One searched hyperparameter; `log` searches the exponent of exp(-x) (section 2.7).

    A plain number in its place fixes the value::

        space:
          lr: {low: 0.01, high: 0.05, log: true}
          DOc1: 0.0
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low} must be above 0 on a log scale")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(
                f"low {self.low} and high {self.high} must be whole numbers of an integer"
            )

        return self


def ordered(ends: tuple[float, float]) -> tuple[float, float]:
    """`ends` if the first is not above the second; a validator of pairs."""
    if ends[0] > ends[1]:
        raise ValueError(f"low {ends[0]} must not be above high {ends[1]}")
    return ends


Box = Annotated[
    tuple[Annotated[int, Field(ge=1, le=10**6)], Annotated[int, Field(ge=1, le=10**6)]],
    AfterValidator(ordered),
]
"""Low and high of a layer's width."""

LIMITS = {
    "lr": (0.0, math.inf),
    "momentum": (0.0, 1.0),
    "weight_decay": (0.0, math.inf),
    "init_scale": (0.0, math.inf),
    "input_scale": (0.0, math.inf),
    "dropout": (0.0, 1.0),
    "width": (0.0, 1.0),
    "D_h": (0.0, 0.5),
    "D_s": (0.0, 1.0),
    "D_v": (0.0, 1.0),
    "hsv": (0.0, math.inf),
}
ABOVE_ZERO = ("lr", "init_scale", "input_scale")
"""What stops all learning where it is 0."""


def _limits(name: str) -> tuple[float, float]:
    """Lowest and highest value of a hyperparameter."""
    if name.startswith("DO"):
        return LIMITS["dropout"]
    if name[0] in "CHr" and name[1:].isdigit():
        return LIMITS["width"]
    return LIMITS.get(name, LIMITS["hsv"])


def check_space(space: dict[str, Range | float], where: str) -> dict[str, Range | float]:
    """Check that every value of `space` lies where its hyperparameter makes sense.

    Returns:
        `space`.

    Raises:
        ValueError: one line naming the hyperparameter, what was got and what is allowed.
    """
    for name, entry in space.items():
        low, high = (entry.low, entry.high) if isinstance(entry, Range) else (entry, entry)
        floor, ceiling = _limits(name)

        open_ended = name == "momentum" or name.startswith("DO")
        above = high >= ceiling if open_ended else high > ceiling
        if low < floor or above or (name in ABOVE_ZERO and low <= 0):
            got = f"{low} .. {high}" if isinstance(entry, Range) else f"{low}"
            allowed = f"{floor} .. {ceiling}{' (excluded)' if open_ended else ''}"
            allowed = f"above {floor}" if name in ABOVE_ZERO else allowed
            raise ValueError(f"params.yaml: {where}.{name} is {got}: allowed is {allowed}")

    return space


def split_space(
    space: dict[str, Range | float],
) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """What is searched (name -> low, high, log, integer) and what is fixed (name -> value)."""
    searched = {
        name: {"low": entry.low, "high": entry.high, "log": entry.log, "integer": entry.integer}
        for name, entry in space.items()
        if isinstance(entry, Range)
    }
    fixed = {name: entry for name, entry in space.items() if not isinstance(entry, Range)}
    return searched, fixed
