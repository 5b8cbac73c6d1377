"""The section of the page on the data."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stages.images.sources.labelled import Labelled, Source
from stages.images.sources.look import look, notes_on
from stages.report.page.dataset import SHOWN_EACH, dataset, first_of_classes
from stages.report.page.read import read_look
from stages.store.atomic import write_json

CLASSES = ["cat", "dog", "eel"]


def page(vectors: bool = False) -> Any:
    """What the page reads, with one test image that is also for training."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    values = rng.normal(size=(30, 4)).astype(np.float32) if vectors else images
    labels = np.arange(30) % 2
    parts = {
        "train": Labelled(values[:20], labels[:20]),
        "validation": Labelled(values[20:24], labels[20:24]),
        "test": Labelled(values[[0, *range(25, 30)]], labels[[0, *range(25, 30)]]),
    }
    sizes = {} if vectors else {"640 x 480": 29, "8 x 8": 1}
    found = look(parts, CLASSES, Source(parts["train"], None, ("cat",), sizes=sizes))
    examples = SimpleNamespace(
        vectors=vectors,
        classes=CLASSES,
        of_classes=first_of_classes(values[:20], labels[:20], 3),
    )
    return SimpleNamespace(look={**found, "notes": notes_on(found)}, examples=examples)


def test_parts_and_classes_are_listed_with_what_is_there_twice() -> None:
    shown = dataset(page()).values
    assert shown["data_parts"] == [
        ["training", "20", "cat", "50.0\xa0%", "1", "0", "", "0.0\xa0%"],
        ["validation", "4", "cat", "50.0\xa0%", "1", "0", "0 in training", "0.0\xa0%"],
        ["test", "6", "cat", "50.0\xa0%", "1", "0", "1 in training, 0 in validation", "0.0\xa0%"],
    ]
    assert shown["data_classes"][0] == ["cat", "10", "2", "3"]
    assert shown["data_classes"][2] == ["eel", "0", "0", "0"] and shown["data_unlisted"] == 0
    assert shown["data_sizes"] == ["640 x 480 px (29)", "8 x 8 px (1)"]
    assert "1 images for testing are also for training, byte for byte" in shown["data_notes"]


def test_images_without_labels_have_a_line_of_their_own() -> None:
    given = page()
    pairs = {"unlabelled and unlabelled": 0, "train and unlabelled": 0}
    pairs |= {"validation and unlabelled": 0, "test and unlabelled": 4}
    given.look |= {"unlabelled": 2000, "same_images": {**given.look["same_images"], **pairs}}
    assert dataset(given).values["data_parts"][3] == [
        "without labels",
        "2,000",
        *[""] * 3,
        "0",
        "0 in training, 0 in validation, 4 in test",
        "",
    ]


def test_examples_are_of_classes_that_have_some() -> None:
    shown = dataset(page()).values["data_examples"]
    assert [(each["name"], len(each["pictures"])) for each in shown] == [
        ("cat", SHOWN_EACH),
        ("dog", SHOWN_EACH),
    ]
    assert all(uri.startswith("data:image/png;base64,") for uri in shown[0]["pictures"])


def test_vectors_have_no_grey_and_are_drawn_as_heat_maps() -> None:
    shown = dataset(page(vectors=True)).values
    assert shown["data_kind"] == "vector" and [line[-1] for line in shown["data_parts"]] == [""] * 3
    assert shown["data_sizes"] == [] and len(shown["data_examples"]) == 2


@pytest.mark.parametrize("content", [[], {"classes": []}, {**page().look, "conflicts": "none"}])
def test_another_file_is_refused(tmp_path: Path, content: Any) -> None:
    write_json(tmp_path / "data.json", content)
    with pytest.raises(ValueError, match="data.json is not what prepare writes"):
        read_look(tmp_path)
    (tmp_path / "data.json").unlink()
    with pytest.raises(FileNotFoundError, match="data.json not found"):
        read_look(tmp_path)
