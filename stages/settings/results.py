"""Settings of the doors tabulate and draw."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from stages.settings.read import parse, strict


@strict
class Tabulate:
    """The section `tabulate`."""

    data: Annotated[str, Field(min_length=1)]
    comparable: bool


@strict
class Draw:
    """The section `draw`."""

    figure_rows: Annotated[int, Field(ge=1, le=100)]


def tabulate(params: dict[str, Any]) -> Tabulate:
    """The section `tabulate`."""
    return parse(Tabulate, params["tabulate"], "tabulate")


def draw(params: dict[str, Any]) -> Draw:
    """The section `draw`."""
    return parse(Draw, params["draw"], "draw")


def scale(params: dict[str, Any]) -> str:
    """The name of the active scale."""
    return parse(str, params["scale"], "scale")
