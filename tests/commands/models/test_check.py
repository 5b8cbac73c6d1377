"""Differences between two nets' outputs."""

from __future__ import annotations

import numpy as np
import pytest

from commands.models import check

MADE = {"one colour": np.float32([[0]]), "another": np.float32([[1]])}


def test_differences_are_of_the_largest_logit() -> None:
    wanted = np.array([[100.0, -200.0], [0.0, 1.0]], np.float32)
    assert check.compare("x", wanted + np.float32(0.01), wanted) == pytest.approx(0.01, rel=0.01)

    with pytest.raises(
        ValueError, match="x gives other outputs: largest difference 0.03, allowed 0.02"
    ):
        check.compare("x", wanted + np.float32(0.03), wanted)

    for bad in (np.full((2, 2), np.nan), np.zeros((2, 3))):
        with pytest.raises(ValueError, match="x gives"):
            check.compare("x", bad, wanted)

    for count in (1, 2, 7, 8, 9, 72, 73, 256):
        parts = [len(part) for part in check.batches(np.arange(count))]
        assert (
            sum(parts) == count
            and parts[:2] == [1, 7][: len(parts)]
            or count < 8
            and sum(parts) == count
        )


def run(inputs: np.ndarray) -> np.ndarray:
    """Two logits an input: its value, and 100 times that of the made-up ones."""
    return np.stack([inputs.sum((1, 2)), 100 * inputs.sum((1, 2))], axis=1).astype(np.float32)


def test_a_file_must_answer_made_up_inputs_too() -> None:
    tested = np.float32([[[3]], [[4]]])
    sample = check.CheckedInputs.of(run, tested, MADE)
    assert sample.compare("x", run) == 0
    assert sample.compare("x", lambda inputs: run(inputs) + 0.01) == pytest.approx(0.01, rel=0.01)

    def wrong(of: float, by: float) -> check.Runner:
        def other(inputs: np.ndarray) -> np.ndarray:
            return run(inputs) + np.where(inputs[:, 0] == of, np.float32(by), np.float32(0))

        return other

    # the largest logit of the test inputs is 400: 0.04 are allowed
    sample.compare("x", wrong(0, 0.03))
    with pytest.raises(ValueError, match=r"x gives other outputs for a made-up input \(another\)"):
        sample.compare("x", wrong(1, 0.05))
    for by in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match=r"not finite numbers for a made-up input \(one col"):
            sample.compare("x", wrong(0, by))
        with pytest.raises(ValueError, match="x gives .* not finite .* 1 of 2 .* number 1"):
            sample.compare("x", wrong(4, by))
        with pytest.raises(ValueError, match=r"the net gives .* not finite .* \(another\)"):
            check.CheckedInputs.of(wrong(1, by), tested, MADE)
        with pytest.raises(ValueError, match="the net gives .* not finite .* number 0"):
            check.CheckedInputs.of(wrong(3, by), tested, MADE)


def test_a_made_up_input_with_larger_logits_has_a_limit_of_its_own() -> None:
    made = {"far": np.float32([[1000]])}
    sample = check.CheckedInputs.of(run, np.float32([[[3]], [[4]]]), made)
    sample.compare("x", lambda inputs: run(inputs) + np.where(inputs[:, 0] == 1000, 5, 0))
    with pytest.raises(ValueError, match="largest difference 15, allowed 10"):
        sample.compare("x", lambda inputs: run(inputs) + np.where(inputs[:, 0] == 1000, 15, 0))


def test_inputs_without_an_answer_are_counted() -> None:
    logits = np.float32([[1, 2], [np.nan, 2], [3, np.inf], [4, 5]])
    assert check.finite(logits).tolist() == [True, False, False, True]
    with pytest.raises(ValueError, match="x gives .* for 2 of 4 inputs, first for number 1"):
        check.check_finite("x", logits)
    check.check_finite("x", logits[[0, 3]])
