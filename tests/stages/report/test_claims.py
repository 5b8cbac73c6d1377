"""Claims and verdicts: on the paper's own numbers, on made-up nets, and turned round."""

from __future__ import annotations

import numpy as np
import pytest

from stages.report import claims, verdicts
from stages.report.quantities import Quantity
from stages.report.statistics import joint_bootstrap
from stages.settings.groups import CellName

BUDGETS = ("1M", "10M")
LEVEL = 0.95


Key = CellName | None
"""A cell; None is the ensemble."""


def accuracies() -> dict[Key, float]:
    """Of a world in which every claim of the paper is true."""
    found: dict[Key, float] = {None: 0.97}
    for step, budget in enumerate(BUDGETS):
        for row, share in zip(claims.MLPS, (0.40, 0.50, 0.48, 0.42, 0.38), strict=True):
            found[mimic(row, budget)] = share + 0.03 * step
        for row, share in zip(claims.CONVS, (0.60, 0.70, 0.80, 0.90), strict=True):
            found[mimic(row, budget)] = share + 0.03 * step
            found[CellName("hard", row, "10M")] = share - 0.05
    return found


def hits(shares: dict[Key, float], images: int = 4000, seed: int = 1) -> dict[Key, np.ndarray]:
    """One run each; an easy image is easy for every net, as in life."""
    rng = np.random.default_rng(seed)
    hard = rng.random(images)
    return {
        key: (hard + rng.normal(0, 0.05, images) < share)[None] for key, share in shares.items()
    }


def judge(
    nets: dict[Key, np.ndarray],
    ceiling: float = 0.56,
    tolerance: float = 0.005,
    families: dict[str, str] | None = None,
) -> dict:
    """Verdicts by id.

    Args:
        families: row -> the family of its nets, of rows that have no family's name.
    """
    samples = joint_bootstrap(list(nets.values()), 1000, np.random.default_rng(2))
    quantities = {
        key: Quantity(float(own.mean()), samples[:, i]) for i, (key, own) in enumerate(nets.items())
    }
    ensemble = quantities.pop(None, None)
    mimics = {name.budget for name in quantities if name.group == "mimic"}
    budgets = tuple(budget for budget in BUDGETS if budget in mimics)
    known = {name: (families or {}).get(name.row, name.row) for name in quantities}
    run = claims.Run(quantities, known, budgets, tolerance, ceiling, ensemble)
    found = verdicts.judge(claims.claims(run), LEVEL)
    return {each.claim.id: each for each in found}


def test_the_effects_of_the_papers_own_tables() -> None:
    """Differences of the printed accuracies (Tables 1 and 2), worked out by hand."""
    found = claims.paper_effects()
    assert found["conv_gap"] == {"1M": 17.7, "3.16M": 15.3, "10M": 13.9, "31.6M": 13.4}
    assert found["depth_order"] == {"1M": 0.6, "3.16M": 0.2, "10M": 0.7, "31.6M": 0.3}
    assert found["params_monotone"] == {
        "mlp1": 4.4,
        "mlp2": 8.1,
        "mlp3": 7.1,
        "mlp4": 5.3,
        "mlp5": 5.1,
        "conv1": 3.2,
        "conv2": 2.4,
        "conv3": 1.6,
        "conv4": 1.3,
    }
    assert found["mlp_best_depth"] == {"1M": 0.1, "3.16M": 1.0, "10M": 1.8, "31.6M": 2.3}
    assert found["compression_gap"] == {
        "conv1 10M": 2.7,
        "conv2 10M": 1.1,
        "conv3 10M": 0.7,
        "conv4 10M": 0.85,
    }
    assert (found["depth_beats_size"], found["below_ensemble"], found["mlp_ceiling"]) == (
        {"": 0.2},
        {"": 1.2},
        {"": 0.7},
    )


def swapped(nets: dict, *pairs: tuple[Key, Key]) -> dict:
    """The same nets with the hits of each pair exchanged."""
    other = dict(nets)
    for a, b in pairs:
        other[a], other[b] = other[b], other[a]
    return other


def mimic(row: str, budget: str) -> CellName:
    return CellName("mimic", row, budget)


TURNED = {
    "conv_gap": [(mimic("conv1", "1M"), mimic("mlp5", "1M"))],
    "depth_order": [(mimic("conv2", "10M"), mimic("conv3", "10M"))],
    "params_monotone": [(mimic("mlp3", "1M"), mimic("mlp3", "10M"))],
    "mlp_best_depth": [
        (mimic("mlp2", "1M"), mimic("mlp4", "1M")),
        (mimic("mlp3", "1M"), mimic("mlp5", "1M")),
    ],
    "depth_beats_size": [(mimic("conv1", "10M"), mimic("conv2", "1M"))],
    "compression_gap": [(mimic("conv2", "10M"), CellName("hard", "conv2", "10M"))],
    "below_ensemble": [(mimic("conv4", "10M"), None)],
    "mlp_ceiling": [(mimic("mlp1", "10M"), mimic("conv1", "10M"))],
}


def test_every_claim_holds_where_it_is_true() -> None:
    found = judge(hits(accuracies()))
    assert list(found) == list(TURNED)
    assert {each.verdict for each in found.values()} == {verdicts.HOLDS}


@pytest.mark.parametrize("name", TURNED)
def test_a_claim_turns_with_its_data(name: str) -> None:
    nets = hits(accuracies())
    each = judge(swapped(nets, *TURNED[name]))[name]
    assert each.verdict == verdicts.FAILS, each
    assert each.p_fails < 0.01 < each.p_holds
    assert each.weakest.difference.value < each.weakest.bound


@pytest.mark.parametrize("name", TURNED)
def test_few_images_decide_nothing(name: str) -> None:
    """Nets that are as good as each other: neither verdict."""
    shares = dict.fromkeys(accuracies(), 0.56)
    assert judge(hits(shares, 200), tolerance=0.0)[name].verdict == verdicts.OPEN


def test_one_comparison_in_twenty_is_enough_to_open_a_claim() -> None:
    shares = accuracies()
    shares[mimic("conv1", "1M")] = shares[mimic("mlp2", "1M")]
    each = judge(hits(shares))["conv_gap"]
    assert each.verdict == verdicts.OPEN and each.weakest.name == "conv1 over mlp2 at 1M"


def weakest_of(*values: float) -> verdicts.Verdict:
    """A claim of comparisons with these differences, all of them sure."""
    compared = [claims.Comparison(f"{v:+g}", Quantity(v, np.full(500, v))) for v in values]
    (each,) = verdicts.judge([claims.Claim("a", "so", "difference", compared)], 0.95)
    return each


def test_the_nearest_to_failing_is_that_of_the_smallest_difference_where_all_are_sure() -> None:
    assert (weakest_of(0.4, 0.1, 0.3).verdict, weakest_of(0.4, 0.1, 0.3).weakest.name) == (
        verdicts.HOLDS,
        "+0.1",
    )


def test_a_claim_that_fails_names_the_comparison_that_turned_it() -> None:
    each = weakest_of(0.0, 0.2, -0.01, -0.24)
    assert (each.verdict, each.weakest.name) == (verdicts.FAILS, "-0.24")


def test_what_is_missing_is_not_tested() -> None:
    nets = {
        key: net
        for key, net in hits(accuracies()).items()
        if key and key.row in ("mlp2", "conv1") and key.budget == "1M"
    }
    found = judge(nets)
    assert (
        found["conv_gap"].verdict == verdicts.HOLDS
        and len(found["conv_gap"].claim.comparisons) == 1
    )
    untested = {name for name, each in found.items() if each.verdict == verdicts.UNTESTED}
    assert untested == set(TURNED) - {"conv_gap", "mlp_ceiling"}
    assert found["depth_order"].p_holds is None


def test_a_fall_within_the_tolerance_is_no_fall() -> None:
    shares = accuracies()
    for row in (*claims.MLPS, *claims.CONVS):
        shares[mimic(row, "10M")] = shares[mimic(row, "1M")] + 0.04
    shares[mimic("conv4", "10M")] = shares[mimic("conv4", "1M")]
    nets = hits(shares)
    nets[mimic("conv4", "10M")] = nets[mimic("conv4", "1M")].copy()
    nets[mimic("conv4", "10M")][0, np.flatnonzero(nets[mimic("conv4", "10M")][0])[:4]] = (
        False  # a tenth of a point
    )
    assert judge(nets, tolerance=0.005)["params_monotone"].verdict == verdicts.HOLDS
    assert judge(nets, tolerance=0.0)["params_monotone"].verdict != verdicts.HOLDS


def test_claims_about_equal_nets_rarely_hold() -> None:
    """Of equal nets "conv1 beats mlp1" holds in at most 5 % of worlds, and fails in as few."""
    rng = np.random.default_rng(4)
    found = []
    for _ in range(300):
        nets = {mimic(row, "1M"): rng.random((1, 300)) < 0.6 for row in ("conv1", "mlp1")}
        samples = joint_bootstrap(list(nets.values()), 200, rng)
        both = [Quantity(float(net.mean()), samples[:, i]) for i, net in enumerate(nets.values())]
        claim = claims.Claim("one", "", "", [claims.Comparison("", both[0] - both[1])])
        found.append(verdicts.judge([claim], LEVEL)[0].verdict)
    assert (
        found.count(verdicts.HOLDS) / 300 < 0.05 + 0.03
        and found.count(verdicts.FAILS) / 300 < 0.05 + 0.03
    )


def test_many_claims_need_better_evidence_than_one() -> None:
    """A p-value of about 0.01 is enough for one claim and its contrary, not for one of eight."""
    draws = np.random.default_rng(5).normal(0, 1, 4000)

    def claim(name: str, value: float) -> claims.Claim:
        return claims.Claim(
            name,
            "",
            "",
            [claims.Comparison("", Quantity(value, value + draws / draws.std()))],
        )

    alone = verdicts.judge([claim("one", 2.326)], LEVEL)[0]
    assert alone.verdict == verdicts.HOLDS and alone.p_holds == pytest.approx(0.02, rel=0.01), (
        "twice 0.01"
    )
    among = verdicts.judge([claim("one", 2.326), *(claim(f"{i}", 0.0) for i in range(7))], LEVEL)[0]
    assert among.verdict == verdicts.OPEN and among.p_holds == pytest.approx(0.16, rel=0.01), (
        "sixteen times 0.01"
    )


def test_json_and_markdown() -> None:
    nets = hits(accuracies())
    found = verdicts.to_json(list(judge(nets).values()), claims.paper_effects(), LEVEL, {})
    entry = found["depth_beats_size"]
    assert entry["verdict"] == "holds" and entry["comparisons"] == 1 and entry["paper"] == {"": 0.2}
    difference = nets[mimic("conv2", "1M")].mean() - nets[mimic("conv1", "10M")].mean()
    assert entry["effects"][""]["value_pct"] == pytest.approx(100 * difference, abs=1e-4)
    assert entry["effects"][""]["low_pct"] < 100 * difference < entry["effects"][""]["high_pct"]
    text = verdicts.to_markdown(found, "caption")
    assert text.count("**holds**") == 8 and "conv2 at 1M over conv1 at 10M" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {5, 6}


def test_what_an_undecided_claim_needs_stands_beside_it() -> None:
    judged = list(judge(hits(accuracies())).values())
    needs = {"conv_gap": {"words": "About 9 test images."}}
    found = verdicts.to_json(judged, claims.paper_effects(), LEVEL, needs)
    assert found["conv_gap"]["needs"] == needs["conv_gap"]
    assert found["depth_order"]["needs"] is None
    text = verdicts.to_markdown(found, "caption")
    assert text.count("About 9 test images.") == 1 and "with a probability of 80\u00a0%" in text
    decided = verdicts.to_json(judged, claims.paper_effects(), LEVEL, {})
    assert "Undecided" not in verdicts.to_markdown(decided, "caption")


def compared(
    shares: dict[CellName, float],
    families: dict[CellName, str],
    budgets: tuple[str, ...] = ("1M",),
) -> dict[str, claims.Claim]:
    """Claims by id, of accuracies without uncertainty; the ceiling is 0.75, the ensemble's 0.8."""
    quantities = {name: Quantity(share, np.array([share])) for name, share in shares.items()}
    ensemble = Quantity(0.8, np.array([0.8]))
    run = claims.Run(quantities, families, budgets, 0.005, 0.75, ensemble)
    return {each.id: each for each in claims.claims(run)}


def names(claim: claims.Claim) -> list[str]:
    """What a claim compares."""
    return [each.name for each in claim.comparisons]


def test_a_row_of_any_name_counts_by_its_nets() -> None:
    """As docs/statistics.md says: `narrow` has convolution, and `conv-like` has none."""
    families = {
        mimic("conv-like", "1M"): "mlp2",
        mimic("narrow", "1M"): "conv2",
        mimic("mlp2", "1M"): "mlp2",
        mimic("conv1", "1M"): "conv1-plain",
        mimic("conv2", "1M"): "mlp1",
    }
    shares = dict(zip(families, (0.5, 0.55, 0.4, 0.6, 0.3), strict=True))
    claim = compared(shares, families)

    assert names(claim["conv_gap"]) == [
        "conv1 over mlp2 at 1M",
        "conv1 over conv-like at 1M",
        "conv1 over conv2 (mlp1) at 1M",
        "narrow over mlp2 at 1M",
        "narrow over conv-like at 1M",
        "narrow over conv2 (mlp1) at 1M",
    ]
    assert claim["conv_gap"].effects["1M"].value == pytest.approx(0.05), "narrow over conv-like"
    assert len(claim["below_ensemble"].comparisons) == 5
    assert claim["below_ensemble"].effects[""].value == pytest.approx(0.2)
    assert len(claim["mlp_ceiling"].comparisons) == 3
    assert claim["mlp_ceiling"].effects[""].value == pytest.approx(0.25)
    assert not claim["depth_order"].comparisons, "conv2 is none here"
    assert not claim["mlp_best_depth"].comparisons, "mlp1 is not there by its name"


def test_rows_of_any_name_count_over_budgets_and_labels() -> None:
    """A name of the paper with other nets is told from the paper's own, whose values are beside."""
    families = {
        mimic("conv2", "1M"): "conv3",
        mimic("conv2", "10M"): "conv3",
        mimic("narrow", "1M"): "conv2",
        mimic("narrow", "10M"): "conv2",
        mimic("conv1", "1M"): "conv1",
        CellName("hard", "conv2", "1M"): "conv3",
        CellName("hard", "narrow", "1M"): "conv2",
        CellName("hard", "narrow", "10M"): "conv1",
        CellName("hard", "conv1", "1M"): "conv1-plain",
    }
    shares = dict(zip(families, (0.7, 0.6, 0.5, 0.6, 0.4, 0.6, 0.5, 0.5, 0.3), strict=True))
    claim = compared(shares, families, BUDGETS)

    grown = {key: effect.value for key, effect in claim["params_monotone"].effects.items()}
    assert grown == pytest.approx({"conv2 (conv3)": -0.1, "narrow": 0.1})
    mimicking = {key: effect.value for key, effect in claim["compression_gap"].effects.items()}
    assert mimicking == pytest.approx({"conv2 (conv3) 1M": 0.1, "narrow 1M": 0.0, "conv1 1M": 0.1})
    assert not claim["depth_beats_size"].comparisons


def test_variants_and_the_nets_of_2014_do_not_count() -> None:
    teacher = CellName("teacher_2014", "cnn-2014", "1M")
    families = {
        mimic("mlp1", "1M"): "mlp1",
        mimic("conv1", "1M"): "conv1",
        CellName("hard", "conv1", "1M"): "conv1",
        CellName("ablation", "conv1-dropout", "1M"): "conv1",
        CellName("ablation", "conv1-dropout", "10M"): "conv1",
        teacher: "cnn-2014",
        CellName("student_2014", "snn-2014", "1M", teacher): "snn-2014",
        CellName("student_2014", "cnn-2014", "1M", teacher): "cnn-2014",
    }
    claim = compared(dict.fromkeys(families, 0.5), families)
    counts = {name: len(each.comparisons) for name, each in claim.items() if each.comparisons}
    assert counts == {"conv_gap": 1, "compression_gap": 1, "below_ensemble": 2, "mlp_ceiling": 1}


@pytest.mark.parametrize(
    ("row", "family", "share", "turned"),
    [("narrow", "conv2", 0.30, "conv_gap"), ("conv-like", "mlp2", 0.60, "mlp_ceiling")],
)
def test_a_further_row_turns_a_claim(row: str, family: str, share: float, turned: str) -> None:
    """One bad net with convolution, or one good net without, is enough."""
    nets = hits({**accuracies(), mimic(row, "10M"): share})
    verdict = {name: each.verdict for name, each in judge(nets, families={row: family}).items()}
    assert verdict.pop(turned) == verdicts.FAILS
    assert set(verdict.values()) == {verdicts.HOLDS}
