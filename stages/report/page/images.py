"""Pictures of the report page as PNG data URIs, and the test images that nets take for something
else.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from PIL import Image
from scipy.special import softmax

from stages.report.page.text import percent, shortened

LARGEST = 128
"""Pixels of the longer side of an embedded image; larger ones are reduced."""
MOST_FEATURES = 512
"""Features of a vector in its heat map; of more, neighbours are averaged."""
LIKELY, VISIBLE = 3, 0.01
"""Classes of each net that a picture's table lists besides the true one, and the belief that they
need for it.
"""


def data_uri(pixels: np.ndarray) -> str:
    """A PNG of uint8 (height, width, 3) as an address that holds the picture itself."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def picture(example: np.ndarray, most: float = 1.0) -> np.ndarray:
    """Pixels of an image uint8 (s, s, 3), or of a vector float32 (...) as a heat map from -most
    (blue) to most (red).

    Vectors of three axes are averaged over the last one, those of one axis are one line.
    """
    if example.dtype == np.float32:
        heat = example.mean(axis=-1) if example.ndim == 3 else np.atleast_2d(example)
        example = matplotlib.colormaps["RdBu_r"](0.5 + heat / (2 * most or 1.0), bytes=True)[
            ..., :3
        ]
        sides = example.shape[0], min(example.shape[1], MOST_FEATURES)
    else:
        sides = (min(example.shape[0], LARGEST),) * 2
    if sides == example.shape[:2]:
        return np.ascontiguousarray(example)
    return np.asarray(
        Image.fromarray(np.ascontiguousarray(example)).resize(sides[::-1], Image.Resampling.BOX)
    )


def range_of(examples: np.ndarray) -> float:
    """Below which 99 of 100 absolute values of vectors lie, for `picture`; 1 for images."""
    return (
        float(np.quantile(np.abs(examples), 0.99)) or 1.0 if examples.dtype == np.float32 else 1.0
    )


def samples(originals: np.ndarray, views: np.ndarray) -> list[dict[str, Any]]:
    """Of each training example its original and its views: `number`, `original` and `views` as data
    URIs.

    Vectors have no other views than themselves: theirs are empty.

    Args:
        originals: uint8 (n, s, s, 3), or vectors float32 (n, ...).
        views: uint8 (n, epochs, s, s, 3), or vectors float32 (n, epochs, ...).
    """
    vectors, most = originals.dtype == np.float32, range_of(originals)
    return [
        {
            "number": i + 1,
            "original": data_uri(picture(original, most)),
            "views": [] if vectors else [data_uri(picture(view)) for view in views[i]],
        }
        for i, original in enumerate(originals)
    ]


def mistaken(
    ensemble: np.ndarray, student: np.ndarray, labels: np.ndarray, count: int
) -> tuple[list[int], list[int]]:
    """Test images that the student gets wrong: those that the ensemble has right, and those that
    both have wrong.

    Of each kind those of which the student is surest, ties by number; half of `count` of each, or
    more of one kind where there are fewer of the other.

    Args:
        ensemble, student: logits (n, classes).
    """
    belief = softmax(np.asarray(student, np.float64), axis=1).max(axis=1)
    wrong, right = student.argmax(1) != labels, ensemble.argmax(1) == labels
    surest = np.lexsort((np.arange(len(labels)), -belief))
    alone, both = ([int(i) for i in surest if wrong[i] and kind[i]] for kind in (right, ~right))
    half = count // 2
    first = max(half, count - len(both))
    alone = alone[:first]
    return alone, both[: count - len(alone)]


def beliefs(ensemble: np.ndarray, student: np.ndarray, true: int) -> list[int]:
    """Classes to show of one image: the true one, then the likeliest of both nets, by the larger of
    the two beliefs.

    Args:
        ensemble, student: probabilities (classes,).
    """
    ranked = [(net, np.argsort(-net, kind="stable")) for net in (ensemble, student)]
    likely = {
        int(c)
        for net, order in ranked
        for c in order[:LIKELY]
        if c == order[0] or net[c] >= VISIBLE
    } - {true}
    return [true, *sorted(likely, key=lambda c: (-max(ensemble[c], student[c]), c))]


def gallery(
    numbers: Sequence[int],
    images: np.ndarray,
    labels: np.ndarray,
    nets: Sequence[np.ndarray],
    classes: list[str],
) -> list[dict[str, Any]]:
    """Cards of test images: `number`, `image` (data URI), `true`, `taken` (for what the student
    takes it), `lines`.

    A line is a class: `name`, `true`, `widths` and `words` of the beliefs of ensemble and student.

    Args:
        nets: logits (n, classes) of the ensemble and of the student.
    """
    most, cards = range_of(images[list(numbers)]) if len(numbers) else 1.0, []
    for number in numbers:
        own = [softmax(np.asarray(net[number], np.float64)) for net in nets]
        true = int(labels[number])
        lines = [
            {
                "name": shortened(classes[c], 24),
                "true": c == true,
                "widths": [round(100 * p[c], 1) for p in own],
                "words": [
                    percent(p[c], 0) if p[c] >= 0.005 or not p[c] else "< 1\u00a0%" for p in own
                ],
            }
            for c in beliefs(own[0], own[1], true)
        ]
        cards.append(
            {
                "number": number,
                "image": data_uri(picture(images[number], most)),
                "true": shortened(classes[true]),
                "taken": shortened(classes[int(own[1].argmax())]),
                "lines": lines,
            }
        )
    return cards
