"""How long something takes, in words; for lines of progress."""

from __future__ import annotations

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def about(seconds: float) -> str:
    """A rough duration: "about 2 min", "about 3 h 20 min", "about 4 days".

    >>> about(20), about(100), about(3 * HOUR + 1200), about(4 * DAY)
    ('less than 1 min', 'about 2 min', 'about 3 h 20 min', 'about 4 days')
    """
    if seconds < MINUTE / 2:
        return "less than 1 min"
    if seconds < 1.5 * HOUR:
        return f"about {max(round(seconds / MINUTE), 1)} min"

    tens = round(seconds / (10 * MINUTE))
    if seconds < 10 * HOUR:
        return f"about {tens // 6} h" + (f" {tens % 6}0 min" if tens % 6 else "")
    if seconds < 2 * DAY:
        return f"about {round(seconds / HOUR)} h"
    return f"about {round(seconds / DAY)} days"
