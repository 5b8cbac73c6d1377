"""The families against counts by hand, rows that fit them, and plans as files hold them."""

from __future__ import annotations

import json

import pytest

from stages.nets import budget as budgets
from stages.nets.families import FAMILIES, Plan, check_row, control_names, dropout_names
from tests.helpers.nets import ADDED, TABLE_2, meta_student, small, torch_count


def test_edited_plan_is_refused() -> None:
    record = json.loads(small("conv3").to_json())
    assert Plan.from_json(record) == small("conv3")
    with pytest.raises(ValueError, match="make it again"):
        Plan.from_json({**record, "params": record["params"] + 1})
    with pytest.raises(ValueError, match="keys"):
        Plan.from_json({**record, "depth": 3})
    with pytest.raises(ValueError, match="did you mean"):
        Plan.from_json({**record, "family": "con3"})


PRINTED = {  # widths, dependent width, parameters counted by hand
    "mlp1-plain": ((), 324, (3072 + 1) * 324 + (324 + 1) * 10),
    "conv1-plain": ((95,), 104, 76 * 95 + (95 * 10**2 + 1) * 104 + (104 + 1) * 10),
    "snn-2014": (
        (128, 30_000),
        1200,
        76 * 128 + (128 * 15**2 + 1) * 1200 + 1201 * 30_000 + 30_001 * 10,
    ),
    "cnn-2014": (
        (128,) * 3,
        1000,
        76 * 128 + 2 * (25 * 128 + 1) * 128 + (128 * 3**2 + 1) * 1000 + 1001 * 10,
    ),
}


def test_table_2_comes_first_and_has_no_stride_of_its_own() -> None:
    assert list(FAMILIES) == TABLE_2 + ADDED and len(TABLE_2) == 9
    assert all(FAMILIES[family].stride is None for family in TABLE_2)


@pytest.mark.parametrize("family", ADDED)
def test_added_families_count_as_by_hand(family: str) -> None:
    widths, dependent, params = PRINTED[family]
    box = [(width, width) for width in dict.fromkeys(widths)]
    plan = budgets.plan(family, params, [0.5] * FAMILIES[family].controls, box)
    assert (plan.widths, plan.dependent, plan.params, plan.rel_err) == (
        widths,
        dependent,
        params,
        0,
    )
    assert torch_count(meta_student(plan)) == params


@pytest.mark.parametrize(
    ("family", "box", "dependent", "params"),
    [
        ("snn-2014", [(128, 128), (30_000, 30_000)], 1200, 70_900_938),  # printed: about 70M
        ("snn-2014", [(64, 64), (30_000, 30_000)], 1200, 53_616_074),  # printed: about 54M
        ("cnn-2014", [(128, 128)], 1000, 1_992_194),  # printed: 2.1M
    ],
)
def test_nets_of_2014_have_these_sizes(family: str, box: list, dependent: int, params: int) -> None:
    controls = [0.0] * len(box)
    assert budgets.plan(family, params, controls, box).params == params
    assert budgets.plan(family, params, controls, box).dependent == dependent
    near = budgets.plan(family, params + 400, controls, box)  # less than half a unit more
    assert (near.dependent, near.params) == (dependent, params)


def test_names_of_controls_and_dropouts() -> None:
    found = {family: (control_names(family), dropout_names(family)) for family in FAMILIES}
    assert found["mlp1-plain"] == ([], [])
    assert found["conv1-plain"] == (["C1"], ["DOc1", "DOf1"])
    assert found["snn-2014"] == found["conv1"] == (["C1", "C2"], ["DOc1", "DOf1"])
    assert found["cnn-2014"] == (["C1"], ["DOc1", "DOc2", "DOc3", "DOf1"])
    assert found["mlp1"] == (["C1"], []) and found["mlp3"] == (["r_1", "r_2", "r_3"], [])
    assert found["conv4"] == (["C1", "C2"], ["DOc1", "DOc2", "DOc3", "DOf1"])


@pytest.mark.parametrize(
    ("family", "boxes", "ratios", "message"),
    [
        ("mlp1-plain", None, (0.1, 1.0), "takes neither 'boxes' nor 'ratios'"),
        ("mlp1-plain", {"1M": ((1, 2),)}, None, "takes neither 'boxes' nor 'ratios'"),
        ("conv1-plain", None, None, "takes 'boxes'"),
        ("conv1-plain", None, (0.1, 1.0), "takes 'boxes'"),
        ("snn-2014", {"10M": ((1, 2), (1, 2))}, None, "no box for budget '1M', it has 10M"),
        ("cnn-2014", {"1M": ((1, 2),)}, (0.1, 1.0), "no 'ratios'"),
        ("mlp2", None, None, "takes 'ratios"),
        ("snn", None, None, "unknown net 'snn', allowed are mlp1, .*, snn-2014, cnn-2014"),
    ],
)
def test_a_row_that_does_not_fit_its_family_is_refused(
    family: str, boxes: dict | None, ratios: tuple | None, message: str
) -> None:
    with pytest.raises(
        ValueError, match=rf"rows\.own: .*{message}|rows\.own\.boxes has {message}"
    ) as caught:
        check_row("rows.own", family, "1M", boxes, ratios)
    assert "\n" not in str(caught.value)


def test_rows_that_fit_their_family_pass() -> None:
    check_row("rows.own", "mlp1-plain", "1M", None, None)
    check_row("rows.own", "conv1-plain", "1M", {"1M": ((1, 2),)}, None)
    check_row("rows.own", "snn-2014", "1M", {"1M": ((1, 2), (1, 2))}, None)
    check_row("rows.own", "mlp2", "1M", None, (0.1, 1.0))


OLD_PLANS = [  # as written before pools had a stride
    '{"family": "mlp1", "widths": [80], "dependent": 19, "params": 60797,'
    ' "rel_err": 0.013283333333333314, "size_px": 32, "classes": 10}',
    '{"family": "mlp2", "widths": [19, 53], "dependent": null, "params": 59987,'
    ' "rel_err": -0.0002166666666666428, "size_px": 32, "classes": 10}',
    '{"family": "mlp3", "widths": [18, 69, 42], "dependent": null, "params": 59995,'
    ' "rel_err": -8.333333333332416e-05, "size_px": 32, "classes": 10}',
    '{"family": "mlp4", "widths": [19, 1, 5, 44], "dependent": null, "params": 59131,'
    ' "rel_err": -0.014483333333333293, "size_px": 32, "classes": 10}',
    '{"family": "mlp5", "widths": [18, 8, 28, 41, 24], "dependent": null, "params": 58165,'
    ' "rel_err": -0.030583333333333296, "size_px": 32, "classes": 10}',
    '{"family": "conv1", "widths": [35, 36], "dependent": 16, "params": 59658,'
    ' "rel_err": -0.005700000000000038, "size_px": 32, "classes": 10}',
    '{"family": "conv2", "widths": [42, 32], "dependent": 11, "params": 59483,'
    ' "rel_err": -0.008616666666666717, "size_px": 32, "classes": 10}',
    '{"family": "conv3", "widths": [58, 24, 24], "dependent": 16, "params": 59986,'
    ' "rel_err": -0.00023333333333330764, "size_px": 32, "classes": 10}',
    '{"family": "conv4", "widths": [22, 22, 31, 31], "dependent": 10, "params": 60011,'
    ' "rel_err": 0.00018333333333342416, "size_px": 32, "classes": 10}',
]


@pytest.mark.parametrize("text", OLD_PLANS, ids=lambda text: json.loads(text)["family"])
def test_plans_of_earlier_files_still_load(text: str) -> None:
    plan = Plan.from_json(text)
    assert plan.to_json() == text
    assert torch_count(meta_student(plan)) == plan.params


def test_a_plan_without_free_widths_is_stored_too() -> None:
    plan = small("mlp1-plain")
    assert json.loads(plan.to_json())["widths"] == [] and Plan.from_json(plan.to_json()) == plan
    with pytest.raises(ValueError, match="make it again"):
        Plan.from_json(plan.to_json().replace('"dependent": 19', '"dependent": 20'))
