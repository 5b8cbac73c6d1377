"""Confusion matrices of the page, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from stages.report.page import confusion
from stages.report.page.text import (
    percent,
)
from tests.helpers.page_parts import validated
from tests.helpers.page_run import NASTY


def confused(classes: list[str], labels: np.ndarray, guesses: np.ndarray) -> pd.DataFrame:
    counts = confusion_matrix(labels, guesses, labels=range(len(classes)))
    lines = [
        ("net", classes[i], classes[j], counts[i, j])
        for i, j in np.ndindex(counts.shape)
        if counts[i, j]
    ]
    return pd.DataFrame(lines, columns=["net", "true", "predicted", "count"])


def test_confusions_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    classes = NASTY[:4]
    labels = rng.integers(0, 3, 60)
    guesses = rng.integers(0, 4, 60)
    lines = confusion.of_net(confused(classes, labels, guesses), "net", classes)
    assert confusion.accuracy(lines) == pytest.approx((labels == guesses).mean())
    chart = confusion.matrix(lines, classes)
    validated(chart)
    z = np.array(chart["data"][0]["z"], float)
    np.testing.assert_allclose(
        z[:3] ** 2, confusion_matrix(labels, guesses, normalize="true", labels=range(4))[:3]
    )
    assert np.isnan(z[3]).all(), "no image of the fourth class"
    counts = confusion_matrix(labels, guesses, labels=range(4))
    wrong = counts - np.diag(np.diag(counts))
    true, taken, count, share = confusion.frequent(lines, classes)[0]
    assert (
        count == str(wrong.max())
        and wrong[classes.index(true), classes.index(taken)] == wrong.max()
    )
    assert share == percent(wrong.max() / counts[classes.index(true)].sum())


def test_too_many_classes_have_no_matrix() -> None:
    names = [str(i) for i in range(60_000)]
    lines = pd.DataFrame({"true": range(60_000), "predicted": range(60_000), "count": 1})
    assert (
        confusion.matrix(lines, names) is None
        and confusion.matrix(lines[:101], names[:101]) is None
    )
    assert confusion.matrix(lines[:100], names[:100])["layout"]["xaxis"]["showticklabels"] is False
    assert confusion.frequent(lines, names) == [] and confusion.accuracy(lines) == 1
    with pytest.raises(
        ValueError, match="confusion.csv has the class 'z', which data/prepared has not"
    ):
        confusion.of_net(
            pd.DataFrame({"net": ["n"], "true": ["z"], "predicted": ["0"], "count": [1]}),
            "n",
            ["0"],
        )


def test_the_matrix_of_ten_digits_fits_a_phone() -> None:
    digits = [str(i) for i in range(10)]
    chart = confusion.matrix(
        confusion.of_net(confused(digits, np.arange(10), np.arange(10)), "net", digits), digits
    )
    assert chart is not None and chart["min_width"] <= 360 - 2 * 16, (
        "its box would hide the labels of its colours"
    )
