"""Budgets as they are written in params.yaml and on command lines."""

from __future__ import annotations

import pytest

from stages.settings.budgets import parse_budget


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1M", 1_000_000),
        ("3.16M", 3_162_278),
        ("10M", 10_000_000),
        ("31.6M", 31_622_777),
        ("100k", 100_000),
        ("2.5M", 2_500_000),
        ("0.3M", 300_000),
        (250_000, 250_000),
        ("250000", 250_000),
        (2.5e6, 2_500_000),
        (10**6.5, 3_162_278),
        ("1e6", 1_000_000),
        (" 1M ", 1_000_000),
        ("3.17M", 3_170_000),
        (3_160_000, 3_160_000),
    ],
)
def test_budget_is_read_as_a_number(text: str | int | float, number: int) -> None:
    parsed = parse_budget(text)
    assert parsed == number and isinstance(parsed, int)


def test_half_decades_are_powers_of_ten() -> None:
    assert parse_budget("3.16M") == round(10**6.5) and parse_budget("31.6M") == round(10**7.5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "M",
        "1G",
        "ten",
        "-1M",
        0,
        "0",
        "0.0000001M",
        -5,
        float("nan"),
        float("inf"),
        "nan",
        "-inf",
        True,
        "1 000",
        "1e400",
        "1e999999999",
        "-1e999999999",
        "9e999999M",
        "snan",
        "infM",
    ],
)
def test_bad_budget_is_refused(text: str | int | float) -> None:
    with pytest.raises(ValueError, match=r"students\.budgets") as caught:
        parse_budget(text)
    assert "\n" not in str(caught.value)
