"""What nets see: the example of the class, arrays of NumPy, the files that name it, refusals."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest

from stages.settings import inputs
from stages.settings.inputs import Inputs


def test_the_example_of_the_class_runs() -> None:
    done = doctest.testmod(inputs)
    assert done.attempted == 4 and done.failed == 0


@pytest.mark.parametrize(
    ("seen", "array", "words"),
    [
        (Inputs.images(8), np.zeros((8, 8, 3), np.uint8), "8 px"),
        (Inputs.vectors([7]), np.zeros((1, 1, 7), np.float32), "vectors of shape [7]"),
        (Inputs.vectors([6, 5]), np.zeros((6, 5, 1), np.float32), "vectors of shape [6, 5]"),
        (Inputs.vectors((4, 6, 3)), np.zeros((4, 6, 3), np.float32), "vectors of shape [4, 6, 3]"),
    ],
    ids=str,
)
def test_maps_and_bytes_are_those_of_arrays(seen: Inputs, array: np.ndarray, words: str) -> None:
    assert (seen.map, seen.bytes, seen.words) == (array.shape, array.nbytes, words)
    assert seen.is_images == (array.dtype == np.uint8) == (not seen.is_vectors)
    assert seen.has_frames == (seen.is_vectors and array.shape[0] > 1)
    assert Inputs.from_json(seen.to_json()) == seen


@pytest.mark.parametrize(
    ("record", "seen"),
    [
        ({"size_px": 32}, Inputs.images(32)),
        ({"size_px": 32, "shape": None}, Inputs.images(32)),
        ({"shape": [6, 5], "classes": 3}, Inputs.vectors([6, 5])),
    ],
    ids=str,
)
def test_other_spellings_of_files_are_read(record: dict[str, Any], seen: Inputs) -> None:
    assert Inputs.from_json(record) == seen


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "images of size_px or vectors of a shape, got neither"),
        ({"size_px": 8, "shape": [3]}, "images of size_px or vectors of a shape, got both"),
        ({"size_px": 0}, "at least 1 px, got 0: change prepare.size_px"),
        ({"size_px": True}, "at least 1 px, got True"),
        ({"size_px": "32"}, "at least 1 px, got 32"),
        ({"shape": []}, r"one to three axes .*, got \[\]: change prepare.shape"),
        ({"shape": [1, 2, 3, 4]}, r"one to three axes .*, got \[1, 2, 3, 4\]"),
        ({"shape": [3, 0]}, r"of at least 1 .*, got \[3, 0\]"),
        ({"shape": [1.5]}, r"got \[1.5\]"),
        ({"shape": "ab"}, "got ab"),
    ],
    ids=str,
)
def test_nonsense_is_refused_in_one_line(record: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Inputs.from_json(record)
    assert "\n" not in str(caught.value)
