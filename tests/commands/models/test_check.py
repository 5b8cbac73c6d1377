"""Differences between two nets' outputs."""

from __future__ import annotations

import numpy as np
import pytest

from commands.models import check


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
