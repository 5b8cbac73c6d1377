"""Vectors in NumPy files: what arrays may be, and how exactly they are kept."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.images.sources.labelled import Labelled
from stages.images.sources.vectors import standardised, statistics, vectors
from tests.helpers.image_files import one_line


def save(path: Path, count: int = 9, **arrays: Any) -> Path:
    """Vectors of three features and three classes."""
    inputs = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
    whole = {"inputs": inputs, "labels": np.arange(count) % 3, **arrays}
    np.savez(path, **{name: value for name, value in whole.items() if value is not None})
    return path


@pytest.mark.parametrize("name", ["val", "validation", "dev", "valid"])
def test_an_own_validation_part(tmp_path: Path, name: str) -> None:
    for part, count in (("train", 9), (name, 6), ("test", 5)):
        save(tmp_path / f"{part}.npz", count)
    source = vectors(tmp_path, (3,))
    assert {part: len(held) for part, held in source.parts.items()} == {
        "train": 9,
        "validation": 6,
        "test": 5,
    }
    assert all(held.images.dtype == np.float32 for held in source.parts.values())


def test_names_as_labels(tmp_path: Path) -> None:
    """Their order is that of the alphabet, or that of `classes`."""
    save(tmp_path / "train.npz", 3, labels=np.array(["sh", "ah", "sh"]))
    save(tmp_path / "test.npz", 2, labels=np.array(["sh", "ah"])[:, None])
    source = vectors(tmp_path, (3,))
    assert source.classes == ("ah", "sh") and source.train.labels.tolist() == [1, 0, 1]
    assert source.test is not None and source.test.labels.tolist() == [1, 0]

    classes = np.array(["sh", "s", "ah"])
    save(tmp_path / "train.npz", 3, labels=np.array(["sh", "ah", "sh"]), classes=classes)
    source = vectors(tmp_path, (3,))
    assert source.classes == ("sh", "s", "ah") and source.train.labels.tolist() == [0, 2, 0]
    assert source.test is not None and source.test.labels.tolist() == [0, 2]


def test_labels_and_classes_of_scikit_learn(tmp_path: Path) -> None:
    """A LabelEncoder fitted on a list of objects keeps objects: refused, never unpickled."""
    from sklearn.preprocessing import LabelEncoder

    words = np.array(["sh", "ah", "sh"], dtype=object)
    encoder = LabelEncoder().fit(words)
    assert encoder.classes_.dtype == object

    file = save(
        tmp_path / "train.npz", 3, labels=encoder.transform(words), classes=encoder.classes_
    )
    with pytest.raises(ValueError) as error:
        vectors(tmp_path, (3,))
    one_line(error, file, "array classes holds Python objects", ".astype(str)")

    classes = encoder.classes_.astype(str)
    save(tmp_path / "train.npz", 3, labels=encoder.transform(words)[:, None], classes=classes)
    source = vectors(tmp_path, (3,))
    assert source.classes == ("ah", "sh") and source.train.labels.tolist() == [1, 0, 1]


def test_names_and_numbers_are_not_mixed(tmp_path: Path) -> None:
    save(tmp_path / "train.npz", 3, labels=np.array(["sh", "ah", "sh"]))
    save(tmp_path / "test.npz", 3)
    with pytest.raises(ValueError, match="train.npz names its classes .* and .*test.npz does not"):
        vectors(tmp_path, (3,))


def test_groups(tmp_path: Path) -> None:
    speaker = np.array(["a", "a", "b"])
    save(tmp_path / "train.npz", 3, speaker=speaker)
    source = vectors(tmp_path, (3,), "speaker")
    assert source.train.groups is not None and source.train.groups.tolist() == ["a", "a", "b"]
    assert source.test is None
    shifted = standardised(source.train, *statistics(source.train.images))
    assert shifted.groups is source.train.groups

    save(tmp_path / "test.npz", 3)
    with pytest.raises(ValueError) as error:
        vectors(tmp_path, (3,), "speaker")
    one_line(error, "test.npz has no array 'speaker', but inputs, labels", "prepare.group")


REFUSED: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (
        {"inputs": np.array([np.zeros(i + 1) for i in range(9)], dtype=object)},
        ("array inputs holds Python objects",),
    ),
    ({"labels": np.array(list("abcabcabc"), object)}, ("array labels holds Python objects",)),
    ({"labels": np.eye(9)[:, :3]}, ("6 rows", "row 3", "one-hot labels")),
    ({"labels": np.eye(9) / 2}, ("9 rows", "one-hot labels")),
    ({"labels": np.eye(9).astype(str)}, ("several for each row",)),
    (
        {"labels": np.array(list("abcabcabd")), "classes": np.array(["a", "b", "c"])},
        ("row 8 has label 'd'", "(a, b, c)"),
    ),
    ({"labels": np.array([b"\xff"] * 9)}, ("array labels holds text that is not valid",)),
    ({"inputs": np.full((9, 3), 1e39)}, ("row 0", "finite numbers of 32 bits")),
    ({"inputs": np.zeros((9, 4))}, ("(9, 4)", "(n, 3)")),
    ({"inputs": None, "data": np.zeros(1)}, ("no array 'inputs', but labels, data",)),
    ({"x": np.zeros((9, 3))}, ("inputs and x", "leave one out")),
]


@pytest.mark.parametrize(("arrays", "words"), REFUSED, ids=[words[0][:30] for _, words in REFUSED])
def test_refused(tmp_path: Path, arrays: dict[str, Any], words: tuple[str, ...]) -> None:
    file = save(tmp_path / "train.npz", **arrays)
    with pytest.raises(ValueError) as error:
        vectors(tmp_path, (3,))
    one_line(error, file, *words)


def test_unix_seconds_keep_their_differences(tmp_path: Path) -> None:
    """As float32 a whole minute is one value; the second feature is constant."""
    seconds = 1_700_000_000.0 + np.arange(60.0)
    inputs = np.stack([seconds, np.full(60, 1.7e9 + 0.1), np.arange(60.0)], axis=1)
    assert len(set(inputs[:, 0].astype(np.float32))) == 1
    save(tmp_path / "train.npz", 60, inputs=inputs)
    save(tmp_path / "test.npz", 5)

    source = vectors(tmp_path, (3,))
    assert source.test is not None and source.test.images.dtype == np.float64
    mean, deviation = statistics(source.train.images)
    made = standardised(source.train, mean, deviation).images
    wanted = (np.arange(60) - 29.5) / np.arange(60).std()

    assert made.dtype == np.float32
    np.testing.assert_allclose(made[:, 0], wanted, rtol=1e-6)
    np.testing.assert_array_equal(made[:, 1], 0)
    np.testing.assert_allclose(made[:, 2], wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.full((9, 3), 2**24), np.float32),
        (np.full((9, 3), -(2**24) - 1), np.float64),
        (np.full((9, 3), 2**63, np.uint64), np.float64),
        (np.full((9, 3), 0.5), np.float32),
        (np.full((9, 3), 0.1), np.float64),
        (np.full((9, 3), 0.1, np.float16), np.float32),
        (np.full((9, 3), 0.1, ">f4"), np.float32),
    ],
)
def test_float64_only_where_float32_would_lose_something(
    tmp_path: Path, values: np.ndarray, kind: type
) -> None:
    save(tmp_path / "train.npz", inputs=values)
    held = vectors(tmp_path, (3,)).train.images
    assert held.dtype == kind
    np.testing.assert_array_equal(held, values.astype(np.float64))


def test_golden_statistics_of_float32() -> None:
    """What float32 vectors became before float64 was read; never to be renewed."""
    rng = np.random.default_rng(5)
    given = rng.integers(-1000, 1000, (9000, 3, 2)).astype(np.float32) / np.float32(7)
    given[:, 0, 0] = 0.1
    given[:, 1, 1] = 1e6 + rng.integers(0, 2, 9000) * 0.0625
    mean, deviation = statistics(given)
    made = standardised(Labelled(given, np.zeros(9000, np.int64)), mean, deviation).images
    found = hashlib.sha256(mean.tobytes() + deviation.tobytes() + made.tobytes()).hexdigest()
    assert found == "87c9e4b388312d19f0806b547b49dc8cc4e6c32ba1703e3773980b53fcc2c152"
