"""predictions: outputs on the test images come back under their numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.store.predictions import (
    fingerprint,
    mean_logits,
    read_test_logits,
    write_test_logits,
)
from stages.store.tensors import write_tensors


def test_outputs_come_back_under_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "test.safetensors"
    rng = np.random.default_rng(0)
    nets = {number: rng.normal(size=(5, 3)).astype(np.float32) for number in (4, 0, 11)}
    write_test_logits(path, {"trials": nets, "retrained": {}})

    kinds = read_test_logits(path)
    assert set(kinds) == {"trials", "retrained"} and kinds["retrained"] == {}
    assert list(kinds["trials"]) == [4, 0, 11]
    for number, logits in nets.items():
        assert fingerprint(kinds["trials"][number]) == fingerprint(logits)


def test_the_mean_is_taken_in_float64() -> None:
    nets = {0: np.float32([[1.0, 2.0**-30]]), 1: np.float32([[2.0**-30, 1.0]])}
    assert mean_logits(nets).tolist() == [[0.5 + 2.0**-31] * 2]


@pytest.mark.parametrize("numbers", [[0], [0, 0], [0, "1"], "01", None])
def test_other_numbers_are_refused(tmp_path: Path, numbers: object) -> None:
    path = tmp_path / "test.safetensors"
    outputs = np.zeros((2, 5, 3), np.float32)
    write_tensors(path, {"trials": outputs}, {"numbers": {"trials": numbers}})
    with pytest.raises(ValueError, match="holds no outputs of nets"):
        read_test_logits(path)
