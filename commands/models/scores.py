"""How often a net is right on files in folders named like classes: in all, and by class."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from commands.models.check import check_finite, finite, outputs
from commands.models.programs import Runner
from stages.report.shares import share_interval

BATCH = 256
"""Inputs that are gathered before the net is asked: 50 MB of 256 px."""
LEVEL = 0.95
"""Of the intervals."""


@dataclass(frozen=True)
class LabelledScores:
    """Who was right.

    Attributes:
        classes: names, label i has the i-th.
        labels: int64 (n,).
        named: int64 (n,), the class of the largest output.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    named: np.ndarray

    @property
    def of_all(self) -> dict[str, Any]:
        """Number of inputs, accuracy and its interval."""
        return _share(self.named == self.labels)

    @property
    def by_class(self) -> dict[str, dict[str, Any]]:
        """The same of each class that has inputs, and the class that it is most often taken for."""
        shares = {}
        for label in np.unique(self.labels):
            of_class = self.named[self.labels == label]
            wrong = of_class[of_class != label]
            taken = self.classes[int(np.bincount(wrong).argmax())] if len(wrong) else None
            shares[self.classes[label]] = {**_share(of_class == label), "taken_for": taken}
        return shares


def _share(hits: np.ndarray) -> dict[str, Any]:
    share, low, high = (round(value, 6) for value in share_interval(hits[None], LEVEL))
    return {"count": len(hits), "accuracy": share, "low": low, "high": high}


def score(
    run: Runner,
    where: str,
    classes: Sequence[str],
    inputs: Iterable[tuple[np.ndarray, int]],
    unanswered: Callable[[int], None] | None = None,
) -> LabelledScores | None:
    """Ask a net about inputs with labels; None where there are none, or none with an answer.

    Args:
        run: inputs to logits.
        where: its file, for errors.
        classes: names of its classes.
        inputs: arrays (n, ...) as the net takes them, each with its label.
        unanswered: is told the number of each input, from 0, whose logits are not finite; it is
            not in the scores. None: it is an error.

    Raises:
        ValueError: the net has another number of outputs than classes, or some are not finite.
    """
    labels: list[int] = []
    named: list[np.ndarray] = []
    asked = 0

    for arrays, own in _gathered(inputs):
        logits = outputs(run, arrays, where)
        if logits.shape[1] != len(classes):
            raise ValueError(
                f"{where} has {logits.shape[1]} outputs and {len(classes)} class names: "
                "export it again"
            )
        good = finite(logits)
        for place in np.flatnonzero(~good):
            if unanswered is None:
                check_finite(where, logits)
            else:
                unanswered(asked + int(place))
        asked += len(own)

        named.append(logits[good].argmax(1))
        labels += np.array(own)[good].tolist()

    if not labels:
        return None
    return LabelledScores(tuple(classes), np.array(labels, np.int64), np.concatenate(named))


def _gathered(
    inputs: Iterable[tuple[np.ndarray, int]],
) -> Iterator[tuple[np.ndarray, list[int]]]:
    """Inputs in batches of BATCH or somewhat more, with a label each."""
    arrays: list[np.ndarray] = []
    labels: list[int] = []
    for array, label in inputs:
        arrays.append(array)
        labels += [label] * len(array)
        if len(labels) >= BATCH:
            yield np.concatenate(arrays), labels
            arrays, labels = [], []

    if labels:
        yield np.concatenate(arrays), labels


def lines(folder: str, scores: LabelledScores, changed: int) -> list[str]:
    """Accuracy in all, then by class, as text.

    Args:
        changed: images that were cut or resized to the net's size.
    """
    of_classes = scores.by_class
    width = max(map(len, of_classes))
    count = scores.of_all["count"]

    first = f"{folder}: {_words(scores.of_all)} of {count:,} example{'' if count == 1 else 's'}"
    note = f" ({changed:,} of them cut or resized to the net's size)" if changed else ""
    return [first + note, *(_line(name, width, share) for name, share in of_classes.items())]


def _line(name: str, width: int, share: Mapping[str, Any]) -> str:
    """A class as text."""
    taken = share["taken_for"]
    most = f", most often taken for {taken}" if taken is not None else ""
    return f"  {name:{width}}  {_words(share)} of {share['count']:,}{most}"


def _words(share: Mapping[str, Any]) -> str:
    low, high = (f"{100 * share[end]:.1f}" for end in ("low", "high"))
    return f"{100 * share['accuracy']:.2f} % [{low}, {high}]"


def as_json(folder: str, scores: LabelledScores, unread: int, unanswered: int, changed: int) -> str:
    """The same as one JSON object, with how many files could not be read, and inputs not answered."""
    return json.dumps(
        {
            "folder": folder,
            **scores.of_all,
            "level": LEVEL,
            "unread": unread,
            "unanswered": unanswered,
            "changed": changed,
            "classes": scores.by_class,
        }
    )
