"""prepare: parts of the data from which nothing can be learnt or chosen are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stages.images.sources.labelled import Labelled
from stages.prepare import check_classes, split
from stages.settings.prepare import Prepare, prepare
from tools.pocket import pocket_params

NAMES = ["cat", "dog", "eel"]


def data(labels: list[int]) -> Labelled:
    """A picture of its own for each label."""
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4, 3), dtype=np.uint8)
    return Labelled(images, np.array(labels, np.int64))


def settings(train: int, validation: int, test: int, order: str = "order") -> Prepare:
    changed = {"train": train, "validation": validation, "test": test, "split": order}
    return replace(prepare(pocket_params()), source="parquet", **changed)


def checked(given: Prepare, pool: list[int], test: list[int]) -> None:
    check_classes(given, split(given, data(pool), data(test)), NAMES)


SORTED = [0] * 40 + [1] * 40 + [2] * 40


def test_a_sorted_source_in_its_own_order_is_refused_with_the_counts() -> None:
    with pytest.raises(ValueError) as raised:
        checked(settings(60, 40, 20), SORTED, SORTED)
    assert str(raised.value) == (
        "most images for validation are of classes without a training image (eel); images of each "
        "class: train [40, 20, 0]; validation [0, 0, 40]; test [20, 0, 0]: the files may be sorted by "
        "class: set prepare.split to content"
    )


def test_by_content_it_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    checked(settings(60, 40, 20, "content"), SORTED, SORTED)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("pool", "test", "part"),
    [([0, 1, 2, 1, 1], [0, 1], "validation"), ([0, 1, 2, 1, 2], [1, 1], "testing")],
)
def test_a_part_of_one_class_is_refused(pool: list[int], test: list[int], part: str) -> None:
    words = rf"all images for {part} are of the class dog; .*: the files may be sorted"
    with pytest.raises(ValueError, match=words):
        checked(settings(3, 2, 2), pool, test)


def test_a_class_that_a_part_lacks_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    checked(settings(3, 2, 2), [0, 1, 2, 0, 1], [1, 2])
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "prepare: note: none for validation of eel",
        "prepare: note: none for testing of cat",
    ]


def test_few_images_of_many_classes_may_lack_some(capsys: pytest.CaptureFixture[str]) -> None:
    """A first try; what it lacks is said."""
    checked(settings(3, 4, 4), [0, 1, 0, 0, 2, 1, 2], [1, 2, 2, 2])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "prepare: note: none for training of eel" and len(said) == 2


def test_a_class_that_nobody_has_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    checked(settings(3, 2, 2), [0, 1, 1, 0, 1], [1, 0])
    assert capsys.readouterr().out.count("of eel") == 3


def test_a_single_test_image_is_no_choice_of_a_class() -> None:
    checked(settings(3, 2, 1), [0, 1, 2, 0, 1], [1])
