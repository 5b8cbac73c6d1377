"""Checks of the data before anything is trained on them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from stages.images.sources.labelled import DIGITS, FEWEST_CLASSES, MOST_CLASSES, Labelled
from stages.images.sources.split import FOR
from stages.settings.prepare import Prepare


def class_names(names: tuple[str, ...], source: str) -> list[str]:
    """Names of the classes; those that several classes share get their numbers too.

    ImageNet has two cranes.

    Raises:
        ValueError: too few classes or too many.
    """
    if not FEWEST_CLASSES <= len(names) <= MOST_CLASSES:
        raise ValueError(
            f"{source} has {len(names):,} class{'' if len(names) == 1 else 'es'}, "
            f"allowed are {FEWEST_CLASSES} to {MOST_CLASSES:,}: change prepare.path or its files"
        )

    counts = Counter(names)
    return [f"{name} ({i})" if counts[name] > 1 else name for i, name in enumerate(names)]


def check_mirror(settings: Prepare, mirror: bool) -> None:
    """Views of digits are not mirrored.

    Raises:
        ValueError: they are.
    """
    if mirror and settings.source in DIGITS:
        raise ValueError(
            f"params.yaml: images.mirror is true, and {settings.source} has digits, which mirrored "
            "are others or none: set images.mirror to false"
        )


def check_classes(settings: Prepare, parts: dict[str, Labelled], classes: list[str]) -> None:
    """Refuse parts from which nothing can be learnt or chosen.

    With few images of many classes some are lacking by chance. With two training images for each
    class, or more, a part that is mostly of classes that training lacks is the end of a sorted source.

    Raises:
        ValueError: that is so, or all images for validation or testing are of one class.
    """
    counts = {
        name: np.bincount(part.labels, minlength=len(classes)) for name, part in parts.items()
    }
    listed = "; ".join(f"{name} {_counted(each)}" for name, each in counts.items())
    remedy = "choose other sizes, or correct the files"
    if settings.split == "order" and settings.source != "cluttered-digits":
        remedy = "the files may be sorted by class: set prepare.split to content"

    enough = counts["train"].sum() >= 2 * len(classes)
    for name in ("validation", "test"):
        untrained = counts["train"] == 0
        if enough and 2 * counts[name][untrained].sum() > counts[name].sum():
            names = [classes[i] for i in np.flatnonzero(untrained & (counts[name] > 0))]
            more = f" and {len(names) - 5} more" if names[5:] else ""
            raise ValueError(
                f"most images for {FOR[name]} are of classes without a training image "
                f"({', '.join(names[:5])}{more}); images of each class: {listed}: {remedy}"
            )

        present = np.flatnonzero(counts[name])
        if len(present) == 1 and counts[name].sum() > 1:
            raise ValueError(
                f"all images for {FOR[name]} are of the class {classes[present[0]]}; images of each "
                f"class: {listed}: {remedy}"
            )


def _counted(counts: np.ndarray) -> str:
    """Images of each class, of the first twenty."""
    more = ", ..." if len(counts) > 20 else ""
    return f"[{', '.join(map(str, counts[:20]))}{more}]"
