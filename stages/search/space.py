"""The box that is searched: names, bounds and log scales of hyperparameters."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

SIGNIFICANT_DIGITS = 6
"""Proposed values are rounded to this, so that what is stored, logged and used is one number."""


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter and its bounds.

    A log dimension is searched in x of exp(-x), x in [-ln high, -ln low] (Urban et al. 2017,
    section 2.7); the unit interval is oriented so that 0 is `low`.
    """

    name: str
    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        finite = all(type(v) in (int, float) and math.isfinite(v) for v in (self.low, self.high))
        if not finite or not self.low < self.high:
            raise ValueError(
                f"space.{self.name}: low {self.low}, high {self.high}: allowed is low < high"
            )

        if self.log and self.low <= 0:
            raise ValueError(
                f"space.{self.name}: low {self.low}: allowed is above 0 on a log scale"
            )

        if self.integer and math.ceil(self.low) > math.floor(self.high):
            raise ValueError(
                f"space.{self.name}: low {self.low}, high {self.high}: "
                "allowed is a whole number between them"
            )

    def decode(self, unit: float) -> float | int:
        """Value at a place in [0, 1], rounded and inside the bounds."""
        if self.log:
            value = math.exp(math.log(self.low) + unit * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + unit * (self.high - self.low)

        if self.integer:
            return int(min(max(round(value), math.ceil(self.low)), math.floor(self.high)))
        return min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), float(self.low)), float(self.high))

    def encode(self, value: float) -> float:
        """Place of a value in [0, 1]."""
        if self.log:
            return (math.log(value) - math.log(self.low)) / (
                math.log(self.high) - math.log(self.low)
            )
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Space:
    """A box of dimensions; points are dictionaries outside and rows of the unit cube inside.

    >>> space = Space.from_params({
    ...     "lr": {"low": 0.001, "high": 0.1, "log": True},
    ...     "width": {"low": 4, "high": 64, "integer": True},
    ... })
    >>> space.decode(np.array([0.5, 0.0]))
    {'lr': 0.01, 'width': 4}
    >>> space.encode({"lr": 0.1, "width": 34}).tolist()
    [1.0, 0.5]
    """

    dimensions: tuple[Dimension, ...]

    @classmethod
    def from_params(cls, mapping: Mapping[str, Mapping[str, Any]]) -> Space:
        """From {name: {low, high, log, integer}}.

        Raises:
            ValueError: nothing is searched, or bounds are not numbers, not ordered, not above 0 on
                a log scale, or without a whole number between them where one is asked for.
        """
        if not mapping:
            raise ValueError(
                "the space has no range: give at least one {low:, high:} in params.yaml"
            )
        return cls(
            tuple(Dimension(name, **_checked(name, entry)) for name, entry in mapping.items())
        )

    def decode(self, unit: np.ndarray) -> dict[str, float | int]:
        """Values at a point of the unit cube (d,)."""
        return {d.name: d.decode(float(u)) for d, u in zip(self.dimensions, unit, strict=True)}

    def middle(self) -> dict[str, float | int]:
        """Values in the middle of every dimension's scale."""
        return self.decode(np.full(len(self.dimensions), 0.5))

    def encode(self, values: Mapping[str, float]) -> np.ndarray:
        """Point of the unit cube (d,) of `values`; float64."""
        return np.array([d.encode(values[d.name]) for d in self.dimensions])

    def fingerprint(self) -> str:
        """sha256 over names and bounds, in their order."""
        return hashlib.sha256(json.dumps([asdict(d) for d in self.dimensions]).encode()).hexdigest()


def _checked(name: str, entry: Any) -> Mapping[str, Any]:
    """The entry of one dimension, its keys those of `Dimension`."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"space.{name} is {entry!r}: allowed is a mapping with low and high")

    allowed = ("low", "high", "log", "integer")
    for key in entry:
        if key not in allowed:
            close = difflib.get_close_matches(str(key), allowed, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"allowed: {', '.join(allowed)}"
            raise ValueError(f"space.{name}: unknown key '{key}'; {hint}")

    for key in ("low", "high"):
        if key not in entry:
            raise ValueError(f"space.{name}: '{key}' is missing")

    return entry
