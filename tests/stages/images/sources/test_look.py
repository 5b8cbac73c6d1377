"""A look at the data counts what is there, and says what is unusual."""

from __future__ import annotations

import numpy as np

from stages.images.sources.labelled import Labelled, Source
from stages.images.sources.look import look, notes_on


def pictures(labels: list[int], seed: int, grey: bool = False) -> Labelled:
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 4, 4, 3), dtype=np.uint8)
    if grey:
        images = images[..., :1].repeat(3, axis=3)
    return Labelled(images, np.array(labels, np.int64))


def joined(*parts: Labelled) -> Labelled:
    images = np.concatenate([part.images for part in parts])
    return Labelled(images, np.concatenate([part.labels for part in parts]))


def test_clean_data_have_counts_and_no_notes() -> None:
    parts = {
        "train": pictures([0, 1, 1], 0),
        "validation": pictures([0, 1], 1),
        "test": pictures([1, 0], 2),
    }
    source = Source(parts["train"], parts["test"], ("a", "b"), sizes={"4 x 4": 7})
    found = look(parts, ("a", "b"), source)
    assert found["parts"]["train"] == {
        "images": 3,
        "of_class": [1, 2],
        "majority": "b",
        "majority_share": 0.666667,
        "missing": [],
    }
    assert set(found["same_images"].values()) == {0} and found["conflicts"] == 0
    assert found["grey"] == {"train": 0, "validation": 0, "test": 0}
    assert found["sizes"] == {"4 x 4": 7} and notes_on(found) == []


def test_the_same_picture_in_two_parts_and_with_two_labels_is_counted() -> None:
    train = pictures([0, 1, 1, 0], 0)
    twice = Labelled(train.images[:2], np.array([0, 0]))
    parts = {
        "train": joined(train, train[3:]),
        "validation": pictures([0, 1], 1),
        "test": joined(twice, pictures([1], 3)),
    }
    source = Source(parts["train"], parts["test"], ("a", "b", "c"))
    found = look(parts, ("a", "b", "c"), source)
    assert found["same_images"] == {
        "train and train": 1,
        "validation and validation": 0,
        "test and test": 0,
        "train and validation": 0,
        "train and test": 2,
        "validation and test": 0,
    }
    assert found["conflicts"] == 2  # the second picture, in each of the two parts
    notes = notes_on(found)
    assert "2 images for testing are also for training, byte for byte" in notes
    assert "1 images for training are there before in the same part, byte for byte" in notes
    assert "2 images are there with another label too" in notes
    assert [note for note in notes if note.startswith("none for")] == [
        "none for training of c",
        "none for validation of c",
        "none for testing of c",
    ]


def test_grey_pictures_are_told_what_jitter_does_to_them() -> None:
    parts = {
        "train": pictures([0, 1], 0, grey=True),
        "validation": pictures([0, 1], 1),
        "test": joined(pictures([0], 2, grey=True), pictures([1], 3)),
    }
    found = look(parts, ("a", "b"), Source(parts["train"], None, ("a", "b")))
    assert found["grey"] == {"train": 1, "validation": 0, "test": 0.5}
    assert any("makes them red" in note and "D_s" in note for note in notes_on(found))


def test_pictures_with_some_grey_rows_are_not_grey() -> None:
    grey = pictures([0] * 16, 0, grey=True)
    mixed = grey.images.copy()
    for place in range(16):
        mixed[place, place // 4, place % 4, place % 3] ^= 1  # one value of one pixel

    parts = {
        "train": grey,
        "validation": Labelled(mixed, grey.labels),
        "test": Labelled(np.concatenate([mixed[:15], grey.images[15:]]), grey.labels),
    }
    found = look(parts, ("a", "b"), Source(grey, None, ("a", "b")))
    assert found["grey"] == {"train": 1, "validation": 0, "test": 0.0625}
    assert found["same_images"]["train and validation"] == 0
    assert found["same_images"]["train and test"] == 1


def test_vectors_have_no_colour_and_no_sizes() -> None:
    vectors = Labelled(np.zeros((3, 5), np.float32), np.array([0, 1, 1]))
    parts = {"train": vectors, "validation": vectors[:1], "test": vectors[1:]}
    found = look(parts, ("a", "b"), Source(vectors, vectors, ("a", "b")))
    assert found["grey"] == {"train": None, "validation": None, "test": None}
    assert found["same_images"]["train and test"] == 2 and found["sizes"] == {}
    assert found["conflicts"] == 6
