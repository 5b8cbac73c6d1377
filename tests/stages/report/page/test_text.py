"""Numbers, names and colours as the page writes them."""

from __future__ import annotations

import html
import json
import math

import numpy as np
import pytest

from stages.report.page.text import (
    MINUS,
    SPACE,
    as_json,
    contrast,
    distinct,
    drawn,
    fixed,
    listed,
    percent,
    readable,
    signed,
    whole,
)
from tests.helpers.page_run import NASTY


def test_numbers_as_text() -> None:
    assert (
        signed(1.005e1) == "+10.05"
        and signed(-0.5, 1) == f"{MINUS}0.5"
        and signed(float("nan")) == "–"
    )
    assert (
        percent(0.79249) == f"79.2{SPACE}%"
        and percent(None) == "–"
        and fixed(-1234.5, 1) == f"{MINUS}1,234.5"
    )
    assert (
        whole(179814.0) == "179,814"
        and listed(["a", "b", "c"]) == "a, b and c"
        and listed(["a"]) == "a"
    )


def test_shortened_names_stay_apart() -> None:
    names = distinct(["x" * 20 + "a", "x" * 20 + "b", "y"], 10)
    assert (
        len(set(names)) == 3
        and names[2] == "y"
        and all(name.startswith("x" * 9 + "…") for name in names[:2])
    )


@pytest.mark.parametrize("name", NASTY)
def test_text_of_charts_means_itself(name: str) -> None:
    text = drawn(name)
    assert html.unescape(text) == name and not set("<>$") & set(text)


def test_json_cannot_end_its_element_and_comes_back() -> None:
    numbers = [1, 2.5, math.nan, np.float32(0.1), np.int64(3), np.bool_(True)]
    value = {"names": NASTY, "odd": "\u2028", "numbers": numbers}
    text = as_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {**value, "numbers": [1, 2.5, None, 0.1, 3, True]}
    with pytest.raises(TypeError):
        as_json({"set": {1}})


def test_contrast_is_wcags() -> None:
    assert contrast("black") == pytest.approx(21) and contrast("white") == pytest.approx(1)
    assert contrast("#767676") == pytest.approx(
        4.54, abs=0.005
    )  # the lightest grey with 4.5, as WCAG's authors say
    assert readable("#0173b2") == "#0173b2", "dark enough already"
    assert contrast(readable("#feb24c")) == pytest.approx(3, abs=0.1) and contrast("#feb24c") < 2
