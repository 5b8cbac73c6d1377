"""The paper's eight claims as inequalities between test accuracies.

A claim holds if every one of its comparisons does: a difference of accuracies that lies above a
bound, which is 0 except for `params_monotone`. What has no cells in a run is not compared, and a
claim without a comparison is not tested. Only the paper's own rows are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise

import numpy as np

from stages.report.paper import of_the_paper, paper_values
from stages.settings.groups import CellName, Group

MLPS = ("mlp1", "mlp2", "mlp3", "mlp4", "mlp5")
CONVS = ("conv1", "conv2", "conv3", "conv4")
"""The paper's rows without and with convolution, by depth."""


@dataclass(frozen=True)
class Quantity:
    """An accuracy or a difference of accuracies (fractions), with bootstrap samples (resamples,)."""

    value: float
    samples: np.ndarray

    def __sub__(self, other: Quantity | float) -> Quantity:
        if isinstance(other, Quantity):
            return Quantity(self.value - other.value, self.samples - other.samples)
        return Quantity(self.value - other, self.samples - other)


def largest(quantities: Sequence[Quantity]) -> Quantity:
    """The largest of them, in each resample separately."""

    def larger(a: Quantity, b: Quantity) -> Quantity:
        return Quantity(max(a.value, b.value), np.maximum(a.samples, b.samples))

    return reduce(larger, quantities)


def smallest(quantities: Sequence[Quantity]) -> Quantity:
    """The smallest of them, in each resample separately."""

    def smaller(a: Quantity, b: Quantity) -> Quantity:
        return Quantity(min(a.value, b.value), np.minimum(a.samples, b.samples))

    return reduce(smaller, quantities)


def of_the_papers_rows(
    accuracies: Mapping[CellName, Quantity], families: Mapping[CellName, str]
) -> dict[CellName, Quantity]:
    """The accuracies that claims compare: those of rows that are the paper's.

    Args:
        accuracies: of each cell's nets.
        families: of each cell's nets, keys of FAMILIES.
    """
    return {
        name: accuracy
        for name, accuracy in accuracies.items()
        if of_the_paper(name.row, families[name])
    }


@dataclass(frozen=True)
class Run:
    """What was tested.

    Attributes:
        accuracies: of each cell's nets.
        budgets: of the mimic nets, smallest first.
        tolerance, ceiling: fractions, `assess.tolerance_pct` and `assess.mlp_ceiling_pct`; the
            ceiling is None if there is none.
        ensemble: its accuracy, where it was tested.
    """

    accuracies: Mapping[CellName, Quantity]
    budgets: tuple[str, ...]
    tolerance: float
    ceiling: float | None
    ensemble: Quantity | None = None

    def has(self, row: str, budget: str, group: Group = "mimic") -> bool:
        """Whether there is this cell."""
        return CellName(group, row, budget) in self.accuracies

    def of(self, row: str, budget: str, group: Group = "mimic") -> Quantity:
        """Accuracy of a cell."""
        return self.accuracies[CellName(group, row, budget)]

    def mimics(self, rows: Sequence[str]) -> list[CellName]:
        """The mimic cells of some rows."""
        return [name for name in self.accuracies if name.group == "mimic" and name.row in rows]

    def some(self, rows: Sequence[str], budget: str) -> list[str]:
        """Those of the rows that have this budget."""
        return [row for row in rows if self.has(row, budget)]


@dataclass(frozen=True)
class Comparison:
    """One inequality: `difference` lies above `bound`."""

    name: str
    difference: Quantity
    bound: float = 0.0


@dataclass(frozen=True)
class Claim:
    """One claim and what this run says about it.

    Attributes:
        id: as in paper.json.
        statement: what must be true of every comparison.
        effect: what `effects` measure; positive values speak for the claim.
        effects: by budget or row.
    """

    id: str
    statement: str
    effect: str
    comparisons: list[Comparison] = field(default_factory=list)
    effects: dict[str, Quantity] = field(default_factory=dict)


def _conv_gap(run: Run) -> Claim:
    claim = Claim(
        "conv_gap",
        "Every net with convolution beats every net without, at the same budget",
        "the weakest net with convolution over the best net without",
    )

    for budget in run.budgets:
        convs = run.some(CONVS, budget)
        mlps = run.some(MLPS, budget)
        claim.comparisons.extend(
            Comparison(f"{conv} over {mlp} at {budget}", run.of(conv, budget) - run.of(mlp, budget))
            for conv in convs
            for mlp in mlps
        )
        if convs and mlps:
            weakest = smallest([run.of(conv, budget) for conv in convs])
            best = largest([run.of(mlp, budget) for mlp in mlps])
            claim.effects[budget] = weakest - best
    return claim


def _depth_order(run: Run) -> Claim:
    claim = Claim(
        "depth_order",
        "Every further convolutional layer helps, at every budget",
        "smallest step from one depth to the next",
    )

    for budget in run.budgets:
        steps = [
            Comparison(
                f"{deep} over {flat} at {budget}", run.of(deep, budget) - run.of(flat, budget)
            )
            for flat, deep in pairwise(run.some(CONVS, budget))
        ]
        if steps:
            claim.comparisons.extend(steps)
            claim.effects[budget] = smallest([step.difference for step in steps])
    return claim


def _params_monotone(run: Run) -> Claim:
    claim = Claim(
        "params_monotone",
        f"Accuracy never falls by {100 * run.tolerance:g} points or more as the budget grows",
        "largest budget over the smallest",
    )

    for row in (*MLPS, *CONVS):
        budgets = [budget for budget in run.budgets if run.has(row, budget)]
        claim.comparisons.extend(
            Comparison(
                f"{row}, {more} over {less}", run.of(row, more) - run.of(row, less), -run.tolerance
            )
            for less, more in pairwise(budgets)
        )
        if len(budgets) > 1:
            claim.effects[row] = run.of(row, budgets[-1]) - run.of(row, budgets[0])
    return claim


def _mlp_best_depth(run: Run) -> Claim:
    claim = Claim(
        "mlp_best_depth",
        "Of the nets without convolution those with two or three hidden layers are best",
        "best of two and three hidden layers over the best other depth",
    )

    for budget in run.budgets:
        middle = [run.of(row, budget) for row in run.some(("mlp2", "mlp3"), budget)]
        others = run.some(("mlp1", "mlp4", "mlp5"), budget)
        if middle and others:
            claim.comparisons.extend(
                Comparison(
                    f"mlp2 or mlp3 over {row} at {budget}", largest(middle) - run.of(row, budget)
                )
                for row in others
            )
            best_other = largest([run.of(row, budget) for row in others])
            claim.effects[budget] = largest(middle) - best_other
    return claim


def _depth_beats_size(run: Run) -> Claim:
    claim = Claim(
        "depth_beats_size",
        "Two convolutional layers at the smallest budget beat one at the largest",
        "conv2 at the smallest budget over conv1 at the largest",
    )

    low = run.budgets[0]
    high = run.budgets[-1]
    if low != high and run.has("conv2", low) and run.has("conv1", high):
        difference = run.of("conv2", low) - run.of("conv1", high)
        claim.comparisons.append(Comparison(f"conv2 at {low} over conv1 at {high}", difference))
        claim.effects[""] = difference
    return claim


def _compression_gap(run: Run) -> Claim:
    claim = Claim(
        "compression_gap",
        "A net that mimics the ensemble beats the same net trained on the true labels",
        "mimic over hard labels",
    )

    for name, hard in run.accuracies.items():
        row = name.row
        budget = name.budget
        if name.group == "hard" and row in (*MLPS, *CONVS) and run.has(row, budget):
            difference = run.of(row, budget) - hard
            claim.comparisons.append(Comparison(f"{row} at {budget}, mimic over hard", difference))
            claim.effects[f"{row} {budget}"] = difference
    return claim


def _below_ensemble(run: Run) -> Claim:
    claim = Claim(
        "below_ensemble",
        "Every mimic net stays below the ensemble",
        "ensemble over the best mimic net",
    )

    cells = run.mimics((*MLPS, *CONVS))
    ensemble = run.ensemble
    if ensemble is not None and cells:
        claim.comparisons.extend(
            Comparison(
                f"ensemble over {name.row} at {name.budget}", ensemble - run.accuracies[name]
            )
            for name in cells
        )
        claim.effects[""] = ensemble - largest([run.accuracies[name] for name in cells])
    return claim


def _mlp_ceiling(run: Run) -> Claim:
    if run.ceiling is None:
        return Claim(
            "mlp_ceiling",
            "No net without convolution reaches a ceiling (assess.mlp_ceiling_pct)",
            "",
        )

    claim = Claim(
        "mlp_ceiling",
        f"No net without convolution reaches {100 * run.ceiling:g}\u00a0%",
        f"{100 * run.ceiling:g}\u00a0% over the best net without convolution",
    )

    cells = run.mimics(MLPS)
    ceiling = Quantity(run.ceiling, np.array(run.ceiling))
    claim.comparisons.extend(
        Comparison(
            f"{name.row} at {name.budget} below {100 * run.ceiling:g}\u00a0%",
            ceiling - run.accuracies[name],
        )
        for name in cells
    )
    if cells:
        claim.effects[""] = ceiling - largest([run.accuracies[name] for name in cells])
    return claim


CLAIMS: tuple[Callable[[Run], Claim], ...] = (
    _conv_gap,
    _depth_order,
    _params_monotone,
    _mlp_best_depth,
    _depth_beats_size,
    _compression_gap,
    _below_ensemble,
    _mlp_ceiling,
)


def claims(run: Run) -> list[Claim]:
    """All eight, in the paper's order (Urban et al. 2017, sections 3 and 4, Tables 1 and 2)."""
    return [make(run) for make in CLAIMS]


def paper_effects() -> dict[str, dict[str, float]]:
    """Each claim's effects from the accuracies that the paper prints, in percentage points.

    They come out of the same functions: Table 1 and Table 2 are read as a run without uncertainty.
    """
    printed = paper_values()
    accuracies = {
        CellName("mimic", row, budget): _printed(percent)
        for row, entry in printed["table2"]["rows"].items()
        for budget, percent in entry["accuracy"].items()
    }

    ensemble = None
    for entry in printed["table1"]:
        model = entry["model"]
        accuracy = _printed(entry["test_accuracy_pct"])
        if model.endswith("conv. layer"):
            accuracies[CellName("hard", f"conv{model[0]}", "10M")] = accuracy
        if model.startswith("Ensemble of 16"):
            ensemble = accuracy

    run = Run(accuracies, tuple(printed["table2"]["budgets"]), 0.0, 0.75, ensemble)
    return {
        claim.id: {key: round(100 * effect.value, 4) for key, effect in claim.effects.items()}
        for claim in claims(run)
    }


def _printed(percent: float) -> Quantity:
    """An accuracy without uncertainty."""
    return Quantity(percent / 100, np.array([percent / 100]))
