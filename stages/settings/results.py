"""Settings of tabulate, assess and draw."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any

from pydantic import Field

from stages.settings.prepare import prepare
from stages.settings.read import parse, strict

SOURCE_NAMES = {
    "cluttered-digits": "cluttered digits",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "cifar100-coarse": "CIFAR-100 (20 superclasses)",
    "svhn": "SVHN",
    "svhn-extra": "SVHN with extra",
    "svhn-full": "SVHN (full numbers)",
    "svhn-full-extra": "SVHN (full numbers) with extra",
    "stl10": "STL-10",
}
"""What titles call sources that have one data set."""


@strict
class Tabulate:
    """The section `tabulate`.

    Attributes:
        data: name of the data set, in titles; None: see `data_name`.
        comparable: whether it is the paper's data set: tables show the difference to its values.
    """

    data: Annotated[str, Field(min_length=1)] | None
    comparable: bool


@strict
class Assess:
    """The section `assess`: accuracies in percent, `level` a fraction."""

    resamples: Annotated[int, Field(ge=100, le=10**6)]
    level: Annotated[float, Field(ge=0.5, lt=1)]
    tolerance_pct: Annotated[float, Field(ge=0, le=100)]
    mlp_ceiling_pct: Annotated[float, Field(ge=0, le=100)] | None


@strict
class Draw:
    """The section `draw`."""

    figure_rows: Annotated[int, Field(ge=1, le=100)]


def tabulate(params: dict[str, Any]) -> Tabulate:
    """The section `tabulate`."""
    return parse(Tabulate, params["tabulate"], "tabulate")


def data_name(params: dict[str, Any]) -> str:
    """What titles call the data: `tabulate.data`, or else the source's name, or its folder's."""
    named = tabulate(params).data
    if named is not None:
        return named

    settings = prepare(params)
    return SOURCE_NAMES.get(settings.source) or PurePath(settings.path).name or settings.source


def assess(params: dict[str, Any]) -> Assess:
    """The section `assess`."""
    return parse(Assess, params["assess"], "assess")


def draw(params: dict[str, Any]) -> Draw:
    """The section `draw`."""
    return parse(Draw, params["draw"], "draw")


def scale(params: dict[str, Any]) -> str:
    """The name of the active scale."""
    return parse(str, params["scale"], "scale")
