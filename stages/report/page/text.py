"""Numbers, names and colours as the report page writes them."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.colors import to_hex, to_rgb

SPACE = "\u00a0"
"""A space at which no line breaks."""
MINUS = "\u2212"
DASH = "\u2013"
"""What stands where there is no value."""
LEAST_CONTRAST = 3.0
"""Of lines and markers against white (WCAG 2.2, success criterion 1.4.11)."""
LONGEST = 40
"""Characters of a class name that the page shows."""


def signed(value: float | None, digits: int = 2) -> str:
    """A difference: +1.50 or -1.50 with a minus sign; a dash where there is none."""
    return DASH if missing(value) else f"{value:+.{digits}f}".replace("-", MINUS)


def fixed(value: float | None, digits: int = 2) -> str:
    """A number with so many decimals; a dash where there is none."""
    return DASH if missing(value) else f"{value:,.{digits}f}".replace("-", MINUS)


def percent(share: float | None, digits: int = 1) -> str:
    """A fraction in per cent: 0.792 -> 79.2 %."""
    return DASH if share is None or missing(share) else f"{fixed(100 * share, digits)}{SPACE}%"


def whole(value: float | None) -> str:
    """A whole number: 179,814."""
    return DASH if value is None or missing(value) else f"{int(value):,}"


def brief(value: float) -> str:
    """Four digits of a hyperparameter: 0.0001949."""
    return f"{value:.4g}".replace("-", MINUS)


def counted(count: int, one: str, many: str | None = None) -> str:
    """1 trial, 2 trials."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def missing(value: Any) -> bool:
    """Whether there is no value: None, NaN or pandas' NA."""
    return value is None or bool(pd.isna(value))


def shortened(name: str, longest: int = LONGEST) -> str:
    """A name with at most so many characters."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def distinct(names: Sequence[str], longest: int) -> list[str]:
    """Shortened names, numbered where they have become the same: an axis would draw them as one."""
    short = [shortened(name, longest) for name in names]
    return [name if short.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(short)]


def drawn(text: Any) -> str:
    """Text for a chart, which reads <b> and &amp; as HTML and $x$ as mathematics."""
    return html.escape(str(text), quote=False).replace("$", "&#36;")


def as_json(value: Any) -> Markup:
    """JSON for a script element: six digits a number, NaN as null, no `<` to end the element.

    Raises:
        TypeError: a value is of a type that JSON does not have.
    """
    text = json.dumps(_rounded(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _rounded(value: Any) -> Any:
    match value:
        case dict():
            return {key: _rounded(entry) for key, entry in value.items()}
        case list() | tuple() | np.ndarray() | pd.Series():
            return [_rounded(entry) for entry in value]
        case bool() | np.bool_():
            return bool(value)
        case float() | np.floating():
            return float(f"{value:.6g}") if math.isfinite(value) else None
        case np.integer():
            return int(value)

    return value


def luminance(color: Any) -> float:
    """Relative luminance of a colour, 0 to 1 (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(color: Any) -> float:
    """Contrast of a colour with white, 1 to 21 (WCAG 2.2)."""
    return 1.05 / (luminance(color) + 0.05)


def readable(color: Any, least: float = LEAST_CONTRAST) -> str:
    """The colour as #rrggbb, darkened until it is told from white."""
    rgb = np.array(to_rgb(color))
    while contrast(rgb) < least:
        rgb = rgb * 0.97
    return to_hex((rgb[0], rgb[1], rgb[2]))
