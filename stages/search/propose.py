"""What to try next: a Sobol start, then GPyOpt's Gaussian process as a stateless engine on the unit cube.

The only import of GPyOpt in the project. `ask` is a pure function of its arguments: a new model each time,
the global generator seeded from (seed, trial) and put back, one thread of linear algebra.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc
from threadpoolctl import threadpool_limits

from stages.search.space import Space

Values = dict[str, float | int]
RESTARTS, MAX_ITERATIONS = 2, 200


@dataclass(frozen=True)
class Settings:
    """How trials are proposed.

    Attributes:
        engine: "gpyopt", or "sobol" for a quasi-random search.
        start: trials from the Sobol sequence before the first proposal of the model.
        lag: trial i is proposed from the results of trials 0 .. i - lag; the trials between are taken to
            be at the model's mean (kriging believer). The trajectory depends on it, and not on the
            number of workers.
    """

    engine: str
    start: int
    lag: int

    def __post_init__(self) -> None:
        if self.engine not in ("gpyopt", "sobol"):
            raise ValueError(f"sweep.engine is {self.engine!r}: allowed are 'gpyopt' and 'sobol'")
        if self.start < 1 or self.lag < 1:
            raise ValueError(f"sweep.start {self.start}, sweep.lag {self.lag}: allowed is 1 or more")


def sobol_point(space: Space, seed: int, i: int) -> Values:
    """Point i of the scrambled Sobol sequence of a seed."""
    sampler = qmc.Sobol(len(space.dimensions), scramble=True, rng=np.random.default_rng((seed, 0x50B0)))
    if i:
        sampler.fast_forward(i)
    return space.decode(sampler.random(1)[0])


def ask(
    space: Space,
    settings: Settings,
    seed: int,
    i: int,
    done: Sequence[tuple[Values, float | None]],
    pending: Sequence[Values],
) -> Values:
    """Hyperparameters of trial i.

    Args:
        space: the box.
        settings: engine, start and lag.
        seed: of the search.
        i: number of the trial, from 0.
        done: results of trials 0 .. i - lag; None is a failed trial and counts as the worst value among them.
        pending: hyperparameters of the trials after them.

    Raises:
        ValueError: a result is NaN or infinite.
    """
    values = [value for _, value in done if value is not None]
    if not all(math.isfinite(value) for value in values):
        raise ValueError("a result is NaN or infinite: failed trials are None")
    if i < settings.start or settings.engine == "sobol" or len(set(values)) < 2:
        return sobol_point(space, seed, i)
    x = np.array([space.encode(params) for params, _ in done])
    y = np.array([max(values) if value is None else value for _, value in done])
    waiting = np.array([space.encode(params) for params in pending]).reshape(len(pending), x.shape[1])
    tried = [params for params, _ in done] + list(pending)
    point = _propose(x, y, waiting, seed, i)
    proposed = None if point is None else space.decode(point)
    return _untried_sobol_point(space, seed, i, tried) if proposed is None or proposed in tried else proposed


def _untried_sobol_point(space: Space, seed: int, i: int, tried: Sequence[Values]) -> Values:
    """Point i of the sequence or the next one that is new; a box of few whole numbers may have none left."""
    for k in range(i, i + len(tried) + 1):
        if (point := sobol_point(space, seed, k)) not in tried:
            return point
    return sobol_point(space, seed, i)


def _propose(x: np.ndarray, y: np.ndarray, waiting: np.ndarray, seed: int, i: int) -> np.ndarray | None:
    """Maximiser of expected improvement on the unit cube (d,), by the model of x (n, d), y (n,).

    None if the model cannot be fitted: an exception would come back whenever the search is resumed.
    """
    state = np.random.get_state()
    np.random.seed(np.random.SeedSequence((seed, i, 0x69)).generate_state(4))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("GPyOpt")  # first: the limit holds for libraries that are loaded
            with threadpool_limits(1):
                point = _expected_improvement(x, y, waiting)
            return point if np.isfinite(point).all() else None
    except np.linalg.LinAlgError:
        return None
    finally:
        np.random.set_state(state)


def _expected_improvement(x: np.ndarray, y: np.ndarray, waiting: np.ndarray) -> np.ndarray:
    from GPyOpt.acquisitions import AcquisitionEI
    from GPyOpt.core.task.space import Design_space
    from GPyOpt.models import GPModel
    from GPyOpt.optimization import AcquisitionOptimizer

    class Latent(GPModel):  # type: ignore[misc]
        """GPyOpt's model without noise in its predictions: improvement of what is measured, not luck."""

        def predict(self, X: np.ndarray, with_noise: bool = False) -> tuple[np.ndarray, np.ndarray]:
            return super().predict(X, with_noise=False)

        def predict_withGradients(self, X: np.ndarray) -> tuple[np.ndarray, ...]:
            X = np.atleast_2d(X)
            mean, variance = self.model.predict(X, include_likelihood=False)
            deviation = np.sqrt(np.clip(variance, 1e-10, np.inf))
            d_mean, d_variance = self.model.predictive_gradients(X)
            return mean, deviation, d_mean[:, :, 0], d_variance / (2 * deviation)

        def get_fmin(self) -> float:
            return self.model.predict(self.model.X, include_likelihood=False)[0].min()

    scaled = ((y - y.mean()) / y.std())[:, None]
    model = Latent(ARD=True, optimize_restarts=RESTARTS, max_iters=MAX_ITERATIONS, verbose=False)
    model.updateModel(x, scaled, None, None)
    for point in waiting:
        mean = model.predict(point[None])[0]
        model.model.set_XY(np.vstack([model.model.X, point]), np.vstack([model.model.Y, mean]))
    names = [{"name": f"u{k}", "type": "continuous", "domain": (0.0, 1.0)} for k in range(x.shape[1])]
    box = Design_space(names)
    best, _ = AcquisitionEI(model, box, AcquisitionOptimizer(box), jitter=0.0).optimize()
    return np.clip(np.asarray(best).ravel(), 0.0, 1.0)
