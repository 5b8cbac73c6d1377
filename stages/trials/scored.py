"""Which nets are scored on further test sets, and what of: without torch, it travels to processes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from stages.images.pictures import PictureRule
from stages.settings.common import Numerics
from stages.settings.prepare import ExtraTest
from stages.store.manifest import file_hash
from stages.store.tensors import fits, read_tensors

SAMPLE = 64
"""Test images on which a net must give what the run has stored, before it is scored."""


@dataclass(frozen=True)
class ScoredNet:
    """A net, or several whose outputs are averaged.

    Attributes:
        name: "ensemble", "teacher" or the words of a cell.
        kind: what builds it.
        weights: its files.
        sample: logits (SAMPLE or fewer, classes) that it gave on the first test images.
        key: sha256 over its files; nets of the same weights have the same.
        shares: of each net in the mean; None where all are equal.
    """

    name: str
    kind: Literal["teacher", "student"]
    weights: tuple[Path, ...]
    sample: np.ndarray
    key: str
    shares: tuple[float, ...] | None = None


def key_of(weights: Sequence[Path], shares: Sequence[float] | None = None) -> str:
    """sha256 over files of weights, and what share each net has if they differ, as hex.

    Raises:
        FileNotFoundError: one is missing.
    """
    for path in weights:
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} not found: run 'dvc checkout {path.parent}' or 'dvc pull {path.parent}'"
            )
    differing = "" if shares is None else str(list(shares))
    return hashlib.sha256(("".join(map(file_hash, weights)) + differing).encode()).hexdigest()


@dataclass(frozen=True)
class ScoredPart:
    """A part of a test set.

    Attributes:
        name, test: the entry of `prepare.extra_tests`.
        place: of the set among those in the folder, and of the part in the set.
        count: of its images.
        fingerprint: sha256 of their pixels.
    """

    name: str
    test: ExtraTest
    place: tuple[int, int]
    count: int
    fingerprint: str


@dataclass(frozen=True)
class ScoreJob:
    """All that is to be scored.

    Attributes:
        work: where results are kept.
        prepared: the data set, on whose first test images nets are checked.
        device: `execution.device`.
        image_column, label_column: `prepare.image_column` and `prepare.label_column`, for entries without.
    """

    work: Path
    prepared: Path
    parts: tuple[ScoredPart, ...]
    nets: tuple[ScoredNet, ...]
    classes: Sequence[str]
    rule: PictureRule
    numerics: Numerics
    device: str
    image_column: str | None = None
    label_column: str | None = None

    def result(self, part: ScoredPart, net: ScoredNet) -> Path:
        """The file with the classes that a net names for the images of a part."""
        return self.work / f"{part.fingerprint[:20]}-{net.key[:20]}.safetensors"

    def missing(self, part: ScoredPart) -> list[ScoredNet]:
        """The nets that have not been asked about a part, one of each key."""
        return [net for net in self._different() if not self.result(part, net).is_file()]

    def unanswered(self, part: ScoredPart) -> list[ScoredNet]:
        """The same, and those of which what they said is damaged."""
        return [net for net in self._different() if not self._is_whole(part, net)]

    def _different(self) -> list[ScoredNet]:
        return list({net.key: net for net in self.nets}.values())

    def _is_whole(self, part: ScoredPart, net: ScoredNet) -> bool:
        try:
            arrays, _ = read_tensors(self.result(part, net))
        except (FileNotFoundError, ValueError):
            return False

        return fits(arrays, {"named": (np.uint16, (part.count,))})
