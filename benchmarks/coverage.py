"""How often intervals cover the truth, and how often a run of the advised size decides a claim.

Data of known truth (see benchmarks/worlds.py) go through the functions of the stages. A line a
case: of what, the share of intervals that cover the truth with its Monte-Carlo error (one standard
error), and their mean width in points. Then how often a claim is decided by a run of the size that
`metrics/claims.md` advises, which should be 80 %. `--quick` draws few times, so that its shares mean
little; without it they are exact to 0.3 to 1.1 points, which takes ten minutes of a processor or
more.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from statistics import NormalDist

import numpy as np

from benchmarks.worlds import Case, cases, hits_of, quantities
from stages.report import power
from stages.report.claims import Claim, Comparison
from stages.report.quantities import Quantity
from stages.report.seeds import SeedVariance
from stages.report.verdicts import Verdict
from stages.report.words import OPEN

QUICK = 40
"""Draws of each case with --quick."""
SECOND = 0.65
"""Accuracy of the worse of two cells, where the advice on the size of a run is tried."""
CORRECTED = 0.05 / 10
"""Level of a claim where five others are decided: alpha over the p-values that are left."""


@dataclass(frozen=True)
class Coverage:
    """What a case showed.

    Attributes:
        of, case: the interval, and the world that it was tried in.
        share, error: of the intervals that cover the truth, and its standard error; fractions.
        width: mean width of the intervals, points.
    """

    of: str
    case: str
    share: float
    error: float
    width: float


def covered(of: str, words: str, draws: int, case: Case) -> Coverage:
    """Draw a case so often, from fixed seeds."""
    found = [case(np.random.default_rng((draw, 20))) for draw in range(draws)]
    low, high, truth = np.array(found).T

    share = float(np.mean((low <= truth) & (truth <= high)))
    error = float(np.sqrt(share * (1 - share) / draws))
    return Coverage(of, words, share, error, float(np.mean(high - low)))


# -------------------------------------------------------------------------------------------- power


@dataclass(frozen=True)
class Advice:
    """A pilot run of two cells, and what of it is to be more.

    Attributes:
        runs, images: of the pilot, and its seeds' deviation (a fraction) and difference.
        by: what is to be more, "images" or "seeds".
    """

    runs: int
    images: int
    deviation: float
    gap: float
    by: str


ADVICE = (
    Advice(1, 2000, 0.0, 0.02, "images"),
    Advice(1, 2000, 0.0, 0.01, "images"),
    Advice(5, 2000, 0.006, 0.025, "images"),
    Advice(5, 10_000, 0.01, 0.015, "seeds"),
)


def advised(advice: Advice, pilots: int) -> tuple[int, int]:
    """Images and seeds that a pilot asks for whose difference and variances are the true ones.

    The variances are the means over so many pilots: those of one pilot of few seeds are off by a
    factor, and its advice with them.
    """
    rng = np.random.default_rng(1)
    found = []
    for _ in range(pilots):
        hits, _ = _cells(rng, advice, advice.runs, advice.images)
        first, second = quantities(hits, rng)
        found.append(first - second)

    # One difference with the mean of their variances.
    seeds = [
        SeedVariance(advice.runs, *np.mean([astuple(part)[1:] for part in parts], axis=0))
        for parts in zip(*(each.seeds for each in found), strict=True)
    ]
    error = np.sqrt(np.mean([each.variance for each in found]))
    noise = NormalDist().inv_cdf
    samples = advice.gap + error * np.array([noise((i + 0.5) / 10_000) for i in range(10_000)])
    difference = Quantity(advice.gap, samples, None, tuple(seeds), advice.runs)

    # What it needs.
    claim = Claim("one", "", "", [Comparison("", difference)])
    verdict = Verdict(claim, OPEN, None, None, claim.comparisons[0])
    needs = power.needed(verdict, CORRECTED, advice.images)
    size = needs and getattr(needs, advice.by)
    if size is None:
        raise ValueError(f"{advice} is out of reach: take a larger gap")
    return (size, advice.runs) if advice.by == "images" else (advice.images, size)


def decided(advice: Advice, images: int, seeds: int, draws: int) -> float:
    """Share of runs of this size whose p-value is below the corrected level."""
    found = 0
    for draw in range(draws):
        rng = np.random.default_rng((draw, 2))
        hits, _ = _cells(rng, advice, seeds, images)
        first, second = quantities(hits, rng)
        found += (first - second).p_value(0.0) <= CORRECTED
    return found / draws


def _cells(
    rng: np.random.Generator, advice: Advice, runs: int, images: int
) -> tuple[list[np.ndarray], list[float]]:
    shares = (SECOND + advice.gap, SECOND)
    return hits_of(rng, shares, runs, images, advice.deviation)


def power_lines(draws: int, pilots: int) -> Iterator[str]:
    """A line of Markdown for each advice."""
    for advice in ADVICE:
        images, seeds = advised(advice, pilots)
        share = decided(advice, images, seeds, draws)
        pilot = f"{advice.runs} and {advice.images:,}"
        yield (
            f"| {100 * advice.gap:g} points | {100 * advice.deviation:g} points | {pilot} "
            f"| {seeds} and {images:,} | {100 * share:.0f} % |"
        )


# ------------------------------------------------------------------------------------- command line


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few draws: does it run")
    parser.add_argument("--only", default="", metavar="WORDS", help="intervals with these words")
    arguments = parser.parse_args()

    print("| interval | case | coverage | width, points |\n| --- | --- | ---: | ---: |")
    for of, words, draws, case in cases():
        if arguments.only not in of:
            continue
        found = covered(of, words, QUICK if arguments.quick else draws, case)
        print(
            f"| {of} | {words} | {100 * found.share:.1f} ± {100 * found.error:.1f} % "
            f"| {found.width:.2f} |",
            flush=True,
        )

    if arguments.only:
        return
    draws, pilots = (QUICK, 20) if arguments.quick else (1000, 200)
    print("\n| difference | seeds differ by | pilot: seeds, images | advised | decided |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for line in power_lines(draws, pilots):
        print(line, flush=True)


if __name__ == "__main__":
    main()
