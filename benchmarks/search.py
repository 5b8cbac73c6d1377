"""Regret and cost of our search beside Sobol, Optuna and BoTorch, at equal budgets and starts.

Three functions on the unit cube: Branin (2-d), Hartmann6 and a noisy 18-d stand-in for validation
error against the hyperparameters of a teacher. Every engine first gets the points of our Sobol
start and their values, then proposes one point at a time (lag 1) until the budget is spent. Regret
is the noiseless value at the point of the best *observed* value, minus the known minimum; noise i
of a seed is the same for all. Every model estimates the noise.

Rows "... regret": ours and theirs are medians of the final regret over the seeds; ratio is theirs /
ours; low and high are the 2.5 and 97.5 percentiles of that ratio over a bootstrap in which seeds
are drawn for both together. Regrets below 1e-6 count as 1e-6 in ratios: our points have six digits.
Rows "... suggestion": suggestions per CPU-second after the start (fit, acquisition and bookkeeping;
not the function, not imports); ratio is their CPU-seconds / ours, paired by seed: median, lowest
and highest. "last 8" are the last eight of the budget.

The peers run with their libraries' defaults. BoTorch: SingleTaskGP, LogExpectedImprovement,
optimize_acqf with 10 restarts of 512 raw samples as in its tutorials; on the noisy function its
incumbent is the best posterior mean among the tried points, since the best observed value is a
lucky one. All run on one thread. The full run takes its time: `--runs FILE` keeps what is finished,
and the next call continues from there.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib.metadata
import json
import math
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.measure import ROOT, Row, cpu_seconds, main
from stages.search.propose import Settings, Values, ask, sobol_point
from stages.search.space import Dimension, Space

Function = Callable[[np.ndarray], float]
Suggest = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""Points (n, d) and their values (n,), to be minimised -> point n (d,); all in the unit cube."""
FLOOR = 1e-6
LAST = 8

# --------------------------------------------------------------------------------------- functions


def branin(u: np.ndarray) -> float:
    """Dixon and Szego 1978 over [-5, 10] x [0, 15]; u (2,) in the unit cube; minima 10 / (8 pi)."""
    x = 15 * u[0] - 5
    y = 15 * u[1]
    valley = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
HARTMANN6_AT = np.array([0.20168951, 0.15001069, 0.47687398, 0.27533243, 0.31165162, 0.65730053])


def hartmann6(u: np.ndarray) -> float:
    """Hartmann 1973; u (6,) in the unit cube; minimum -3.32237 at HARTMANN6_AT."""
    return float(-_ALPHA @ np.exp(-(_A * (u - _P) ** 2).sum(axis=1)))


ERROR18_AT = 0.2 + 0.6 * np.modf(np.arange(1, 19) * (math.sqrt(5) - 1) / 2)[0]
ERROR18_MIN = 0.1


def error18(u: np.ndarray) -> float:
    """A stand-in for validation error against 18 hyperparameters; u (18,) in the unit cube.

    From ERROR18_MIN at ERROR18_AT it rises to chance level, 0.9, as 1 - exp(-q). The weights of the
    quadratic q fall by 0.6 from one dimension to the next. Dimension 0 is steeper upwards (a
    learning rate that diverges), and 1 makes up for some of 0 (a momentum).
    """
    z = u - ERROR18_AT
    weights = 3 * 0.6 ** np.arange(18)
    squares = z**2
    squares[0] = (z[0] + 0.5 * z[1]) ** 2 * (3.0 if z[0] + 0.5 * z[1] > 0 else 1.0)
    return float(ERROR18_MIN + 0.8 * (1 - math.exp(-weights @ squares)))


@dataclass(frozen=True)
class Problem:
    """A function of the unit cube with its known minimum, and how it is searched."""

    name: str
    function: Function
    d: int
    minimum: float
    noise: float
    start: int
    budget: int

    def space(self) -> Space:
        return Space(tuple(Dimension(f"u{k:02}", 0.0, 1.0) for k in range(self.d)))

    def observe(self, u: np.ndarray, seed: int, i: int) -> float:
        """Value of trial i with its noise, which depends on seed and i only."""
        return self.function(u) + self.noise * float(
            np.random.default_rng((seed, i, 0xE7)).normal()
        )


PROBLEMS = (
    Problem("branin", branin, 2, 10 / (8 * math.pi), 0.0, 6, 30),
    Problem("hartmann6", hartmann6, 6, -3.32236801141551, 0.0, 12, 60),
    Problem("noisy 18-d", error18, 18, ERROR18_MIN, 0.005, 24, 129),
)
QUICK = {"branin": (4, 10), "hartmann6": (8, 14), "noisy 18-d": (12, 20)}


def regret(problem: Problem, x: np.ndarray, y: np.ndarray) -> float:
    """Noiseless value at the point of the best observed one, less the minimum; x (n, d), y (n,)."""
    return problem.function(x[int(np.argmin(y))]) - problem.minimum


# ----------------------------------------------------------------------------------------- engines


def ours(problem: Problem, seed: int) -> Suggest:
    space = problem.space()
    settings = Settings("gpyopt", problem.start, 1)

    def suggest(x: np.ndarray, y: np.ndarray, i: int) -> np.ndarray:
        done: list[tuple[Values, float | None]] = [
            (space.decode(u), float(v)) for u, v in zip(x, y, strict=True)
        ]
        return space.encode(ask(space, settings, seed, i, done, []))

    return suggest


def sobol(problem: Problem, seed: int) -> Suggest:
    """scipy's scrambled sequence continues where the start ended."""
    space = problem.space()
    return lambda x, y, i: space.encode(sobol_point(space, seed, i))


def _optuna(sampler: Any, problem: Problem) -> Suggest:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=sampler)
    names = [f"u{k:02}" for k in range(problem.d)]
    open_trials: list[Any] = []

    def point(trial: Any) -> np.ndarray:
        return np.array([trial.suggest_float(name, 0.0, 1.0) for name in names])

    def suggest(x: np.ndarray, y: np.ndarray, i: int) -> np.ndarray:
        for k in range(len(study.trials) - len(open_trials), len(x)):
            if open_trials:
                trial = open_trials.pop()
            else:
                study.enqueue_trial(dict(zip(names, map(float, x[k]), strict=True)))
                trial = study.ask()

            if not np.array_equal(point(trial), x[k]):
                raise ValueError(f"Optuna's trial {k} is not the point that was evaluated")
            study.tell(trial, float(y[k]))

        open_trials.append(study.ask())
        return point(open_trials[0])

    return suggest


def optuna_gp(problem: Problem, seed: int) -> Suggest:
    import optuna

    return _optuna(optuna.samplers.GPSampler(seed=seed, n_startup_trials=problem.start), problem)


def optuna_tpe(problem: Problem, seed: int) -> Suggest:
    import optuna

    return _optuna(optuna.samplers.TPESampler(seed=seed, n_startup_trials=problem.start), problem)


def botorch_log_ei(problem: Problem, seed: int) -> Suggest:
    import torch
    from botorch.acquisition import LogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.optim import optimize_acqf
    from botorch.utils.sampling import manual_seed
    from gpytorch.mlls import ExactMarginalLogLikelihood

    bounds = torch.stack([torch.zeros(problem.d), torch.ones(problem.d)]).double()

    def suggest(x: np.ndarray, y: np.ndarray, i: int) -> np.ndarray:
        with (
            manual_seed(int(np.random.SeedSequence((seed, i)).generate_state(1)[0])),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            points = torch.tensor(x)
            values = -torch.tensor(y)[:, None]
            model = SingleTaskGP(points, values)
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
            with torch.no_grad():
                best = model.posterior(points).mean.max() if problem.noise else values.max()
            acquisition = LogExpectedImprovement(model, best_f=best)
            found, _ = optimize_acqf(acquisition, bounds, q=1, num_restarts=10, raw_samples=512)

        return found[0].numpy()

    return suggest


OURS = "mimicnets"
ENGINES = {
    OURS: ours,
    "Sobol": sobol,
    "Optuna GP": optuna_gp,
    "Optuna TPE": optuna_tpe,
    "BoTorch LogEI": botorch_log_ei,
}
PACKAGE = {
    "Sobol": "scipy",
    "Optuna GP": "optuna",
    "Optuna TPE": "optuna",
    "BoTorch LogEI": "botorch",
}
NOTES = {"Sobol": "does not learn from the values", "Optuna TPE": "no Gaussian process"}

# -------------------------------------------------------------------------------------- experiment


@dataclass(frozen=True)
class Run:
    """One search: its regret after each trial (budget,), and CPU-seconds of each suggestion."""

    problem: str
    budget: int
    engine: str
    version: str
    seed: int
    regrets: list[float]
    seconds: list[float]

    @property
    def key(self) -> tuple[str, int, str, str, int]:
        return self.problem, self.budget, self.engine, self.version, self.seed


@functools.cache
def version(engine: str) -> str:
    """Of the peer's package; ours is a digest of the code that proposes, read once."""
    if engine != OURS:
        return importlib.metadata.version(PACKAGE[engine])
    sources = [
        (ROOT / "stages" / "search" / name).read_bytes() for name in ("propose.py", "space.py")
    ]
    return hashlib.sha256(b"".join(sources)).hexdigest()[:12]


def search(problem: Problem, engine: str, seed: int) -> Run:
    """One engine's search; its first `problem.start` points are those of our Sobol start."""
    space = problem.space()
    suggest = ENGINES[engine](problem, seed)
    x = np.empty((0, problem.d))
    y = np.empty(0)

    regrets = []
    seconds = []
    for i in range(problem.budget):
        if i < problem.start:
            u = space.encode(sobol_point(space, seed, i))
        else:
            before = cpu_seconds()
            u = suggest(x, y, i)
            seconds.append(cpu_seconds() - before)

        x = np.vstack([x, u])
        y = np.append(y, problem.observe(u, seed, i))
        regrets.append(regret(problem, x, y))

    return Run(problem.name, problem.budget, engine, version(engine), seed, regrets, seconds)


def regret_ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Median of theirs / median of ours, with 2.5 and 97.5 percentiles over 2000 draws of seeds."""
    a = np.maximum(ours, FLOOR)
    b = np.maximum(theirs, FLOOR)
    drawn = np.random.default_rng(0).integers(len(a), size=(2000, len(a)))
    low, high = np.percentile(
        np.median(b[drawn], axis=1) / np.median(a[drawn], axis=1), [2.5, 97.5]
    )
    return float(np.median(b) / np.median(a)), float(low), float(high)


def rows_of(problem: Problem, runs: dict[str, list[Run]]) -> list[Row]:
    """One regret row for each peer, and a row of cost for each that has a model; runs by seed."""
    rows = []
    own = runs[OURS]
    unit = "suggestions per CPU-second"
    n = len(own)

    for peer, theirs in runs.items():
        if peer == OURS:
            continue

        # Regret.
        a, b = ([run.regrets[-1] for run in side] for side in (own, theirs))
        middle = statistics.median(a), statistics.median(b)
        note = NOTES.get(peer, "")
        rows.append(
            Row(
                f"{problem.name} regret",
                peer,
                *regret_ratio(a, b),
                "median final regret",
                n,
                *middle,
                note=note,
            )
        )

        # Cost; Sobol has no model.
        spans = {} if peer == "Sobol" else {"suggestion": 0}
        if spans and problem.d > 10:
            spans[f"suggestion, last {LAST}"] = -LAST
        for what, first in spans.items():
            a, b = (
                [statistics.mean(run.seconds[first:]) for run in side] for side in (own, theirs)
            )
            ratios = [v / u for u, v in zip(a, b, strict=True)]
            costs = statistics.median(ratios), min(ratios), max(ratios)
            middle = 1 / statistics.median(a), 1 / statistics.median(b)
            rows.append(Row(f"{problem.name} {what}", peer, *costs, unit, n, *middle, note=note))

    return rows


def measure(arguments: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """All functions, engines and seeds; searches that `--runs` has are not run again."""
    import torch

    torch.set_num_threads(1)

    # What is to be run.
    count = 2 if arguments.quick else arguments.seeds
    seeds = range(arguments.first_seed, arguments.first_seed + count)
    problems = [p for p in PROBLEMS if arguments.only in (None, p.name)]
    if arguments.quick:
        budgets = {"start": 0, "budget": 0}
        problems = [
            Problem(**{**vars(p), **dict(zip(budgets, QUICK[p.name], strict=True))})
            for p in problems
        ]

    # The searches that are not kept yet.
    kept = _read(arguments.runs)
    todo = [(p, engine, seed) for p in problems for seed in seeds for engine in ENGINES]
    with threadpool_limits(1):
        for engine in ENGINES:  # imports and first calls are nobody's suggestion
            search(Problem("warm", branin, 2, 0.0, 0.0, 4, 5), engine, 0)
        for problem, engine, seed in tqdm(
            todo, disable=not sys.stderr.isatty() and arguments.quick
        ):
            key = (problem.name, problem.budget, engine, version(engine), seed)
            if key not in kept:
                run = kept[key] = search(problem, engine, seed)
                tqdm.write(
                    f"{problem.name} {engine} seed {seed}: regret {run.regrets[-1]:.3g}, "
                    f"{statistics.mean(run.seconds):.2f} CPU-seconds a suggestion",
                    file=sys.stderr,
                )
                if arguments.runs:
                    with arguments.runs.open("a") as file:
                        file.write(json.dumps(asdict(run)) + "\n")

    # Their rows.
    rows = []
    for p in problems:
        by_engine = {e: [kept[p.name, p.budget, e, version(e), s] for s in seeds] for e in ENGINES}
        rows += rows_of(p, by_engine)

    return rows, {"seeds": list(seeds), "version of ours": version(OURS)}


def _read(path: Path | None) -> dict[tuple[str, int, str, str, int], Run]:
    """Finished searches of an earlier call."""
    if path is None or not path.exists():
        return {}
    runs = [Run(**json.loads(line)) for line in path.read_text().splitlines()]
    return {run.key: run for run in runs}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", choices=[p.name for p in PROBLEMS], help="one function")
    parser.add_argument(
        "--seeds", type=int, default=5, help="searches per engine and function (default 5)"
    )
    parser.add_argument(
        "--first-seed", type=int, default=5, help="0 to 4 were seen while our search was made"
    )
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="FILE",
        help="keep finished searches there, and go on from them",
    )


if __name__ == "__main__":
    main("search", __doc__ or "", measure, _options)
