"""One numbering of the classes for all files of a data set, by the names that the files give them.

Files that are loaded by themselves number the classes that they have: a test set without dogs calls
an eel 1. So labels are matched by name where there are names, and by value where there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.images.sources.files import composed

SHOWN = 20
"""Names that an error repeats of each file."""


@dataclass(frozen=True)
class FileLabels:
    """The labels of one file.

    Attributes:
        name: of the file, for errors.
        labels: integers (n,).
        classes: names of the classes, label i has the i-th; None if the file has none.
    """

    name: str
    labels: np.ndarray
    classes: tuple[str, ...] | None


def numbered(
    training: Sequence[FileLabels], test: Sequence[FileLabels], test_may_lack_names: bool = False
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Labels of all files, as int64 from 0, and the names of the classes.

    The order is that of the first training file's names. Without names the classes are the values
    that training labels have, in rising order, named by these.

    Args:
        training, test: files, at least one training file.
        test_may_lack_names: whether test files without names are numbered as the training files.

    Raises:
        ValueError: files name other classes than the first one, or only some files have names; a
            label has no name, is negative, or is not among the training labels.
    """
    files = [*training, *test]
    first = training[0]
    if first.classes is None and all(file.classes is None for file in files):
        return _by_value(training, files)

    for place, file in enumerate(files):
        lacks = file.classes is None
        allowed = lacks and test_may_lack_names and place >= len(training)
        if lacks != (first.classes is None) and not allowed:
            with_names, without = (first, file) if lacks else (file, first)
            raise ValueError(
                f"{with_names.name} names its classes ({_shown(with_names.classes)}) and {without.name} "
                "does not: write the same names into every file"
            )

    assert first.classes is not None
    return [_by_name(file, first) for file in files], first.classes


def _by_name(file: FileLabels, first: FileLabels) -> np.ndarray:
    """Labels of a file in the numbering of the first one."""
    wanted = first.classes or ()
    classes = wanted if file.classes is None else file.classes
    labels = _checked(file, len(classes))
    if classes == wanted:
        return labels

    differ = f"{file.name} has the classes {_shown(classes)}, {first.name} has {_shown(wanted)}"
    places = {composed(name): place for place, name in enumerate(wanted)}
    own = [composed(name) for name in classes]
    if len(places) < len(wanted) or len(set(own)) < len(own):
        raise ValueError(f"{differ}: names that occur twice cannot be matched; use the same list")
    strange = sorted(set(own) - places.keys())
    if strange:
        raise ValueError(
            f"{differ}: {_shown(strange)} cannot be matched; use the same names in every file"
        )

    return np.array([places[name] for name in own], np.int64)[labels]


def _checked(file: FileLabels, count: int) -> np.ndarray:
    """The labels as int64, all of them 0 to count - 1."""
    bad = np.flatnonzero((file.labels < 0) | (file.labels >= count))
    if len(bad):
        raise ValueError(
            f"{file.name}: row {bad[0]} has label {file.labels[bad[0]]}, allowed are 0 to {count - 1}, "
            "one for each class that has a name: correct the file or choose another prepare.path"
        )
    return file.labels.astype(np.int64)


def _by_value(
    training: Sequence[FileLabels], files: Sequence[FileLabels]
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Labels as places among the values that the training labels have."""
    for file in files:
        bad = np.flatnonzero(file.labels < 0)
        if len(bad):
            raise ValueError(
                f"{file.name}: row {bad[0]} has label {file.labels[bad[0]]}, allowed are 0 and more: "
                "correct the file or leave out what has no class"
            )

    values = np.unique(np.concatenate([file.labels for file in training]))
    numbers = []
    for file in files:
        places = np.searchsorted(values, file.labels)
        known = places < len(values)
        known[known] = values[places[known]] == file.labels[known]
        bad = np.flatnonzero(~known)
        if len(bad):
            raise ValueError(
                f"{file.name}: row {bad[0]} has label {file.labels[bad[0]]}, which no training image "
                f"has ({_shown([str(value) for value in values])}): correct the file"
            )
        numbers.append(places.astype(np.int64))

    return numbers, tuple(str(value) for value in values)


def _shown(names: Sequence[str] | None) -> str:
    """Names for an error, the first twenty of them."""
    listed = list(names or ())
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return f"{', '.join(listed[:SHOWN])}{more}"
