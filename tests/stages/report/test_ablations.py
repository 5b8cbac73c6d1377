"""Ablations: what params.yaml may say of them, their losses and targets, and their table."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from stages.fit.evaluate import mean_logits
from stages.fit.losses import distillation, with_labels
from stages.report import ablations
from stages.report.figures.ablations import ablations as draw
from stages.report.figures.theme import save
from stages.report.quantities import Quantity
from stages.settings import students, whole
from tools.pocket import pocket_params

ROWS = {
    "a": {"of": "conv1", "weight_decay": 0.0002},
    "b": {
        "of": "conv1",
        "loss": {"temperature": 4.0, "hard_weight": 0.1},
        "space": {"lr": 0.01, "DOf1": 0.3},
    },
    "c": {"of": "conv1", "epochs": 2, "members": 1},
    "d": {"of": "mlp2", "fresh": True},
}


def params(**changes: Any) -> dict[str, Any]:
    """Pocket parameters with ROWS listed; `a__b=x` sets the key a.b."""
    found = pocket_params(
        {"ablation_rows": copy.deepcopy(ROWS), "label.members": [1], "ablations.budgets": ["60k"]}
    )
    found["ablations"]["rows"] = list(ROWS)
    for path, value in changes.items():
        *above, last = path.split("__")
        node = found
        for name in above:
            node = node[name]
        node[last] = value
    return found


# settings


def test_a_variant_has_everything_else_of_its_base() -> None:
    found = params()
    whole.check(found)
    base = students.row(found, "mimic", "conv1")
    section = students.matrix(found, "ablation")
    assert section.sweep == students.matrix(found, "mimic").sweep and section.rows == tuple(ROWS)
    entry = students.row(found, "ablation", "b")
    assert (entry.net, entry.boxes, entry.ratios) == ("conv1", base.boxes, base.ratios)
    assert entry.space == {"lr": 0.01, "DOf1": 0.3}
    assert students.variant(found, "ablation", "b").loss == students.Distillation(4.0, 0.1)
    assert students.variant(found, "ablation", "c") == students.Variant(epochs=2, members=1)
    assert (
        students.row(found, "ablation", "d").ratios == students.row(found, "mimic", "mlp2").ratios
    )
    assert students.variant(found, "mimic", "conv1") == students.Variant()


def test_a_variant_with_another_net_has_boxes_of_its_own() -> None:
    found = params(
        ablation_rows__a={"of": "conv1", "net": "conv2", "boxes": {"60k": [[3, 4], [5, 6]]}}
    )
    assert students.row(found, "ablation", "a").boxes == {"60k": ((3, 4), (5, 6))}
    found = params(ablation_rows__a={"of": "conv1", "net": "conv2"})
    assert students.row(found, "ablation", "a").boxes is None


BAD = [
    ({"ablations__budgets": ["180k"]}, "ablations.budgets has 180k, students.budgets has not"),
    (
        {"ablation_rows__a": {"of": "conv3"}},
        "ablation_rows.a.of is conv3, which is not in students.rows",
    ),
    (
        {"ablation_rows__a": {"of": "conv1", "epochs": 4}},
        "a.epochs is 4: allowed is 1 to augment.epochs 3",
    ),
    ({"ablation_rows__a": {"of": "conv1", "epochs": 2, "fresh": True}}, "and not with fresh"),
    ({"label__members": []}, "ablation_rows.c.members is 1: label.members is [], add it there"),
    ({"label__members": [2]}, "label.members is [2]: sizes below ensemble.members 2"),
    ({"ablations__rows": ["e"]}, "ablation_rows has no row 'e'"),
    (
        {"students__rows": ["mlp2", "conv1", "a"], "rows__a": {"ratios": [0.5, 1], "net": "mlp2"}},
        "the name of a row",
    ),
    (
        {"ablation_rows__a": {"off": "conv1"}},
        "unknown key 'ablation_rows.a.off'; did you mean 'of'?",
    ),
    (
        {"ablation_rows__b": {"of": "conv1", "loss": {"temperature": 0, "hard_weight": 0}}},
        "loss.temperature is 0",
    ),
    (
        {"ablation_rows__b": {"of": "conv1", "space": {"DOx": 0.1}}},
        "unknown key 'ablation_rows.b.space.DOx'",
    ),
    (
        {"ablation_rows__a": {"of": "conv1", "weight_decay": -1}},
        "ablation_rows.a.weight_decay is -1",
    ),
    ({"students__rows": []}, "students.rows is []: at least one is needed"),
]


@pytest.mark.parametrize(("changes", "words"), BAD, ids=[words[:40] for _, words in BAD])
def test_bad_ablations_are_refused_in_one_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        whole.check(params(**changes))
    assert str(caught.value).startswith("params.yaml: ") and words in str(caught.value)
    assert "\n" not in str(caught.value)


# losses and targets


def test_distillation_by_hand() -> None:
    rng = np.random.default_rng(0)
    outputs, logits = (
        torch.from_numpy(rng.normal(size=(5, 4)).astype(np.float32)) for _ in range(2)
    )
    labels = torch.tensor([0, 3, 1, 2, 2])
    targets = torch.from_numpy(with_labels(logits.numpy(), labels.numpy()))
    p = (logits / 3).softmax(1)
    q = (outputs / 3).softmax(1)
    soft = (p * (p.log() - q.log())).sum(1).mean()
    hard = -outputs.log_softmax(1)[range(5), labels].mean()
    torch.testing.assert_close(
        distillation(3.0, 0.25)(outputs, targets), 0.75 * 9 * soft + 0.25 * hard
    )
    torch.testing.assert_close(
        distillation(3.0, 1.0)(outputs, targets), functional.cross_entropy(outputs, labels)
    )
    assert distillation(2.0, 0.0)(logits + 7, targets) == pytest.approx(0, abs=1e-5), (
        "a constant changes no softmax"
    )


def test_a_high_temperature_is_l2_on_centred_logits() -> None:
    """The limit of Hinton et al. 2015, section 2.1: T^2 KL -> sum of squares / (2 classes)."""
    rng = np.random.default_rng(1)
    outputs, logits = (torch.from_numpy(rng.normal(size=(6, 5))) for _ in range(2))
    outputs, logits = (x - x.mean(1, keepdim=True) for x in (outputs, logits))
    targets = torch.cat([logits, torch.zeros(6, 1)], 1)
    wanted = (outputs - logits).square().sum(1).mean() / (2 * 5)
    torch.testing.assert_close(distillation(1e4, 0.0)(outputs, targets), wanted, rtol=1e-3, atol=0)


def test_means_over_the_first_members() -> None:
    nets = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3)) for _ in range(3)]
    cast = [torch.nn.Sequential(Cast(), net) for net in nets]
    images = np.random.default_rng(2).integers(0, 256, (7, 2, 2, 3), dtype=np.uint8)
    found = mean_logits(cast, images, 4, "fp32", [1, 3])
    with torch.inference_mode():
        each = [net(torch.from_numpy(images)).double().numpy() for net in cast]
    assert list(found) == [1, 3] and found[3].dtype == np.float32
    np.testing.assert_array_equal(found[1], each[0].astype(np.float32))
    np.testing.assert_allclose(found[3], np.mean(each, axis=0), rtol=1e-6)


class Cast(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float() / 255


# table and figure


def pair(
    row: str, difference: float, entry: dict[str, Any], noise: float = 0.005
) -> ablations.Pair:
    draws = np.random.default_rng(len(row)).normal(0, noise, (2, 2000))
    base = Quantity(0.7, 0.7 + draws[0])
    other = Quantity(0.7 + difference, 0.7 + difference + draws[1])
    return ablations.Pair(row, "conv2", "60k", {"of": "conv2", **entry}, other, base)


def pairs() -> list[ablations.Pair]:
    return [
        pair("decay", -0.05, {"weight_decay": 0.0002}),
        pair("one", 0.05, {"members": 1}),
        pair("four", 0.001, {"members": 4}),
        pair("ten", -0.03, {"epochs": 10, "weight_decay": 0.1}),
        pair("same", 0.0, {"fresh": True}, noise=0.0),
    ]


def test_table_of_ablations() -> None:
    frame = ablations.table(pairs(), 0.95).set_index("row")
    assert list(frame.verdict) == ["worse", "better", ablations.OPEN, "worse", ablations.OPEN]
    assert (
        frame.loc["decay", "difference_pct"] == pytest.approx(-5)
        and frame.loc["decay", "base_pct"] == 70
    )
    assert -7 < frame.loc["decay", "low_pct"] < -5 < frame.loc["decay", "high_pct"] < -3
    assert frame.loc["same", "p"] == 1, "equal nets are no evidence"
    assert list(frame.measure.dropna().index) == ["one", "four"], "ten differs in two things"
    assert list(frame.number.dropna()) == [1, 4]
    turned = ablations.table(
        [ablations.Pair(p.row, p.of, p.budget, p.entry, p.base, p.variant) for p in pairs()], 0.95
    )
    assert list(turned.verdict) == ["better", "worse", ablations.OPEN, "better", ablations.OPEN]


def test_sentences_say_what_the_numbers_say() -> None:
    text = ablations.to_markdown(ablations.table(pairs(), 0.95), "caption")
    assert (
        "With weight decay 0.0002 conv2 at 60k is worse by 5.00 points: 65.00\u00a0% instead of 70.00\u00a0%"
        in text
    )
    assert "With labels of the best teacher alone conv2 at 60k is better by 5.00 points" in text
    assert (
        "fresh augmentation in every epoch conv2 at 60k makes no difference that this run could show (+0.00"
        in text
    )
    assert "Nothing was varied" in ablations.to_markdown(ablations.table([], 0.95), "caption")


def test_figure_of_ablations(tmp_path: Any) -> None:
    frame = ablations.table(pairs(), 0.95)
    wholes = {"transfer epochs": 160, "members of the ensemble": 16}
    nets = {"conv2": "conv2"}
    figure = draw(frame, wholes, nets, "digits, smoke scale")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [text.get_text() for text in shown[0].get_yticklabels()][:2] == ["decay 60k", "one 60k"]
    x, y = shown[1].lines[0].get_data()
    np.testing.assert_allclose(x, [1, 4, 16])
    np.testing.assert_allclose(y, [0.75, 0.701, 0.7])
    (
        save(figure, tmp_path / "a.png"),
        save(draw(frame, wholes, nets, "digits, smoke scale"), tmp_path / "b.png"),
    )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    empty = pd.read_csv(_written(tmp_path, ablations.table([], 0.95)), dtype={"number": "Int64"})
    assert "nothing was varied" in draw(empty, wholes, {}, "").axes[0].texts[0].get_text()


def _written(folder: Any, frame: pd.DataFrame) -> Any:
    frame.to_csv(folder / "a.csv", index=False)
    return folder / "a.csv"
