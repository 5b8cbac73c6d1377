"""Whether nets have learnt anything: their accuracy beside that of always naming one class."""

from __future__ import annotations

import numpy as np

LEVEL = 0.01
"""Of the one-sided binomial test: how often a net that knows nothing counts as one that does."""


def commonest_share(labels: np.ndarray) -> float:
    """Share of the commonest class, which always naming it reaches without looking at an image.

    Args:
        labels: whole numbers (n,), at least one.
    """
    return float(np.bincount(labels).max() / len(labels))


def at_chance(accuracy: float, labels: np.ndarray) -> bool:
    """Whether an accuracy on images with these labels is what naming the commonest class may reach.

    >>> balanced = np.arange(1000) % 10
    >>> at_chance(0.11, balanced), at_chance(0.14, balanced)
    (True, False)
    """
    from scipy.stats import binomtest  # costs half a second, which a search should not wait for

    hits = round(accuracy * len(labels))
    share = commonest_share(labels)
    return bool(binomtest(hits, len(labels), share, alternative="greater").pvalue > LEVEL)


def words(accuracy: float, labels: np.ndarray) -> str:
    """The comparison, for a message."""
    return (
        f"right on {100 * accuracy:.1f} % of {len(labels):,} images, and always naming the commonest "
        f"class is right on {100 * commonest_share(labels):.1f} %"
    )
