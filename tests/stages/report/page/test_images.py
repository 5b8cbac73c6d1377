"""Pictures of the page, and the test images that nets mistake."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from stages.report.page.images import LARGEST, beliefs, gallery, mistaken, picture, samples
from stages.report.page.text import (
    SPACE,
)


def pixels(uri: str) -> np.ndarray:
    """What a browser would show."""
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_images_come_back_from_their_addresses() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), dtype=np.uint8)
    views = np.random.default_rng(1).integers(0, 256, (2, 4, 9, 9, 3), dtype=np.uint8)
    made = samples(images, views)
    np.testing.assert_array_equal(pixels(made[1]["original"]), images[1])
    np.testing.assert_array_equal(pixels(made[0]["views"][3]), views[0, 3])
    large = np.full((300, 300, 3), 77, np.uint8)
    small = picture(large)
    assert small.shape == (LARGEST, LARGEST, 3) and (small == 77).all()


SIDES = [((5,), (1, 5)), ((4, 6), (4, 6)), ((4, 6, 3), (4, 6)), ((1000,), (1, 512))]


@pytest.mark.parametrize(("shape", "sides"), SIDES)
def test_vectors_are_heat_maps(shape: tuple[int, ...], sides: tuple[int, int]) -> None:
    vector = np.zeros(shape, np.float32)
    assert picture(vector, 2.0).shape == (*sides, 3)
    low, middle, high = (picture(vector + add, 2.0)[0, 0].astype(int) for add in (-2, 0, 2))
    assert low[2] > low[0] and high[0] > high[2] and (middle > 240).all(), (
        "blue below, white at, red above the mean"
    )
    np.testing.assert_array_equal(
        picture(vector + 9, 2.0)[0, 0], high, "beyond the end of the colours"
    )


def test_mistakes_are_the_surest_first() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1])
    student = np.array([[9.0, 0], [0, 1], [0, 3], [0, 2], [5, 0], [4, 0]])
    ensemble = np.array([[9.0, 0], [2, 0], [2, 0], [0, 1], [1, 0], [1, 0]])
    assert mistaken(ensemble, student, labels, 4) == ([2, 1], [4, 5])
    assert mistaken(ensemble, student, labels, 24) == ([2, 1], [4, 5, 3])
    assert mistaken(ensemble, student, labels, 2) == ([2], [4])
    assert mistaken(ensemble, ensemble, labels, 2) == ([], [3, 4]), "ties by number"


def test_beliefs_are_softmax_and_the_true_class_is_first() -> None:
    nets = [np.log([[0.5, 0.3, 0.195, 0.005]]), np.log([[0.1, 0.001, 0.099, 0.8]])]
    (card,) = gallery(
        [0], np.zeros((1, 4, 4, 3), np.uint8), np.array([1]), nets, ["a", "b", "c", "d"]
    )
    assert [line["name"] for line in card["lines"]] == ["b", "d", "a", "c"]
    assert card["true"] == "b" and card["taken"] == "d"
    assert [line["widths"] for line in card["lines"]] == [
        [30, 0.1],
        [0.5, 80],
        [50, 10],
        [19.5, 9.9],
    ]
    assert card["lines"][0]["words"] == [f"30{SPACE}%", f"< 1{SPACE}%"]
    hardly = np.array([0.99, 0.006, 0.004])
    assert beliefs(hardly, hardly, 0) == [0]
    logits = np.random.default_rng(0).normal(size=(1, 4))
    (card,) = gallery(
        [0], np.zeros((1, 4), np.float32), np.array([0]), [logits, logits], list("abcd")
    )
    assert card["lines"][0]["widths"][0] == pytest.approx(100 * softmax(logits[0])[0], abs=0.05)
