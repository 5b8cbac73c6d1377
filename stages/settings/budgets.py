"""A budget of parameters, as it is written: "1M", "3.16M", 250000.

Which widths meet a budget, and which budget is too small for a net, is in stages/nets/budget.py.
"""

from __future__ import annotations

from decimal import Decimal

BUDGET_MAX = 10**12


HALF_DECADES = {"3.16M": 3_162_278, "31.6M": 31_622_777}  # 10**6.5 and 10**7.5


def parse_budget(text: str | int | float) -> int:
    """Number of parameters from "1M", "3.16M", "100k", "250000", 250000 or 2.5e6.

    "3.16M" and "31.6M" are the labels of 10**6.5 and 10**7.5 (Urban et al. 2017, section 2.3).

    Raises:
        ValueError: not a number, or not between 1 and 10**12.
    """
    label = str(text).strip()
    if label in HALF_DECADES:
        return HALF_DECADES[label]

    unit = {"k": 1_000, "K": 1_000, "M": 1_000_000}.get(label[-1:], 1)
    try:
        number = Decimal(label if unit == 1 else label[:-1]) * unit
        if number.is_finite() and 0 < number <= BUDGET_MAX and round(number) >= 1:
            return round(number)
    except ArithmeticError:  # not a number, or beyond Decimal's range
        pass

    raise ValueError(
        f"a budget is a number of parameters from 1 to 10**12, as 250000, 100k or 3.16M,"
        f" got {text!r}: change students.budgets"
    )
