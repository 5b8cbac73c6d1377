"""A source is divided into parts: its own, and those that are cut from its training part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stages.images.sources.labelled import Labelled, Source
from stages.images.sources.split import by_content, split
from stages.settings.prepare import Prepare, prepare
from tools.pocket import pocket_params


def settings(**changes: Any) -> Prepare:
    """Those of a folder of pictures."""
    given = {"source": "image-folder", "train": None, "validation": 4, "test": 3, "split": "order"}
    return replace(prepare(pocket_params()), **{**given, **changes})


def data(count: int, groups: list[str] | None = None, first: int = 0) -> Labelled:
    """Pictures whose label is their place, from `first` on."""
    places = np.arange(first, first + count)
    images = np.broadcast_to(places[:, None, None, None], (count, 4, 4, 3)).astype(np.uint8)
    return Labelled(images, places, None if groups is None else np.array(groups))


def labels(given: Prepare, source: Source) -> dict[str, list[int]]:
    """Part -> the labels in it."""
    return {name: part.labels.tolist() for name, part in split(given, source).parts.items()}


def test_parts_that_are_missing_are_cut_from_the_end() -> None:
    source = Source(data(20), None, ("a",))
    assert labels(settings(), source) == {
        "train": [*range(13)],
        "validation": [16, 17, 18, 19],
        "test": [13, 14, 15],
    }
    assert labels(settings(train=5), source)["train"] == [*range(5)]
    assert split(settings(), source).notes == [
        "no images for testing in data/raw: 3 are cut from the training images"
    ]


def test_own_parts_are_taken_from_their_front() -> None:
    source = Source(data(10), data(6, first=100), ("a",), data(5, first=200))
    made = split(settings(validation=2, test=None), source)
    parts, notes = made.parts, made.notes
    assert parts["train"].labels.tolist() == [*range(10)] and notes == []
    assert parts["validation"].labels.tolist() == [200, 201]
    assert parts["test"].labels.tolist() == [*range(100, 106)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train": 14}, "prepare.train 14 .* prepare.test 3 is more than the 20 training images"),
        ({"validation": 20}, "prepare.validation 20"),
        ({"validation": None}, "prepare.validation is null, and image-folder has no part"),
        ({"test": None}, "prepare.test is null, and image-folder has no part"),
    ],
)
def test_what_cannot_be_cut_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        split(settings(**changes), Source(data(20), None, ("a",)))


def test_more_than_an_own_part_has_is_refused() -> None:
    source = Source(data(10), data(6), ("a",), data(5))
    with pytest.raises(ValueError, match="prepare.validation is 6, image-folder has 5 validation"):
        split(settings(validation=6), source)


GROUPS = [f"patient {i // 5}" for i in range(100)]


@pytest.mark.parametrize("order", ["order", "content"])
def test_groups_stay_whole(order: str) -> None:
    source = Source(data(100, GROUPS), None, ("a",))
    given = settings(validation=12, test=9, split=order)
    made = split(given, source)
    parts, notes = made.parts, made.notes
    groups = {name: set(np.asarray(part.groups)) for name, part in parts.items()}
    assert len(parts["validation"]) == 12 and len(parts["test"]) == 9
    assert len(groups["validation"]) == 3 and len(groups["test"]) == 2
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not groups[one] & groups[other]
    assert len(parts["train"]) == 100 - 15 - 10
    assert "4 images are left out, so that no group is in two parts" in notes


def test_groups_do_not_depend_on_the_order_of_the_source() -> None:
    shuffled = np.random.default_rng(0).permutation(100)
    given = settings(validation=10, test=5)
    one = labels(given, Source(data(100, GROUPS), None, ("a",)))
    other = labels(given, Source(data(100, GROUPS)[shuffled], None, ("a",)))
    assert {name: sorted(found) for name, found in one.items()} == {
        name: sorted(found) for name, found in other.items()
    }


def test_groups_that_leave_too_little_are_refused() -> None:
    """Two patients, of whom one is needed for validation and one for testing."""
    groups = ["a"] * 10 + ["b"] * 10
    with pytest.raises(ValueError, match=r"prepare.train is None, and 0 images .*\(0 of 2; 4 for"):
        split(settings(), Source(data(20, groups), None, ("x",)))


def test_a_group_in_two_parts_of_the_source_is_refused() -> None:
    source = Source(data(4, ["a", "a", "b", "c"]), data(2, ["b", "d"]), ("x",))
    said = (
        "1 groups are in the parts for training and testing, such as b: divide the files otherwise"
    )
    with pytest.raises(ValueError) as error:
        split(settings(validation=1, test=1, group="patient"), source)
    assert str(error.value) == f"{said}, or set prepare.group to null"

    # Speakers of speech, whose key is null.
    with pytest.raises(ValueError) as error:
        split(settings(validation=1, test=1, group=None), source)
    assert str(error.value) == said


def test_content_orders_every_part_with_its_groups() -> None:
    shuffled = np.random.default_rng(1).permutation(100)
    one = by_content(data(100, GROUPS))
    other = by_content(data(100, GROUPS)[shuffled])
    for name in ("images", "labels", "groups"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.labels.tolist() != sorted(one.labels.tolist())


def test_a_number_takes_training_images_without_their_labels() -> None:
    """After those for training, so that more of them change no other part."""
    source = Source(data(20), None, ("a",))
    made = split(settings(train=5, unlabelled=6), source)
    assert made.parts["train"].labels.tolist() == [*range(5)] and made.unlabelled is not None
    np.testing.assert_array_equal(made.unlabelled, source.train.images[5:11])
    assert made.parts["test"].labels.tolist() == [13, 14, 15]

    rest = split(settings(unlabelled=6), source)
    assert len(rest.parts["train"]) == 7 and split(settings(), source).unlabelled is None
    with pytest.raises(ValueError, match=r"prepare.train 8 \+ prepare.unlabelled 6 .* 20 training"):
        split(settings(train=8, unlabelled=6), source)


def test_images_without_labels_are_of_groups_for_training() -> None:
    source = Source(data(100, GROUPS), None, ("a",))
    made = split(settings(validation=12, test=9, train=50, unlabelled=20), source)
    assert made.unlabelled is not None and len(made.unlabelled) == 20
    shown = set(made.unlabelled[:, 0, 0, 0].tolist())
    for part in made.parts.values():
        assert not shown & set(part.labels.tolist())
    held = {*np.asarray(made.parts["validation"].groups), *np.asarray(made.parts["test"].groups)}
    assert not held & {GROUPS[place] for place in shown}
