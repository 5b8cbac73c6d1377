"""What of a space is searched and what is fixed."""

from __future__ import annotations

from stages.settings.sweeps import Range, Sweep, split_space


def test_split_space() -> None:
    space = {"lr": Range(low=0.1, high=0.2, log=True), "momentum": 0.9}
    expected = {"lr": {"low": 0.1, "high": 0.2, "log": True, "integer": False}}
    assert split_space(space) == (expected, {"momentum": 0.9})


def test_a_trial_depends_on_all_of_a_search_but_its_number_of_trials() -> None:
    assert Sweep(3, 2, 2, "sobol").of_each == Sweep(129, 2, 2, "sobol").of_each
    others = [Sweep(3, 3, 2, "sobol"), Sweep(3, 2, 1, "sobol"), Sweep(3, 2, 2, "gpyopt")]
    assert all(other.of_each != Sweep(3, 2, 2, "sobol").of_each for other in others)
