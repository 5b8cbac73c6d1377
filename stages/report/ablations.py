"""Variants of mimic nets beside the nets of which they are variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from stages.report.quantities import Quantity
from stages.report.statistics import holm
from stages.report.tables import markdown, per_cent
from stages.report.words import BETTER, OPEN, WORSE

COLUMNS = [
    "row",
    "of",
    "budget",
    "what",
    "measure",
    "number",
    "accuracy_pct",
    "base_pct",
    "difference_pct",
    "low_pct",
    "high_pct",
    "p",
    "verdict",
]
MEASURES = {"epochs": "transfer epochs", "members": "members of the ensemble"}
"""What has a number, so that variants that differ in it alone are a series."""


@dataclass(frozen=True)
class Pair:
    """One variant and its base at one budget.

    Attributes:
        row, of, budget: the variant, its base, the budget of both.
        entry: what params.yaml says of the variant.
        variant, base: their test accuracies.
    """

    row: str
    of: str
    budget: str
    entry: Mapping[str, Any]
    variant: Quantity
    base: Quantity


def described(entry: Mapping[str, Any]) -> str:
    """What differs, in words, from an entry of `ablation_rows`; of its ranges only dropout's."""
    words = []

    decay = entry.get("weight_decay")
    if decay is not None:
        words.append(f"weight decay {decay:g}")

    loss = entry.get("loss")
    if loss is not None:
        labels = f"{per_cent(100 * loss['hard_weight'], 0)} true labels"
        mixed = f"temperature {loss['temperature']:g}, {labels}"
        words.append(f"distillation ({mixed}) instead of L2 on logits")

    epochs = entry.get("epochs")
    if epochs is not None:
        words.append("one stored epoch" if epochs == 1 else f"{epochs} stored epochs")

    members = entry.get("members")
    if members is not None:
        alone = "labels of the best teacher alone"
        words.append(alone if members == 1 else f"labels of {members} members")

    if entry.get("fresh"):
        words.append("fresh augmentation in every epoch")

    if entry.get("unlabelled") is False:
        words.append("labelled images alone")

    net = entry.get("net")
    if net is not None:
        words.append("no linear bottleneck" if net.endswith("-plain") else f"net {net}")

    dropouts = [name for name in entry.get("space", {}) if name.startswith("DO")]
    if dropouts:
        words.append(f"dropout ({', '.join(dropouts)})")

    return "; ".join(words) or "nothing"


def table(pairs: Sequence[Pair], level: float) -> pd.DataFrame:
    """A line a pair; columns COLUMNS, accuracies in percent.

    `measure` and its `number` are given where the variant differs in that alone. `p` is two-sided
    and adjusted for the number of pairs (Holm 1979); intervals are not.
    """
    differences = [pair.variant - pair.base for pair in pairs]
    tails = [min(each.p_value(0.0), (-each).p_value(0.0)) for each in differences]
    adjusted = holm([min(1.0, 2 * tail) for tail in tails])

    lines = []
    for pair, difference, p in zip(pairs, differences, adjusted, strict=True):
        low, high = difference.interval(level)
        shares = (pair.variant.value, pair.base.value, difference.value, low, high)
        points = [round(100 * share, 4) for share in shares]

        verdict = OPEN
        if p <= 1 - level:
            verdict = BETTER if difference.value > 0 else WORSE

        measure, number = _measured(pair.entry)
        what = described(pair.entry)
        name = (pair.row, pair.of, pair.budget, what)
        lines.append((*name, measure, number, *points, float(f"{p:.3g}"), verdict))

    return pd.DataFrame(lines, columns=COLUMNS).astype({"number": "Int64"})


def _measured(entry: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """The measure in which alone a variant differs, and its number; None where there is none."""
    changed = [
        name for name, value in entry.items() if name != "of" and value not in (None, {}, False)
    ]
    if len(changed) != 1 or changed[0] not in MEASURES:
        return None, None
    return MEASURES[changed[0]], entry[changed[0]]


def sentence(line: Any) -> str:
    """One line of `table` in words."""
    change = {
        BETTER: f"is better by {line.difference_pct:.2f} points",
        WORSE: f"is worse by {-line.difference_pct:.2f} points",
        OPEN: f"makes no difference that this run could show ({line.difference_pct:+.2f} points)",
    }[line.verdict]

    return (
        f"With {line.what} {line.of} at {line.budget} {change}: {per_cent(line.accuracy_pct)} "
        f"instead of {per_cent(line.base_pct)}, "
        f"interval [{line.low_pct:+.2f}, {line.high_pct:+.2f}]."
    )


def to_markdown(frame: pd.DataFrame, caption: str) -> str:
    """The table, then a sentence for each line; one sentence where nothing was varied."""
    if frame.empty:
        return (
            f"{caption}\n\nNothing was varied: `ablations.rows` or `ablations.budgets` is empty.\n"
        )

    head = [
        "Variant",
        "Budget",
        "What is different",
        "Accuracy",
        "Base",
        "Difference, points",
        "p",
        "Verdict",
    ]

    lines = [
        [
            line.row,
            line.budget,
            line.what,
            per_cent(line.accuracy_pct),
            f"{line.of}: {per_cent(line.base_pct)}",
            f"{line.difference_pct:+.2f} [{line.low_pct:+.2f}, {line.high_pct:+.2f}]",
            f"{line.p:.3f}",
            line.verdict,
        ]
        for line in frame.itertuples()
    ]

    sentences = "\n".join(f"- {sentence(line)}" for line in frame.itertuples())
    return f"{markdown(caption, head, lines, words=3)}\n{sentences}\n"
