"""Verdicts on the claims with their uncertainty, as JSON and Markdown.

A claim holds if all of its comparisons do, so the largest of their p-values tests it and needs no
correction (the intersection-union test, Berger 1982). It does not hold if one of them is turned
round, so the smallest of the p-values to the other side is multiplied by their number (Bonferroni).
These two p-values of every claim are then adjusted together (Holm 1979): all verdicts of a page are
right at the same time with the probability `level`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.report.claims import Claim, Comparison
from stages.report.quantities import Quantity
from stages.report.statistics import holm
from stages.report.tables import markdown
from stages.report.words import FAILS, HOLDS, OPEN, UNTESTED


@dataclass(frozen=True)
class Verdict:
    """A claim judged; p-values are None where it has no comparison.

    Attributes:
        p_holds: of "one comparison at least fails"; adjusted.
        p_fails: of "no comparison fails"; adjusted.
        weakest: the comparison that speaks most against the claim: of one that fails, the one that
            turned it; of equal p-values, which 0 and 1 often are, that of the smallest difference.
    """

    claim: Claim
    verdict: str
    p_holds: float | None
    p_fails: float | None
    weakest: Comparison | None


def judge(claims: Sequence[Claim], level: float) -> list[Verdict]:
    """The verdict on each claim, `level` for all of them together."""
    tested = [claim for claim in claims if claim.comparisons]
    holds = [max(_tail(each) for each in claim.comparisons) for claim in tested]
    turned = [min(_tail(each, turned=True) for each in claim.comparisons) for claim in tested]
    fails = [
        min(1.0, len(claim.comparisons) * tail) for claim, tail in zip(tested, turned, strict=True)
    ]

    adjusted = holm([*holds, *fails])
    both = zip(adjusted[: len(tested)], adjusted[len(tested) :], strict=True)
    pairs = {claim.id: pair for claim, pair in zip(tested, both, strict=True)}
    return [_verdict(claim, pairs.get(claim.id), 1 - level) for claim in claims]


def _tail(comparison: Comparison, turned: bool = False) -> float:
    """p-value of "the difference is at most its bound"; `turned`, of "at least"."""
    if turned:
        return (-comparison.difference).p_value(-comparison.bound)
    return comparison.difference.p_value(comparison.bound)


def _verdict(claim: Claim, p: tuple[float, float] | None, alpha: float) -> Verdict:
    if p is None:
        return Verdict(claim, UNTESTED, None, None, None)

    word = HOLDS if p[0] <= alpha else FAILS if p[1] <= alpha else OPEN

    def against(comparison: Comparison) -> tuple[float, float]:
        tail = -_tail(comparison, turned=True) if word == FAILS else _tail(comparison)
        return tail, comparison.bound - comparison.difference.value

    return Verdict(claim, word, *p, max(claim.comparisons, key=against))


def _points(quantity: Quantity, level: float) -> dict[str, float]:
    low, high = quantity.interval(level)
    return {
        "value_pct": round(100 * quantity.value, 4),
        "low_pct": round(100 * low, 4),
        "high_pct": round(100 * high, 4),
    }


def to_json(
    verdicts: Sequence[Verdict],
    paper: dict[str, dict[str, float]],
    level: float,
    needs: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    """Everything that claims.json says, by the claims' ids.

    Intervals are those of single differences, not adjusted for their number.

    Args:
        paper: the paper's own effects, see `claims.paper_effects`.
        needs: what would decide the undecided claims, see `power.needs`.
    """
    return {
        each.claim.id: {
            "statement": each.claim.statement,
            "verdict": each.verdict,
            "comparisons": len(each.claim.comparisons),
            "p_holds": _rounded(each.p_holds),
            "p_fails": _rounded(each.p_fails),
            "weakest": _weakest(each.weakest, level),
            "effect": each.claim.effect,
            "effects": {key: _points(effect, level) for key, effect in each.claim.effects.items()},
            "paper": paper[each.claim.id],
            "needs": needs.get(each.claim.id),
        }
        for each in verdicts
    }


def _weakest(comparison: Comparison | None, level: float) -> dict[str, Any] | None:
    if comparison is None:
        return None
    return {
        "name": comparison.name,
        "bound_pct": round(100 * comparison.bound, 4),
        **_points(comparison.difference, level),
    }


def _rounded(p: float | None) -> float | None:
    return None if p is None else float(f"{p:.3g}")


def to_markdown(answers: dict[str, Any], caption: str) -> str:
    """Tables of `to_json`'s claims: verdicts, what undecided ones need, effects beside the paper's."""
    judged = [_verdict_line(entry) for entry in answers.values()]
    head = ["Claim", "Verdict", "Nearest to failing, points", "Comparisons", "p"]

    effects = [line for entry in answers.values() for line in _effect_lines(entry)]
    second = ["Effect", "Where", "This run, points", "Paper (CIFAR-10)"]
    note = (
        "Effects: differences of test accuracy in percentage points, positive where they speak "
        "for the claim."
    )

    tables = [
        markdown(caption, head, judged, words=2),
        *_undecided(answers),
        markdown(note, second, effects, words=2),
    ]
    return "\n".join(tables)


def _undecided(answers: dict[str, Any]) -> list[str]:
    """The table of what undecided claims would need; none where all are decided."""
    lines = [
        [entry["statement"], entry["needs"]["words"]]
        for entry in answers.values()
        if entry["needs"] is not None
    ]
    if not lines:
        return []

    note = (
        "Undecided claims: what would decide them with a probability of 80\u00a0%, if their effects "
        "are as measured."
    )
    return [markdown(note, ["Undecided", "What it takes"], lines, words=2)]


def _verdict_line(entry: dict[str, Any]) -> list[str]:
    """A claim, its verdict, and what the verdict rests on."""
    weakest = entry["weakest"]
    nearest = "" if weakest is None else f"{weakest['name']}: {_interval(weakest)}"
    count = str(entry["comparisons"]) if entry["comparisons"] else ""
    p = entry["p_fails" if entry["verdict"] == FAILS else "p_holds"]
    words = "" if p is None else _p(p)
    return [entry["statement"], f"**{entry['verdict']}**", nearest, count, words]


def _effect_lines(entry: dict[str, Any]) -> list[list[str]]:
    """A claim's effects beside the paper's, a line a key; the first one says what they measure."""
    lines = []
    for i, key in enumerate(dict.fromkeys([*entry["effects"], *entry["paper"]])):
        here = entry["effects"].get(key)
        paper = entry["paper"].get(key)
        measured = "" if here is None else _interval(here)
        printed = "" if paper is None else f"{paper:+.2f}"
        lines.append(["" if i else entry["effect"], key, measured, printed])

    return lines


def _interval(entry: dict[str, float]) -> str:
    return f"{entry['value_pct']:+.2f} [{entry['low_pct']:+.2f}, {entry['high_pct']:+.2f}]"


def _p(value: float) -> str:
    return "< 0.001" if value < 1e-3 else f"{math.floor(value * 1000 + 0.5) / 1000:.3f}"
