"""Training runs: what is learnt, which weights are kept, how a run ends."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stages.fit.batches import Pair
from stages.fit.loop import Recipe, Steps, train
from stages.fit.losses import cross_entropy
from stages.fit.step import SGD, rate_on
from tests.helpers.mapped import mapped
from tests.helpers.small_runs import RECIPE, fit, hard, make_net, same, toy


def test_a_separable_problem_is_learnt(device: torch.device) -> None:
    outcome = fit(device)
    assert outcome.value == 0.0 and outcome.why == "end" and outcome.reason is None
    assert outcome.losses[-1] < 0.2 * outcome.losses[0]
    assert all(tensor.device.type == "cpu" for tensor in outcome.state.values())


def test_logits_of_a_teacher_are_learnt(device: torch.device) -> None:
    def epoch(number: int) -> list[Pair]:
        images, labels = toy(device, seed=number)
        return [(images, nn.functional.one_hot(labels, 2).float() * 4 - 2)]

    recipe = Recipe(**{**RECIPE, "loss": "l2_on_logits", "lr": 0.003, "max_epochs": 12})
    outcome = train(make_net(device), recipe, epoch, toy(device, seed=1), 5)
    assert outcome.value == 0.0 and outcome.losses[-1] < 0.1 * outcome.losses[0]


def test_best_epochs_weights_are_returned_and_not_the_last(device: torch.device) -> None:
    net, states, seen = make_net(device, classes=3), [], []

    def note(epoch: int, loss: float, error: float) -> None:
        states.append({k: v.detach().cpu().clone() for k, v in net.state_dict().items()})
        seen.append((epoch, loss, error))

    outcome = fit(device, hard, on_epoch=note, net=net, max_epochs=8)
    assert seen == list(zip(range(8), outcome.losses, outcome.errors, strict=True))
    best = int(np.argmin(outcome.errors))
    assert outcome.best_epoch == best < 7 and outcome.value == min(outcome.errors)
    for name, tensor in outcome.state.items():
        assert torch.equal(tensor, states[best][name])
    assert any(not torch.equal(outcome.state[name], states[-1][name]) for name in outcome.state)


@pytest.mark.parametrize(("lr", "bad_epoch"), [(1e30, 0), (0.05, 2)])
def test_a_run_that_diverges_is_a_failed_outcome(
    device: torch.device, lr: float, bad_epoch: int
) -> None:
    net = make_net(device)

    def spoil(epoch: int, loss: float, error: float) -> None:
        if epoch == 1:
            net.head.weight.data.fill_(math.nan)

    outcome = fit(device, lr=lr, net=net, on_epoch=spoil)
    assert (outcome.state, outcome.value, outcome.best_epoch, outcome.why) == (
        None,
        None,
        -1,
        "failed",
    )
    assert f"in epoch {bad_epoch}" in outcome.reason and "loss is " in outcome.reason
    assert len(outcome.errors) == len(outcome.losses) == bad_epoch


def test_max_epochs_and_the_schedule_end_a_run(device: torch.device) -> None:
    outcome = fit(device, max_epochs=3)
    assert len(outcome.errors) == 3 and outcome.why == "end"
    flat = fit(device, lr=0.0, max_epochs=None)
    assert len(flat.errors) == 31 and flat.why == "no_drop" and flat.best_epoch == 0


def test_the_rate_of_each_epoch_is_the_schedules(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    step = SGD.step
    monkeypatch.setattr(SGD, "step", lambda self, lr: (rates.append(lr), step(self, lr * 0))[1])
    fit(device, lr=0.08, max_epochs=None, batch_size=96, graphs=False)
    assert len(rates) == 31
    wanted = [0.08] * 11 + [0.04] * 9 + [0.02] * 9 + [0.01] * 2
    assert rates == [rate_on(device, rate) for rate in wanted]


def test_the_last_smaller_batch_counts(device: torch.device) -> None:
    images, labels = toy(device, 20)
    images[16:] = 255 - images[16:]  # the last batch of four is unlike the others
    net = make_net(device)
    with torch.no_grad():
        expected = cross_entropy(net(images), labels).item()
    still = Recipe(**{**RECIPE, "lr": 0.0, "max_epochs": 1})
    outcome = train(net, still, lambda e: [(images, labels)], (images, labels), 5)
    assert outcome.losses[0] == pytest.approx(expected, rel=1e-5)
    runs = []
    for count in (16, 20):
        part = images[:count], labels[:count]
        moving = Recipe(**{**RECIPE, "max_epochs": 1})
        runs.append(train(make_net(device), moving, lambda e, p=part: [p], (images, labels), 5))
    assert not torch.equal(runs[0].state["head.weight"], runs[1].state["head.weight"])


def test_dropout_masks_follow_the_seed_and_nothing_else(device: torch.device) -> None:
    first = fit(device, hard, max_epochs=2)
    torch.manual_seed(99)
    net = make_net(device, classes=3, dropout=0.3)
    torch.rand(7)
    assert same(fit(device, hard, max_epochs=2, net=net.eval()), first)
    data = hard(device, 60, seed=1)
    other = train(
        make_net(device, classes=3, dropout=0.3),
        Recipe(**{**RECIPE, "max_epochs": 2}),
        lambda e: [hard(device, seed=10 + e)],
        data,
        6,
    )
    assert not same(other, first)


def test_bf16_agrees_roughly_with_fp32(device: torch.device) -> None:
    runs = [
        fit(device, net=make_net(device), precision=precision, max_epochs=4)
        for precision in ("fp32", "bf16")
    ]
    assert runs[0].losses != runs[1].losses, "bf16 was not used"
    np.testing.assert_allclose(runs[1].losses[:2], runs[0].losses[:2], rtol=0.1)
    assert abs(runs[0].value - runs[1].value) <= 0.05
    assert all(tensor.dtype == torch.float32 for tensor in runs[1].state.values())


def test_steps_capture_on_cuda_only(device: torch.device) -> None:
    net = make_net(device)
    recipe = Recipe(**{**RECIPE, "batch_size": 8})
    images, labels = toy(device, 20)
    for graphs in (True, False):
        steps = Steps(net, SGD(net, 0.9, 0.0), recipe, graphs)
        before = [p.detach().clone() for p in net.parameters()]
        steps.prepare(images, labels)
        assert (steps.captured is not None) == (graphs and device.type == "cuda")
        assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True)), (
            "preparing trains nothing"
        )


def test_a_budgets_rate_is_that_of_each_step(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    step = SGD.step

    def noted(self: SGD, lr: float) -> None:
        rates.append(float(lr))
        step(self, lr)

    monkeypatch.setattr(SGD, "step", noted)
    net = make_net(device, classes=3)
    outcome = fit(
        device, net=net, graphs=False, schedule="budget", max_epochs=5, lr=0.08, batch_size=16
    )
    assert outcome.why == "end" and len(outcome.errors) == 5

    # 6 steps of 16 images an epoch; the first tenth of all 30 rises
    middles = (np.arange(30) + 0.5) / 30
    left = (1 - middles) / 0.9
    wanted = np.where(middles < 0.1, middles / 0.1, 2 * left / (1 + left))
    np.testing.assert_allclose(rates, 0.08 * wanted, rtol=1e-7)

    with pytest.raises(ValueError, match="how many images an epoch has"):
        fit(device, schedule="budget", epoch_images=None)


@pytest.mark.parametrize("lengths", [[96], [40, 40, 16], [1] * 96, [5, 90, 1]])
def test_pieces_of_an_epoch_change_nothing(device: torch.device, lengths: list[int]) -> None:
    def pieces(epoch: int) -> list[Pair]:
        images, labels = toy(device, 96, seed=10 + epoch)
        return list(zip(images.split(lengths), labels.split(lengths), strict=True))

    recipe = Recipe(**{**RECIPE, "batch_size": 7, "max_epochs": 2})
    validation = toy(device, 60, seed=1)
    net = make_net(device, dropout=0.3)
    found = train(net, recipe, pieces, validation, 5)

    whole = make_net(device, dropout=0.3)
    wanted = train(whole, recipe, lambda e: [toy(device, 96, seed=10 + e)], validation, 5)
    assert same(found, wanted) and found.losses == wanted.losses


def test_validation_images_may_be_a_map(tmp_path: Path, device: torch.device) -> None:
    images, labels = toy(device, 60, seed=1)
    found = mapped(tmp_path / "x.safetensors", images.cpu().numpy())
    recipe = Recipe(**{**RECIPE, "max_epochs": 2})
    outcomes = [
        train(make_net(device), recipe, lambda e: [toy(device, seed=e)], (source, labels), 5)
        for source in (images, found)
    ]
    assert same(*outcomes) and outcomes[0].errors == outcomes[1].errors
