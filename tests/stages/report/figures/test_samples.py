"""Samples of augmented views."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from stages.report.figures.samples import augmentation
from stages.report.figures.theme import save
from tests.helpers.figure_data import sha256


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


def test_augmentation_samples(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    views = rng.integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8)
    figure = augmentation(originals, views, "toy")
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert len(shown) == 8
    heads = [axes.get_title() for axes in figure.axes[:4]]
    assert heads == ["original", "epoch 1", "epoch 2", "epoch 3"], "counted from 1, as on the page"
    np.testing.assert_array_equal(shown[4], originals[1])
    np.testing.assert_array_equal(shown[7], views[1, 2])
    one = sha256(figure, tmp_path / "a.png")
    assert sha256(augmentation(originals, views, "toy"), tmp_path / "b.png") == one
    save(augmentation(originals[:1], views[:1, :1], "toy"), tmp_path / "c.png")
