"""durations: how long something takes, in words."""

from __future__ import annotations

import pytest

from stages.runtime.durations import DAY, HOUR, MINUTE, about


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than 1 min"),
        (29, "less than 1 min"),
        (30, "about 1 min"),
        (89, "about 1 min"),
        (91, "about 2 min"),
        (89 * MINUTE, "about 89 min"),
        (90 * MINUTE, "about 1 h 30 min"),
        (118 * MINUTE, "about 2 h"),
        (9 * HOUR + 47 * MINUTE, "about 9 h 50 min"),
        (10 * HOUR, "about 10 h"),
        (47 * HOUR, "about 47 h"),
        (2 * DAY, "about 2 days"),
        (706 * DAY, "about 706 days"),
    ],
)
def test_about(seconds: float, words: str) -> None:
    assert about(seconds) == words
