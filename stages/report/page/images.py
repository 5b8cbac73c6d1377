"""Pictures of the report page as PNG data URIs, and the test images that nets mistake."""

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
LIKELY = 3
"""Classes of each net that a picture's table lists besides the true one."""
VISIBLE = 0.01
"""The belief that these classes need, except the likeliest."""


def data_uri(pixels: np.ndarray) -> str:
    """A PNG of uint8 (height, width, 3) as an address that holds the picture itself."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def picture(example: np.ndarray, most: float = 1.0) -> np.ndarray:
    """Pixels of an image uint8 (s, s, 3), or of a vector float32 (...) as a heat map.

    Its colours go from blue at -most to red at most. Vectors of three axes are averaged over the
    last one, those of one axis are one line.
    """
    if example.dtype == np.float32:
        heat = example.mean(axis=-1) if example.ndim == 3 else np.atleast_2d(example)
        colors = matplotlib.colormaps["RdBu_r"](0.5 + heat / (2 * most or 1.0), bytes=True)
        example = colors[..., :3]
        sides = (example.shape[0], min(example.shape[1], MOST_FEATURES))
    else:
        sides = (min(example.shape[0], LARGEST),) * 2

    pixels = np.ascontiguousarray(example)
    if sides == example.shape[:2]:
        return pixels

    return np.asarray(Image.fromarray(pixels).resize(sides[::-1], Image.Resampling.BOX))


def range_of(examples: np.ndarray) -> float:
    """Below which 99 of 100 absolute values of vectors lie, for `picture`; 1 for images."""
    if examples.dtype != np.float32:
        return 1.0
    return float(np.quantile(np.abs(examples), 0.99)) or 1.0


def samples(originals: np.ndarray, views: np.ndarray) -> list[dict[str, Any]]:
    """Of each training example its `number`, and `original` and `views` as data URIs.

    Vectors have no views: they are the same in every epoch.

    Args:
        originals: uint8 (n, s, s, 3), or vectors float32 (n, ...).
        views: uint8 (n, epochs, s, s, 3), or vectors float32 (n, epochs, ...).
    """
    vectors = originals.dtype == np.float32
    most = range_of(originals)

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
    """Test images that the student alone gets wrong, and those that both nets get wrong.

    Of each kind those of which the student is surest, ties by number; half of `count` of each, or
    more of one kind where there are fewer of the other.

    Args:
        ensemble, student: logits (n, classes).
    """
    belief = softmax(np.asarray(student, np.float64), axis=1).max(axis=1)
    surest = np.lexsort((np.arange(len(labels)), -belief))

    wrong = student.argmax(1) != labels
    right = ensemble.argmax(1) == labels

    alone = [int(i) for i in surest if wrong[i] and right[i]]
    both = [int(i) for i in surest if wrong[i] and not right[i]]

    alone = alone[: max(count // 2, count - len(both))]
    return alone, both[: count - len(alone)]


def beliefs(ensemble: np.ndarray, student: np.ndarray, true: int) -> list[int]:
    """Classes to show of one image: the true one, then the likeliest of both nets.

    They are ordered by the larger of the two beliefs.

    Args:
        ensemble, student: probabilities (classes,).
    """
    likely = {*_likely(ensemble), *_likely(student)} - {true}
    return [true, *sorted(likely, key=lambda c: (-max(ensemble[c], student[c]), c))]


def _likely(net: np.ndarray) -> list[int]:
    """The likeliest class, and a few more that are not negligible."""
    order = np.argsort(-net, kind="stable")[:LIKELY]
    return [int(c) for c in order if c == order[0] or net[c] >= VISIBLE]


def gallery(
    numbers: Sequence[int],
    images: np.ndarray,
    labels: np.ndarray,
    nets: Sequence[np.ndarray],
    classes: list[str],
) -> list[dict[str, Any]]:
    """Cards of test images: `number`, `image` (data URI), `true`, `taken` and `lines`.

    `taken` is the class for which the student takes the image. A line is a class: `name`, `true`,
    `widths` and `words` of the beliefs of ensemble and student.

    Args:
        nets: logits (n, classes) of the ensemble and of the student.
    """
    most = range_of(images[list(numbers)]) if len(numbers) else 1.0

    cards = []
    for number in numbers:
        # What both nets believe of the image, a line a class.
        ensemble, student = (softmax(np.asarray(net[number], np.float64)) for net in nets)

        true = int(labels[number])
        lines = [
            {
                "name": shortened(classes[c], 24),
                "true": c == true,
                "widths": [round(100 * p[c], 1) for p in (ensemble, student)],
                "words": [_belief(p[c]) for p in (ensemble, student)],
            }
            for c in beliefs(ensemble, student, true)
        ]

        # The card.
        cards.append(
            {
                "number": number,
                "image": data_uri(picture(images[number], most)),
                "true": shortened(classes[true]),
                "taken": shortened(classes[int(student.argmax())]),
                "lines": lines,
            }
        )

    return cards


def _belief(share: float) -> str:
    """A probability in per cent; what would round to 0 is < 1 %."""
    return percent(share, 0) if share >= 0.005 or not share else "< 1\u00a0%"
