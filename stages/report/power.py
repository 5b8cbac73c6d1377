"""How many seeds and test images an undecided claim would need, if its effects are as measured.

For one comparison with a difference d above its bound, of variance v on n images, the number is
n' = n v (z_level + z_power)^2 / d^2, with z_level of the corrected level (Lachin 1981). A claim
with several comparisons needs them all at once: the smallest number is searched for at which the
share POWER of the bootstrap samples, with their noise made as small as that number makes it, pass
all tests. What falls with images, with seeds and with both is told apart by `seeds.SeedVariance`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from stages.report.quantities import Quantity
from stages.report.statistics import degrees_of_freedom
from stages.report.verdicts import Verdict
from stages.report.words import FAILS, HOLDS, OPEN

POWER = 0.8
"""The probability with which a run of the recommended size decides the claim."""
MOST_IMAGES = 1_000_000
MOST_SEEDS = 100
"""More than these are called out of reach."""


@dataclass(frozen=True)
class Needed:
    """What would decide a claim; numbers are None where they are out of reach.

    Attributes:
        verdict: what it would be, if its effects are as measured.
        images: test images, with as many seeds a cell as now.
        seeds: seeds a cell, on as many images as now; None with one run, whose seeds are unknown.
        both: images and seeds, more of both by one factor; None where one of them is enough.
        runs: the fewest runs of its cells now. With 1 the images are those needed if seeds did
            not matter.
    """

    verdict: str
    images: int | None
    seeds: int | None
    both: tuple[int, int] | None
    runs: int


@dataclass(frozen=True)
class _Test:
    """Comparisons that have to pass one level: `every` one of them, or any."""

    differences: tuple[Quantity, ...]
    level: float
    every: bool

    def power(self, images: float, seeds: float | None) -> float:
        """Share of the samples that pass.

        Args:
            images: times as many as now.
            seeds: a cell; None: as many as now.
        """
        passed = []
        for each in self.differences:
            variance, freedom = _scaled(each, images, seeds)
            # Noise as it is now, made smaller; the mean of samples is that of the value.
            noise = each.samples - np.mean(each.samples)
            noise = noise * np.sqrt(variance / max(float(np.var(each.samples)), TINY))
            limit = stats.t.isf(self.level, freedom) * np.sqrt(variance)
            passed.append(each.value + noise > limit)

        combine = np.all if self.every else np.any
        return float(np.mean(combine(np.stack(passed), axis=0)))


TINY = 1e-300
"""In the place of a variance of zero: differences that are certain are decided."""


def _scaled(quantity: Quantity, images: float, seeds: float | None) -> tuple[float, float]:
    """Variance and degrees of freedom with other numbers of images and seeds."""
    total = float(np.var(quantity.samples))
    of_seeds = 0.0
    of_hits = 0.0
    parts = []

    of_images = total - sum(part.seeds + part.single for part in quantity.seeds)
    for part in quantity.seeds:
        runs = part.runs if seeds is None else seeds
        more = runs / part.runs
        now_seeds = part.seeds / more
        now_hits = part.single / (more * images)
        of_seeds += now_seeds
        of_hits += now_hits
        parts.append((now_seeds + now_hits, max(1, round(runs) - 1)))

    variance = max(0.0, of_images) / images + of_seeds + of_hits
    return variance, degrees_of_freedom(variance, parts)


def _test(verdict: Verdict, level: float) -> _Test:
    """What decides a claim in the direction in which its effects point."""
    over = [each.difference - each.bound for each in verdict.claim.comparisons]
    if min(each.value for each in over) > 0:
        return _Test(tuple(over), level, every=True)

    turned = [-each for each in over if each.value <= 0]
    return _Test(tuple(turned), level / len(over), every=False)


def needed(verdict: Verdict, level: float, images: int) -> Needed | None:
    """What would decide an undecided claim; None of other claims.

    Args:
        verdict: of the claim.
        level: the largest p-value that would decide it, corrected for the number of claims, see
            `corrected_level`.
        images: test images now.
    """
    if verdict.verdict != OPEN:
        return None

    test = _test(verdict, level)
    word = HOLDS if test.every else FAILS
    runs = min((each.runs for each in test.differences if each.runs is not None), default=1)

    enough = _smallest(lambda n: test.power(n / images, None), images, MOST_IMAGES)
    seeds = None
    both = None

    if runs > 1:
        seeds = _smallest(lambda s: test.power(1, s), runs, MOST_SEEDS)
        if enough is None and seeds is None:
            both = _more_of_both(test, images, runs)

    return Needed(word, enough, seeds, both, runs)


def _smallest(power: Callable[[float], float], above: int, most: int) -> int | None:
    """The smallest number above this one that has the power; None if there is none up to `most`."""
    if most <= above or power(most) < POWER:
        return None

    low = above
    high = most
    while high - low > 1:
        middle = (low + high) // 2
        if power(middle) < POWER:
            low = middle
        else:
            high = middle
    return high


def _more_of_both(test: _Test, images: int, runs: int) -> tuple[int, int] | None:
    """Images and seeds, more by one factor (seeds rounded up); None where that is not enough."""
    for seeds in range(runs + 1, MOST_SEEDS + 1):
        factor = seeds / runs
        if images * factor > MOST_IMAGES:
            return None
        if test.power(factor, seeds) >= POWER:
            return round(images * factor), seeds
    return None


def corrected_level(verdicts: Sequence[Verdict], level: float) -> float:
    """The level at which the next claim would be decided (Holm 1979).

    All p-values of the tested claims, two of each, are adjusted together. Those of decided claims
    are rejected already, so that the smallest of the others is compared with alpha by their number.

    Args:
        level: of all verdicts together, e.g. 0.95.
    """
    tested = [each for each in verdicts if each.claim.comparisons]
    decided = [each for each in tested if each.verdict != OPEN]
    return (1 - level) / max(1, 2 * len(tested) - len(decided))


def _about(count: int) -> str:
    """A number rounded up to two digits: 23,811 -> 24,000."""
    step = max(1, 10 ** (len(str(count)) - 2))
    return f"{-(-count // step) * step:,}"


def words(found: Needed, images: int) -> str:
    """What would decide a claim, in a sentence.

    Args:
        images: test images now.
    """
    if found.runs == 1:
        if found.images is None:
            return (
                f"More than {MOST_IMAGES:,} test images, even if seeds did not matter: the effect "
                "is too near to none."
            )
        return (
            f"About {_about(found.images)} test images to show that it {found.verdict}, if seeds did not "
            "matter. How much they do is unknown with one net a cell."
        )

    now = f"{found.runs} seeds a cell"
    ways = []
    if found.seeds is not None:
        ways.append(f"{found.seeds} seeds a cell on the {images:,} test images")
    if found.images is not None:
        ways.append(f"{_about(found.images)} test images with {now}")
    if found.both is not None:
        ways.append(f"{found.both[1]} seeds a cell and {_about(found.both[0])} test images")

    if not ways:
        return (
            f"Neither {MOST_SEEDS} seeds a cell nor {MOST_IMAGES:,} test images, nor both in "
            "proportion: the effect is too near to none."
        )

    text = f"About {', or '.join(ways)}, to show that it {found.verdict}"
    if found.images is None:
        text += ". More images alone do not help: the seeds differ too much"
    elif found.seeds is None:
        text += ". More seeds alone do not help: the images are too few"
    return f"{text}."


def needs(verdicts: Sequence[Verdict], level: float, images: int) -> dict[str, dict[str, Any]]:
    """What every undecided claim would need, by the claims' ids; numbers and a sentence.

    Args:
        level: of all verdicts together, e.g. 0.95.
        images: test images now.
    """
    corrected = corrected_level(verdicts, level)
    found = {each.claim.id: needed(each, corrected, images) for each in verdicts}
    return {name: _to_json(each, images) for name, each in found.items() if each is not None}


def _to_json(found: Needed, images: int) -> dict[str, Any]:
    """The numbers, and the sentence."""
    return {
        "verdict": found.verdict,
        "images": found.images,
        "seeds": found.seeds,
        "both": None if found.both is None else list(found.both),
        "words": words(found, images),
    }
