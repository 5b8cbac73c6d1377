"""Labels of further test sets as numbers of the training classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from stages.images.sources.classes import FileLabels, numbered

SHOWN = 8
"""Names that an error repeats."""


def matched(files: Sequence[FileLabels], classes: tuple[str, ...]) -> list[np.ndarray]:
    """Labels as numbers of the training classes, whose names may have numbers of their own.

    Labels without names are places among the classes. Where the classes are called by the values
    that training labels had, as 1, 2, 3, they are such values.
    """
    training = FileLabels("the training data", np.arange(len(classes)), classes)
    values = _values(classes)
    renamed = []
    for each in files:
        if each.classes is not None:
            renamed.append(FileLabels(each.name, each.labels, _distinct(each.classes)))
        elif values is not None:
            renamed.append(FileLabels(each.name, _places(each, values), classes))
        else:
            renamed.append(each)

    return numbered([training], renamed, test_may_lack_names=True)[0][1:]


def _values(classes: tuple[str, ...]) -> dict[int, int] | None:
    """Value -> place of its class, if the names of classes are values other than their places."""
    if not all(re.fullmatch(r"-?[0-9]+", name) for name in classes):
        return None

    values = {int(name): place for place, name in enumerate(classes)}
    other = any(value != place for value, place in values.items())
    return values if other and len(values) == len(classes) else None


def _places(file: FileLabels, values: Mapping[int, int]) -> np.ndarray:
    """The places of labels that are values, int64 (n,)."""
    known, numbers = np.unique(file.labels, return_inverse=True)
    strange = [int(value) for value in known if int(value) not in values]
    if strange:
        row = int(np.flatnonzero(file.labels == strange[0])[0])
        raise ValueError(
            f"{file.name}: row {row} has label {strange[0]}, which no training image has "
            f"({listed([str(value) for value in values])}): correct the file or choose another "
            "prepare.path"
        )
    return np.array([values[int(value)] for value in known], np.int64)[numbers]


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names of classes as `prepare` stores them: shared ones with their numbers."""
    counts = Counter(names)
    return tuple(f"{name} ({i})" if counts[name] > 1 else name for i, name in enumerate(names))


def listed(names: Sequence[str]) -> str:
    """The first names of a list."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
