"""Vectors of NumPy files, or one line on what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from commands.models.vectors import read_vectors


def test_bad_vectors_are_refused_in_one_line(tmp_path: Path) -> None:
    good = np.ones((3, 2, 2))
    mean = np.zeros((2, 2))
    np.save(tmp_path / "good.npy", good)
    np.savez(tmp_path / "good.npz", inputs=good)
    np.testing.assert_array_equal(
        read_vectors(tmp_path / "good.npz", (2, 2), mean, mean + 4), good / 4
    )
    bad = {
        "shape": np.ones((3, 4)),
        "none": np.ones((0, 2, 2)),
        "large": np.full((3, 2, 2), 1e39),
        "nan": np.where(np.arange(12).reshape(3, 2, 2) == 6, np.nan, 1),
        "text": np.full((3, 2, 2), "a"),
        "object": np.full((3, 2, 2), {}),
    }
    words = {
        "shape": r"an array of shape \(3, 4\), the net takes \(n, 2, 2\)",
        "none": "shape",
        "nan": "row 1 holds",
        "text": "its numbers are <U1",
        "object": "no file of numpy",
        "large": "row 0 holds",
    }

    for name, array in bad.items():
        np.save(tmp_path / "a.npy", array, allow_pickle=True)
        np.savez(tmp_path / "a.npz", inputs=array)
        for path in ("a.npy", "a.npz"):
            with pytest.raises(ValueError, match=words[name]) as caught:
                read_vectors(tmp_path / path, (2, 2), mean, mean + 1)
            assert "\n" not in str(caught.value)

    np.savez(tmp_path / "a.npz", other=good)
    with pytest.raises(ValueError, match="it has no array 'inputs', but other"):
        read_vectors(tmp_path / "a.npz", (2, 2), mean, mean + 1)
    for name in ("good.npy", "good.npz"):
        data = (tmp_path / name).read_bytes()
        for stop in range(0, len(data), 7):
            (tmp_path / "cut").write_bytes(data[:stop])
            with pytest.raises(ValueError, match="no file of numpy") as caught:
                read_vectors(tmp_path / "cut", (2, 2), mean, mean + 1)
            assert "\n" not in str(caught.value)

    with pytest.raises(FileNotFoundError):
        read_vectors(tmp_path / "missing.npy", (2, 2), mean, mean + 1)


def test_the_mean_is_off_before_numbers_become_float32(tmp_path: Path) -> None:
    """As in prepare: seconds since 1970 are one number in float32."""
    seconds = 1_700_000_000 + np.arange(60)
    for name, given in (("whole", seconds), ("floats", seconds + 0.25)):
        np.save(tmp_path / f"{name}.npy", given[:, None])
        made = read_vectors(tmp_path / f"{name}.npy", (1,), given.mean(keepdims=True), np.ones(1))
        np.testing.assert_array_equal(made[:, 0], np.arange(60, dtype=np.float32) - 29.5)
        assert made.dtype == np.float32


def test_vectors_far_from_those_of_the_training_are_refused(tmp_path: Path) -> None:
    vectors = np.ones((3, 2))
    vectors[1] = [1, 1e38]
    np.save(tmp_path / "a.npy", vectors)
    mean, deviation = np.zeros(2), np.full(2, 0.01)
    with pytest.raises(ValueError, match="row 1 is beyond 32 bits when it is standardised: "):
        read_vectors(tmp_path / "a.npy", (2,), mean, deviation)
    assert np.isfinite(read_vectors(tmp_path / "a.npy", (2,), mean, deviation * 100)).all()
