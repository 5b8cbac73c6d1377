"""What of a space is searched and what is fixed."""

from __future__ import annotations

from stages.settings.sweeps import Range, split_space


def test_split_space() -> None:
    space = {"lr": Range(low=0.1, high=0.2, log=True), "momentum": 0.9}
    expected = {"lr": {"low": 0.1, "high": 0.2, "log": True, "integer": False}}
    assert split_space(space) == (expected, {"momentum": 0.9})
