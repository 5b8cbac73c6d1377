"""The box that is searched: what is decoded is inside it, and bad ranges are refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.search.space import Dimension, Space
from tests.helpers.search_cases import MIXED


@st.composite
def dimensions(draw: st.DrawFn) -> Dimension:
    log, integer = draw(st.booleans()), draw(st.booleans())
    low = draw(st.floats(1e-6, 1e3) if log else st.floats(-1e3, 1e3))
    high = low + draw(st.floats(1.0 if integer else 1e-2, 1e3))
    return Dimension("x", low, high, log, integer)


@given(dimensions(), st.floats(0, 1))
def test_a_decoded_value_is_in_the_box_and_survives_encoding(
    dimension: Dimension, unit: float
) -> None:
    value = dimension.decode(unit)
    assert dimension.low <= value <= dimension.high
    assert isinstance(value, int if dimension.integer else float)
    assert -1e-9 <= dimension.encode(value) <= 1 + 1e-9
    assert dimension.decode(dimension.encode(value)) == value
    if not dimension.integer and value not in (dimension.low, dimension.high):
        assert value == float(f"{value:.6g}")
        assert abs(dimension.encode(value) - unit) < 0.1


@given(st.floats(1e-6, 1.0), st.floats(1.01, 1e4), st.floats(0, 1))
def test_log_scale_is_uniform_in_the_exponent(low: float, ratio: float, unit: float) -> None:
    high = low * ratio
    x = -math.log(high) + (1 - unit) * (
        math.log(high) - math.log(low)
    )  # 0 is low, so x runs backwards
    assert Dimension("lr", low, high, log=True).decode(unit) == pytest.approx(
        math.exp(-x), rel=1e-5
    )


def test_decoding_by_hand() -> None:
    lr = Dimension("lr", 1e-3, 1e-1, log=True)
    assert [lr.decode(u) for u in (0.0, 0.5, 1.0)] == [0.001, 0.01, 0.1]
    assert lr.decode(1 / 3) == 0.00464159
    assert Dimension("momentum", 0.68, 0.97).decode(1 / 3) == 0.776667
    assert lr.encode(0.01) == pytest.approx(0.5)
    width = Dimension("width", 1.5, 4.5, integer=True)
    assert [width.decode(u) for u in (0.0, 0.5, 1.0)] == [2, 3, 4]


def test_a_point_has_the_names_and_the_order_of_the_space() -> None:
    values = MIXED.decode(np.array([0.5, 0.0, 1.0]))
    assert values == {"lr": 0.01, "momentum": 0.68, "width": 64}
    np.testing.assert_allclose(MIXED.encode(dict(reversed(values.items()))), [0.5, 0.0, 1.0])


def test_fingerprint_sees_every_field_and_the_order() -> None:
    a, b = Dimension("a", 1.0, 2.0), Dimension("b", 1.0, 2.0)
    spaces = [(a, b), (b, a), (a,), (Dimension("a", 1.0, 3.0),), (Dimension("a", 0.5, 2.0),)]
    spaces += [(Dimension("a", 1.0, 2.0, log=True),), (Dimension("a", 1.0, 2.0, integer=True),)]
    assert len({Space(s).fingerprint() for s in spaces}) == len(spaces)
    assert Space((a, b)).fingerprint() == Space((a, b)).fingerprint()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"low": 1.0, "high": 1.0}, "lr.*allowed is low < high"),
        ({"low": 2.0, "high": 1.0}, "lr.*allowed is low < high"),
        ({"low": "1e-3", "high": 1.0}, "lr.*1e-3"),
        ({"low": math.nan, "high": 1.0}, "lr.*nan"),
        ({"low": 0.0, "high": math.inf}, "lr.*inf"),
        ({"low": 0.0, "high": 1.0, "log": True}, "lr.*above 0 on a log scale"),
        ({"low": 1.2, "high": 1.8, "integer": True}, "lr.*whole number"),
    ],
)
def test_bad_ranges_are_refused(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space.from_params({"lr": entry})


def test_a_space_without_a_range_is_refused() -> None:
    with pytest.raises(ValueError, match="no range"):
        Space.from_params({})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"low": 0, "hihg": 1}, "did you mean 'high'"),
        ({"low": 0}, "'high' is missing"),
        (3, "allowed is a mapping"),
        ({"low": False, "high": True}, "allowed is low < high"),
    ],
)
def test_a_dimension_that_is_none(entry: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space.from_params({"x": entry})
