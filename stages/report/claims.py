"""The paper's eight claims as inequalities between test accuracies.

A claim holds if every one of its comparisons does: a difference of accuracies that lies above a
bound, which is 0 except for `params_monotone`. What has no cells in a run is not compared, and a
claim without a comparison is not tested.

Claims about nets with or without convolution, about budgets, labels and the ensemble count every
row of mimic nets, whatever its name: the family of its nets says whether they have convolution.
Claims about particular depths (`depth_order`, `mlp_best_depth`, `depth_beats_size`) count the
paper's rows only. Ablations and the nets of 2014 count in none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from stages.report.paper import convolutions, of_the_paper, paper_values, printed_rows
from stages.report.quantities import Quantity, largest, smallest
from stages.settings.groups import CellName

MLPS = ("mlp1", "mlp2", "mlp3", "mlp4", "mlp5")
CONVS = ("conv1", "conv2", "conv3", "conv4")
"""The paper's rows without and with convolution, by depth."""


@dataclass(frozen=True)
class Run:
    """What was tested.

    Attributes:
        accuracies: of each cell's nets.
        families: of each cell's nets, keys of FAMILIES.
        budgets: of the mimic nets, smallest first.
        tolerance, ceiling: fractions, `assess.tolerance_pct` and `assess.mlp_ceiling_pct`; the
            ceiling is None if there is none.
        ensemble: its accuracy, where it was tested.
    """

    accuracies: Mapping[CellName, Quantity]
    families: Mapping[CellName, str]
    budgets: tuple[str, ...]
    tolerance: float
    ceiling: float | None
    ensemble: Quantity | None = None

    def has_convolution(self, name: CellName) -> bool:
        """Whether a cell's nets have convolutional layers."""
        return convolutions(self.families[name]) > 0

    def is_printed(self, name: CellName) -> bool:
        """Whether a cell's row is the paper's: it has its name, and nets of its depth."""
        return of_the_paper(name.row, self.families[name])

    def are_the_same(self, name: CellName, other: CellName) -> bool:
        """Whether two cells of one row have the same nets, or both the paper's nets of that row."""
        same_family = self.families[name] == self.families[other]
        return same_family or (self.is_printed(name) and self.is_printed(other))

    def mimics(self, budget: str | None = None, convolution: bool | None = None) -> list[CellName]:
        """The cells of mimic nets, of rows of any name.

        Args:
            budget: only those of this budget.
            convolution: only nets with convolution, or only nets without.
        """
        return [
            name
            for name in self.accuracies
            if name.group == "mimic"
            and budget in (None, name.budget)
            and convolution in (None, self.has_convolution(name))
        ]

    def in_order(self, names: Sequence[CellName]) -> list[CellName]:
        """Cells of the paper's rows as the paper lists them, then those of other rows as before."""
        order = (*MLPS, *CONVS)

        def place(name: CellName) -> int:
            listed = name.row in order and self.is_printed(name)
            return order.index(name.row) if listed else len(order)

        return sorted(names, key=place)

    def row_name(self, name: CellName) -> str:
        """A cell's row: "narrow", or "conv2 (conv3)" if its nets are not the paper's `conv2`."""
        misleading = name.row in printed_rows() and not self.is_printed(name)
        return f"{name.row} ({self.families[name]})" if misleading else name.row

    def printed(self, rows: Sequence[str], budget: str) -> list[str]:
        """Those of the paper's rows that have mimic nets of this budget."""
        cells = {name.row for name in self.mimics(budget) if self.is_printed(name)}
        return [row for row in rows if row in cells]

    def of(self, row: str, budget: str) -> Quantity:
        """Accuracy of a row's mimic nets."""
        return self.accuracies[CellName("mimic", row, budget)]


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
        convs = run.in_order(run.mimics(budget, convolution=True))
        mlps = run.in_order(run.mimics(budget, convolution=False))
        claim.comparisons.extend(
            Comparison(
                f"{run.row_name(conv)} over {run.row_name(mlp)} at {budget}",
                run.accuracies[conv] - run.accuracies[mlp],
            )
            for conv in convs
            for mlp in mlps
        )

        if convs and mlps:
            weakest = smallest([run.accuracies[conv] for conv in convs])
            best = largest([run.accuracies[mlp] for mlp in mlps])
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
            for flat, deep in pairwise(run.printed(CONVS, budget))
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

    for listed in dict.fromkeys(name.row for name in run.in_order(run.mimics())):
        cells = [CellName("mimic", listed, budget) for budget in run.budgets]
        known = [name for name in cells if name in run.accuracies]
        row = run.row_name(known[0])
        claim.comparisons.extend(
            Comparison(
                f"{row}, {more.budget} over {less.budget}",
                run.accuracies[more] - run.accuracies[less],
                -run.tolerance,
            )
            for less, more in pairwise(known)
        )

        if len(known) > 1:
            claim.effects[row] = run.accuracies[known[-1]] - run.accuracies[known[0]]

    return claim


def _mlp_best_depth(run: Run) -> Claim:
    claim = Claim(
        "mlp_best_depth",
        "Of the nets without convolution those with two or three hidden layers are best",
        "best of two and three hidden layers over the best other depth",
    )

    for budget in run.budgets:
        middle = [run.of(row, budget) for row in run.printed(("mlp2", "mlp3"), budget)]
        others = run.printed(("mlp1", "mlp4", "mlp5"), budget)

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
    if low != high and run.printed(["conv2"], low) and run.printed(["conv1"], high):
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
        mimic = replace(name, group="mimic")
        if name.group != "hard" or mimic not in run.accuracies:
            continue

        if run.are_the_same(name, mimic):
            row = run.row_name(name)
            difference = run.accuracies[mimic] - hard
            claim.comparisons.append(
                Comparison(f"{row} at {name.budget}, mimic over hard", difference)
            )
            claim.effects[f"{row} {name.budget}"] = difference

    return claim


def _below_ensemble(run: Run) -> Claim:
    claim = Claim(
        "below_ensemble",
        "Every mimic net stays below the ensemble",
        "ensemble over the best mimic net",
    )

    cells = run.mimics()
    ensemble = run.ensemble

    if ensemble is not None and cells:
        claim.comparisons.extend(
            Comparison(
                f"ensemble over {run.row_name(name)} at {name.budget}",
                ensemble - run.accuracies[name],
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

    cells = run.mimics(convolution=False)
    ceiling = Quantity(run.ceiling, np.array(run.ceiling))
    claim.comparisons.extend(
        Comparison(
            f"{run.row_name(name)} at {name.budget} below {100 * run.ceiling:g}\u00a0%",
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

    families = {name: name.row for name in accuracies}
    run = Run(accuracies, families, tuple(printed["table2"]["budgets"]), 0.0, 0.75, ensemble)
    return {
        claim.id: {key: round(100 * effect.value, 4) for key, effect in claim.effects.items()}
        for claim in claims(run)
    }


def _printed(percent: float) -> Quantity:
    """An accuracy without uncertainty."""
    return Quantity(percent / 100, np.array([percent / 100]))
