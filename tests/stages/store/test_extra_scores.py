"""What nets say of further test sets, on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.store.extra_scores import ExtraScores, read_extra_scores, write_extra_scores
from stages.store.tensors import write_tensors


def example(classes: int = 10, severities: int = 5) -> ExtraScores:
    rng = np.random.default_rng(0)
    labels = np.tile(rng.integers(0, classes, 4), max(1, severities))
    named = rng.integers(0, classes, (3, 2, len(labels)))
    named[0, 0, 0] = classes - 1
    return ExtraScores(("a", "b c", "d"), ("fog", "frost"), severities, labels, named)


@pytest.mark.parametrize("classes", [10, 256, 257, 2**16])
def test_what_is_written_is_read(tmp_path: Path, classes: int) -> None:
    scores = example(classes)
    write_extra_scores(tmp_path / "x.safetensors", scores)
    again = read_extra_scores(tmp_path / "x.safetensors")
    assert (again.nets, again.corruptions, again.severities) == (
        scores.nets,
        scores.corruptions,
        5,
    )
    assert (again.labels == scores.labels).all() and (again.named == scores.named).all()
    assert again.labels.dtype == again.named.dtype == np.int64


def test_hits_by_part_severity_and_image() -> None:
    scores = example()
    hits = scores.hits("b c")
    assert scores.images == 4 and hits.shape == (2, 5, 4)
    assert hits[1, 3, 2] == (scores.named[1, 1, 3 * 4 + 2] == scores.labels[2])

    plain = example(severities=0)
    assert plain.images == 4 and plain.hits("d").shape == (2, 1, 4)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"nets": ["a"], "corruptions": ["fog"], "severities": "5"},
        {"nets": ["a", "b"], "corruptions": ["fog"], "severities": 5},
        {"nets": ["a"], "corruptions": ["fog"], "severities": 3},
        {"nets": 3, "corruptions": ["fog"], "severities": 5},
    ],
)
def test_something_else_is_refused(tmp_path: Path, header: dict[str, object]) -> None:
    path = tmp_path / "x.safetensors"
    arrays = {"labels": np.zeros(10, np.uint8), "named": np.zeros((1, 1, 10), np.uint8)}
    write_tensors(path, arrays, header)
    with pytest.raises(ValueError, match="holds no scores of nets") as error:
        read_extra_scores(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
