"""A small space, and a search in it that has got so far."""

from __future__ import annotations

import numpy as np

from stages.search.propose import Settings, Values, sobol_point
from stages.search.space import Dimension, Space

MIXED = Space(
    (
        Dimension("lr", 1e-3, 1e-1, log=True),
        Dimension("momentum", 0.68, 0.97),
        Dimension("width", 4, 64, integer=True),
    )
)
GP = Settings("gpyopt", start=4, lag=2)


def history(space: Space, n: int, seed: int = 0) -> list[tuple[Values, float | None]]:
    rng = np.random.default_rng(seed)
    points = [space.decode(u) for u in rng.random((n, len(space.dimensions)))]
    return [(p, float(np.sum((space.encode(p) - 0.3) ** 2))) for p in points]


DONE = history(MIXED, 6)
PENDING = [sobol_point(MIXED, 1, 50)]
