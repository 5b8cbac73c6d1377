"""What to try next: first a Sobol sequence, then GPyOpt's Gaussian process on the unit cube.

No other file imports GPyOpt. `ask` is a pure function of its arguments: it makes a new model each
time, seeds the global generator from (seed, trial) and puts it back, and runs linear algebra on one
thread.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from stages.search.space import Space

Values = dict[str, float | int]

RESTARTS = 2
MAX_ITERATIONS = 200
"""Of the fit of the model."""

FAR = 1000
"""Random points at which the acquisition is computed."""
NEAR = 500
"""Points besides, around the `CENTRES` lowest means."""
CENTRES = 5
SPREADS = (0.003, 0.3)
"""Bounds of their distances in each dimension, log-uniform."""
ANCHORS = 4
"""Best points of either kind from which L-BFGS-B starts."""


@dataclass(frozen=True)
class Settings:
    """How trials are proposed.

    Attributes:
        engine: "gpyopt", or "sobol" for a quasi-random search.
        start: trials from the Sobol sequence before the first proposal of the model.
        lag: trial i is proposed from the results of trials 0 .. i - lag; the results of the trials
            between are taken to be the model's mean (kriging believer). The trajectory depends on
            it, and not on the number of workers.
    """

    engine: str
    start: int
    lag: int

    def __post_init__(self) -> None:
        if self.engine not in ("gpyopt", "sobol"):
            raise ValueError(f"sweep.engine is {self.engine!r}: allowed are 'gpyopt' and 'sobol'")
        if self.start < 1 or self.lag < 1:
            raise ValueError(
                f"sweep.start {self.start}, sweep.lag {self.lag}: allowed is 1 or more"
            )


def sobol_point(space: Space, seed: int, i: int) -> Values:
    """Point i of the scrambled Sobol sequence of a seed."""
    from scipy.stats import qmc  # half a second, for which trials' processes need not pay

    sampler = qmc.Sobol(
        len(space.dimensions), scramble=True, rng=np.random.default_rng((seed, 0x50B0))
    )
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
        done: hyperparameters and values of trials 0 .. i - lag; None is a failed trial and counts
            as the worst value among them.
        pending: hyperparameters of the trials after them.

    Raises:
        ValueError: a result is NaN or infinite.
    """
    values = [value for _, value in done if value is not None]
    if not all(math.isfinite(value) for value in values):
        raise ValueError("a result is NaN or infinite: failed trials are None")

    # Sobol at first, and while there is nothing to learn from.
    if i < settings.start or settings.engine == "sobol" or len(set(values)) < 2:
        return sobol_point(space, seed, i)

    x = np.array([space.encode(params) for params, _ in done])
    y = np.array([max(values) if value is None else value for _, value in done])
    waiting = np.array([space.encode(params) for params in pending])
    point = _propose(x, y, waiting.reshape(len(pending), x.shape[1]), seed, i)
    proposed = None if point is None else space.decode(point)

    tried = [params for params, _ in done] + list(pending)
    if proposed is None or proposed in tried:
        return _untried_sobol_point(space, seed, i, tried)
    return proposed


def _untried_sobol_point(space: Space, seed: int, i: int, tried: Sequence[Values]) -> Values:
    """Point i of the sequence or the next new one; point i where no new one is left.

    A box of few whole numbers may have none left.
    """
    for k in range(i, i + len(tried) + 1):
        point = sobol_point(space, seed, k)
        if point not in tried:
            return point
    return sobol_point(space, seed, i)


def _propose(
    x: np.ndarray, y: np.ndarray, waiting: np.ndarray, seed: int, i: int
) -> np.ndarray | None:
    """Maximiser of expected improvement on the unit cube (d,), by the model of x (n, d), y (n,).

    None if the model cannot be fitted: an exception would be raised again whenever the search is
    resumed.
    """
    state = np.random.get_state()
    np.random.seed(np.random.SeedSequence((seed, i, 0x69)).generate_state(4))

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # First, since the limit holds for libraries that are loaded; it imports scipy's too.
            importlib.import_module("GPyOpt")
            with threadpool_limits(1):
                point = _expected_improvement(x, y, waiting)
            return point if np.isfinite(point).all() else None
    except np.linalg.LinAlgError:
        return None
    finally:
        np.random.set_state(state)


def _expected_improvement(x: np.ndarray, y: np.ndarray, waiting: np.ndarray) -> np.ndarray:
    """Point of highest expected improvement (d,), by GPyOpt's model and acquisition.

    The points from which it is searched are ours.
    """
    from GPyOpt.core.task.space import Design_space

    model = _model(x, (y - y.mean()) / y.std(), waiting)
    box = Design_space(
        [{"name": f"u{k}", "type": "continuous", "domain": (0.0, 1.0)} for k in range(x.shape[1])]
    )
    best, _ = _log_improvement(model, box).optimize()
    return np.clip(np.asarray(best).ravel(), 0.0, 1.0)


def _model(x: np.ndarray, y: np.ndarray, waiting: np.ndarray) -> Any:
    """GPyOpt's Gaussian process of x (n, d) and standardised y (n,), fitted by maximum likelihood.

    At `waiting` (m, d) it takes its own mean for the result. It has no priors on length scales,
    variance and noise: together they gave a higher median regret.
    """
    from GPyOpt.models import GPModel

    class Latent(GPModel):  # type: ignore[misc]  # GPyOpt has no types
        """Predicts without noise: what improves is the function, not the luck of a measurement."""

        def predict(self, X: np.ndarray, with_noise: bool = False) -> tuple[np.ndarray, np.ndarray]:
            return super().predict(X, with_noise=False)

        def predict_withGradients(self, X: np.ndarray) -> tuple[np.ndarray, ...]:
            X = np.atleast_2d(X)
            mean, deviation = self.predict(X)
            d_mean, d_variance = self.model.predictive_gradients(X)
            return mean, deviation, d_mean[:, :, 0], d_variance / (2 * deviation)

        def get_fmin(self) -> float:
            return self.predict(self.model.X)[0].min()

    model = Latent(ARD=True, optimize_restarts=RESTARTS, max_iters=MAX_ITERATIONS, verbose=False)
    model.updateModel(x, y[:, None], None, None)

    # All at once: a point at the posterior mean does not move that mean.
    if len(waiting):
        means = model.predict(waiting)[0]
        model.model.set_XY(np.vstack([model.model.X, waiting]), np.vstack([model.model.Y, means]))

    return model


def _log_improvement(model: Any, box: Any) -> Any:
    """The logarithm of GPyOpt's expected improvement, which has a slope where that is flat at 0."""
    from GPyOpt.acquisitions import AcquisitionEI

    class LogEI(AcquisitionEI):  # type: ignore[misc]  # GPyOpt has no types
        """Ament et al. 2023."""

        lowest = model.get_fmin()

        def _compute_acq(self, x: np.ndarray) -> np.ndarray:
            mean, deviation = self.model.predict(x)
            return np.log(deviation) + _log_h((self.lowest - mean) / deviation)[0]

        def _compute_acq_withGradients(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            mean, deviation, d_mean, d_deviation = self.model.predict_withGradients(x)
            u = (self.lowest - mean) / deviation
            value, slope = _log_h(u)
            gradient = (d_deviation * (1 - slope * u) - slope * d_mean) / deviation
            return np.log(deviation) + value, gradient

    return LogEI(model, box, _optimizer(model, box), jitter=0.0)


def _log_h(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log h(u) and its derivative, with h(u) = phi(u) + u Phi(u) of the normal distribution."""
    from scipy.special import erfcx, ndtr

    # Below -1 by way of the scaled function: the sum of h cancels there, and 1 + low * ratio does
    # so further out.
    low = np.minimum(u, -1.0)
    ratio = math.sqrt(math.pi / 2) * erfcx(-low / math.sqrt(2))  # Phi / phi
    tail = np.where(low > -1e4, 1 + low * ratio, low**-2.0)  # h / phi

    # Elsewhere by the formula.
    high = np.maximum(u, -1.0)
    density = np.exp(-0.5 * high**2) / math.sqrt(2 * math.pi)
    distribution = ndtr(high)
    h = density + high * distribution

    value = np.where(u < -1, np.log(tail) - 0.5 * low**2 - 0.5 * math.log(2 * math.pi), np.log(h))
    return value, np.where(u < -1, ratio / tail, distribution / h)


def _optimizer(model: Any, box: Any) -> Any:
    """What looks for the highest acquisition: GPyOpt's optimiser with our start points."""
    from GPyOpt.optimization import AcquisitionOptimizer

    class Anchored(AcquisitionOptimizer):  # type: ignore[misc]  # GPyOpt has no types
        """L-BFGS-B from the best of random points and of points around the lowest means.

        In 18 dimensions no random point comes near the incumbent, and that is where the improvement
        is found most often.
        """

        def optimize(
            self, f: Any = None, df: Any = None, f_df: Any = None, duplicate_manager: Any = None
        ) -> Any:
            x = model.model.X
            d = x.shape[1]

            # Points around the lowest means, then points anywhere.
            centres = x[np.argsort(model.predict(x)[0].ravel(), kind="stable")[:CENTRES]]
            low, high = np.log(SPREADS)
            spread = np.exp(np.random.uniform(low, high, (NEAR, 1)))
            near = np.resize(centres, (NEAR, d)) + spread * np.random.normal(size=(NEAR, d))
            far = np.random.random((FAR, d))

            ends = []
            for points in far, np.clip(near, 0.0, 1.0):
                for start in points[np.argsort(f(points).ravel(), kind="stable")[:ANCHORS]]:
                    ends.append(_climb(f_df, start))

            value, best = min(ends, key=lambda pair: pair[0])
            return best[None], np.array([[value]])

    return Anchored(box)


def _climb(f_df: Any, start: np.ndarray) -> tuple[float, np.ndarray]:
    """Value and place (d,) of the minimum of f inside the unit cube near a start (d,)."""
    from scipy.optimize import minimize

    def flat(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = f_df(point[None])
        return float(value.item()), gradient.ravel()

    bounds = [(0.0, 1.0)] * len(start)
    end = minimize(
        flat, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 100}
    )
    return float(end.fun), end.x
