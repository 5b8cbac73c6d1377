"""What nets say of one further test set: the class that each names for each image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.store.tensors import fits, read_tensors, write_tensors


@dataclass(frozen=True)
class ExtraScores:
    """The classes that nets name on one test set.

    Attributes:
        nets: names of the nets.
        corruptions: names of the parts, which show the same images; "" alone where nothing is
            corrupted.
        severities: how often the images come in each part, the lowest severity first; 0 where
            nothing is corrupted, and they come once.
        labels: int64 (n,), of each part.
        named: int64 (nets, parts, n), the class of the largest output.
    """

    nets: tuple[str, ...]
    corruptions: tuple[str, ...]
    severities: int
    labels: np.ndarray
    named: np.ndarray

    @property
    def images(self) -> int:
        """Different images, or rather originals of them."""
        return len(self.labels) // max(1, self.severities)

    def hits(self, net: str) -> np.ndarray:
        """Whether a net is right: bool (parts, severities or 1, images)."""
        right = self.named[self.nets.index(net)] == self.labels
        return right.reshape(len(self.corruptions), max(1, self.severities), self.images)


def extra_path(folder: Path, name: str) -> Path:
    """The file of the set of this name."""
    return folder / f"{name}.safetensors"


def write_extra_scores(path: Path, scores: ExtraScores) -> None:
    """Write the file of one set."""
    most = max(int(scores.labels.max(initial=0)), int(scores.named.max(initial=0)))
    kind = np.uint8 if most < 256 else np.uint16
    header = {
        "nets": scores.nets,
        "corruptions": scores.corruptions,
        "severities": scores.severities,
    }
    arrays = {"labels": scores.labels.astype(kind), "named": scores.named.astype(kind)}
    write_tensors(path, arrays, header)


def read_extra_scores(path: Path) -> ExtraScores:
    """What `write_extra_scores` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or holds something else.
    """
    arrays, header = read_tensors(path)
    remedy = "delete it and run 'dvc repro extra' again"

    try:
        nets = tuple(map(str, header["nets"]))
        corruptions = tuple(map(str, header["corruptions"]))
        severities = header["severities"]
        if type(severities) is not int or severities < 0:
            raise ValueError(f"severities is {severities!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no scores of nets ({error}): {remedy}") from error

    kind = np.uint16 if "labels" in arrays and arrays["labels"].dtype == np.uint16 else np.uint8
    wanted = {"labels": (kind, ("n",)), "named": (kind, (len(nets), len(corruptions), "n"))}
    if not fits(arrays, wanted) or len(arrays["labels"]) % max(1, severities):
        raise ValueError(f"{path} holds no scores of nets (other arrays): {remedy}")

    labels = arrays["labels"].astype(np.int64)
    return ExtraScores(nets, corruptions, severities, labels, arrays["named"].astype(np.int64))
