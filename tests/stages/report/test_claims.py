"""The claims and their verdicts: on the paper's own numbers, on made-up nets, and with the data
turned round.
"""

from __future__ import annotations

import numpy as np
import pytest

from stages.report import claims, verdicts
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


def judge(nets: dict[Key, np.ndarray], ceiling: float = 0.56, tolerance: float = 0.005) -> dict:
    """Verdicts by id."""
    samples = joint_bootstrap(list(nets.values()), 1000, np.random.default_rng(2))
    quantities = {
        key: claims.Quantity(float(own.mean()), samples[:, i])
        for i, (key, own) in enumerate(nets.items())
    }
    ensemble = quantities.pop(None, None)
    mimics = {name.budget for name in quantities if name.group == "mimic"}
    budgets = tuple(budget for budget in BUDGETS if budget in mimics)
    run = claims.Run(quantities, budgets, tolerance, ceiling, ensemble)
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
    compared = [claims.Comparison(f"{v:+g}", claims.Quantity(v, np.full(500, v))) for v in values]
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
    """Two nets of the same accuracy: "conv1 beats mlp1" holds in at most 5 % of worlds, and fails
    in as few.
    """
    rng, found = np.random.default_rng(4), []
    for _ in range(300):
        nets = {mimic(row, "1M"): rng.random((1, 300)) < 0.6 for row in ("conv1", "mlp1")}
        samples = joint_bootstrap(list(nets.values()), 200, rng)
        both = [
            claims.Quantity(float(net.mean()), samples[:, i]) for i, net in enumerate(nets.values())
        ]
        claim = claims.Claim("one", "", "", [claims.Comparison("", both[0] - both[1])])
        found.append(verdicts.judge([claim], LEVEL)[0].verdict)
    assert (
        found.count(verdicts.HOLDS) / 300 < 0.05 + 0.03
        and found.count(verdicts.FAILS) / 300 < 0.05 + 0.03
    )


def test_many_claims_need_better_evidence_than_one() -> None:
    """A p-value of about 0.01 is enough for one claim and its contrary, and not for one of
    eight.
    """
    draws = np.random.default_rng(5).normal(0, 1, 4000)

    def claim(name: str, value: float) -> claims.Claim:
        return claims.Claim(
            name,
            "",
            "",
            [claims.Comparison("", claims.Quantity(value, value + draws / draws.std()))],
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
    found = verdicts.to_json(list(judge(nets).values()), claims.paper_effects(), LEVEL)
    entry = found["depth_beats_size"]
    assert entry["verdict"] == "holds" and entry["comparisons"] == 1 and entry["paper"] == {"": 0.2}
    difference = nets[mimic("conv2", "1M")].mean() - nets[mimic("conv1", "10M")].mean()
    assert entry["effects"][""]["value_pct"] == pytest.approx(100 * difference, abs=1e-4)
    assert entry["effects"][""]["low_pct"] < 100 * difference < entry["effects"][""]["high_pct"]
    text = verdicts.to_markdown(found, "caption")
    assert text.count("**holds**") == 8 and "conv2 at 1M over conv1 at 10M" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {5, 6}


def test_only_the_papers_rows_with_nets_of_their_depth_are_compared() -> None:
    """As docs/statistics.md says; a row that is called like a convolutional one is none."""
    shares = {
        mimic("conv1", "1M"): 0.6,
        mimic("conv2", "1M"): 0.1,
        mimic("narrow", "1M"): 0.1,
        mimic("conv-like", "1M"): 0.9,
        mimic("mlp2", "1M"): 0.4,
    }
    families = {name: name.row for name in shares}
    families |= {
        mimic("conv2", "1M"): "mlp2",
        mimic("narrow", "1M"): "conv2",
        mimic("conv-like", "1M"): "mlp2",
    }
    quantities = {name: claims.Quantity(share, np.array([share])) for name, share in shares.items()}
    ensemble = claims.Quantity(0.8, np.array([0.8]))
    kept = claims.of_the_papers_rows(quantities, families)
    assert [name.row for name in kept] == ["conv1", "mlp2"]
    run = claims.Run(kept, ("1M",), 0.005, None, ensemble)
    found = {each.id: each for each in claims.claims(run)}
    assert [each.name for each in found["conv_gap"].comparisons] == ["conv1 over mlp2 at 1M"]
    assert not found["depth_order"].comparisons
    assert found["below_ensemble"].effects[""].value == pytest.approx(0.2)
