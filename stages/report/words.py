"""Verdicts in words: of a claim, and of a variant beside its base."""

from __future__ import annotations

HOLDS = "holds"
FAILS = "does not hold"
OPEN = "undecided at this scale"
"""Of claims, and of variants too."""
UNTESTED = "not tested"

BETTER = "better"
WORSE = "worse"

NO_INTERVAL = "no interval: one run"
"""In the place of an interval over seeds, which one run cannot give."""
