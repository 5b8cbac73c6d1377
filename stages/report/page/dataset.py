"""The section of the report page on the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stages.report.page import images
from stages.report.page.data import PageData, PagePart
from stages.report.page.text import counted, percent, whole

SHOWN_CLASSES = 20
"""Classes of which pictures are shown."""
SHOWN_EACH = 6
"""Pictures of each of them."""
LISTED_CLASSES = 200
"""Classes whose numbers are listed."""
PARTS = {"train": "training", "validation": "validation", "test": "test"}


def dataset(data: PageData) -> PagePart:
    """Images of each part and class, what is unusual, and a few examples of each class."""
    look = data.look
    kind = "vector" if data.examples.vectors else "image"
    classes = look["classes"]
    listed = range(min(LISTED_CLASSES, len(classes)))

    return PagePart(
        {
            "data_parts": _parts(look),
            "data_classes": [
                [classes[i], *(whole(part["of_class"][i]) for part in look["parts"].values())]
                for i in listed
            ],
            "data_unlisted": len(classes) - len(listed),
            "data_notes": look["notes"],
            "data_sizes": [f"{size} px ({whole(n)})" for size, n in look["sizes"].items()],
            "data_other_sizes": look["other_sizes"],
            "data_examples": _examples(data),
            "data_kind": kind,
            "data_conflicts": counted(look["conflicts"], kind),
        }
    )


def _parts(look: Mapping[str, Any]) -> list[list[str]]:
    """The lines of the table of parts; the last one is of images without labels, if there are some."""
    lines = []
    for name, part in look["parts"].items():
        grey = look["grey"][name]
        lines.append(
            [
                PARTS[name],
                whole(part["images"]),
                part["majority"],
                percent(part["majority_share"], 1),
                whole(len(part["missing"])),
                *_same(name, look["same_images"]),
                "" if grey is None else percent(grey, 1),
            ]
        )

    if look["unlabelled"]:
        same = _same("unlabelled", look["same_images"])
        lines.append(["without labels", whole(look["unlabelled"]), "", "", "", *same, ""])
    return lines


def _same(name: str, counts: Mapping[str, int]) -> tuple[str, str]:
    """How many images are there before in a part, and how many in the parts before it."""
    others = [
        f"{whole(counts[f'{other} and {name}'])} in {words}"
        for other, words in PARTS.items()
        if other != name and f"{other} and {name}" in counts
    ]
    return whole(counts[f"{name} and {name}"]), ", ".join(others)


def _examples(data: PageData) -> list[dict[str, Any]]:
    """Of each class its `name` and `pictures` as data URIs."""
    shown = data.examples
    most = images.range_of(np.concatenate(list(shown.of_classes.values())))
    return [
        {
            "name": shown.classes[label],
            "pictures": [images.data_uri(images.picture(each, most)) for each in examples],
        }
        for label, examples in shown.of_classes.items()
    ]


def first_of_classes(inputs: np.ndarray, labels: np.ndarray, count: int) -> dict[int, np.ndarray]:
    """The first examples of each of the first classes, where there are some.

    Args:
        inputs: training images uint8 (n, s, s, 3), or vectors float32 (n, ...).
        labels: int64 (n,).
        count: of the classes.
    """
    found = {}
    for label in range(min(SHOWN_CLASSES, count)):
        places = np.flatnonzero(labels == label)[:SHOWN_EACH]
        if len(places):
            found[label] = np.array(inputs[places])
    return found
