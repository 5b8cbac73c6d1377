"""The interval of an accuracy on images that may be shown several times."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

import numpy as np


def share_interval(hits: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """A share of hits and its interval: (share, low, high), fractions.

    Wilson's score interval (Wilson 1927). Several versions of one image are not as good as so many
    images: as the number of trials counts that of independent images which would leave the mean as
    uncertain as the images' own means show it to be (Korn and Graubard 1998). For one version of
    each image this is Wilson's interval itself. The number is at least that of the images, and at
    most that of all versions.

    Args:
        hits: bool (versions, images).
        level: of the interval, between 0 and 1.

    Raises:
        ValueError: hits are not bool, not two-dimensional or empty, or level is outside.
    """
    if hits.dtype != np.bool_ or hits.ndim != 2 or not hits.size:
        raise ValueError(
            f"hits are {hits.dtype} of shape {hits.shape}: bool of shape (versions, images) is needed"
        )
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: allowed is between 0 and 1")

    versions, images = hits.shape
    of_images = hits.mean(axis=0, dtype=np.float64)
    share = float(hits.mean(dtype=np.float64))

    # How many independent images are as good as these versions of them.
    single = share * (1 - share)
    spread = float(of_images.var())
    count = float(images * versions)
    if single == 0:
        count = float(images)
    elif spread > 0:
        count = min(count, max(float(images), images * single / spread))

    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * sqrt(single / count + (z / (2 * count)) ** 2)
    low = 0.0 if share == 0 else max(0.0, middle - half)
    high = 1.0 if share == 1 else min(1.0, middle + half)
    return share, low, high
