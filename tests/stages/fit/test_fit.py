"""fit: the schedule to the epoch, the losses, the optimiser against torch's, training and resuming.

`pytest tests/test_fit.py --device cuda` runs the same tests on a GPU.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from stages.fit import evaluate
from stages.fit.checkpoint import Checkpoint
from stages.fit.feed import CPU_RESIDENT_BYTES, Feed, resident_bytes
from stages.fit.loop import Outcome, Recipe, Steps, train
from stages.fit.losses import LOSSES, cross_entropy, l2_on_logits
from stages.fit.memory import check_room, least_bytes, left_behind
from stages.fit.schedule import Schedule, replay
from stages.fit.step import SGD
from stages.runtime.device import check_precision, choose_device, set_up_torch
from tools.pocket import ROOT

GOLDEN = json.loads((ROOT / "tests" / "golden" / "schedule.json").read_text())


@pytest.fixture(autouse=True)
def _torch(device: torch.device) -> None:
    set_up_torch(1, device)


# schedule


def drops(every: int | None, count: int = 400) -> list[float]:
    """Errors with a new minimum in epochs 0, `every`, 2 `every`, ...; flat for None."""
    return [0.9 if every is None else 0.9 - 0.001 * (i // every) for i in range(count)]


def naive(errors: Sequence[float], max_epochs: int | None) -> tuple[list[int], int, str | None]:
    """The rules of section 2.6 from the whole history anew at each epoch: reductions, last epoch,
    why.
    """
    cuts: list[int] = []
    t = -1
    for t in range(len(errors)):
        seen = list(errors[: t + 1])
        n = t - seen.index(min(seen))
        if n >= 10 and (not cuts or t - max(cuts) > 8):
            cuts.append(t)
        if n >= 30:
            return cuts, t, "no_drop"
        if 2 ** len(cuts) > 2000:
            return cuts, t, "factor"
        if t + 1 == max_epochs:
            return cuts, t, "end"
    return cuts, t, None


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda g: g["name"])
def test_schedule_golden(golden: dict[str, Any]) -> None:
    schedule = replay(drops(golden["every"]))
    assert schedule.reduction_epochs == golden["reduction_epochs"]
    assert (schedule.epoch, schedule.why) == (golden["last_epoch"], golden["why"])
    assert schedule.factor == 0.5 ** len(golden["reduction_epochs"])


def test_flat_error_reduces_at_10_19_28_and_stops_at_30() -> None:
    schedule = replay([0.5] * 40)
    assert (schedule.reduction_epochs, schedule.epoch, schedule.why) == (
        [10, 19, 28],
        30,
        "no_drop",
    )
    assert (schedule.best_epoch, schedule.best_error, schedule.factor) == (0, 0.5, 0.125)


ERRORS = st.lists(st.sampled_from([i / 20 for i in range(21)]), min_size=1, max_size=80)
STAIRS = st.builds(
    lambda gaps: [0.99 - 0.01 * i for i, gap in enumerate(gaps) for _ in range(gap)],
    st.lists(st.integers(1, 31), min_size=1, max_size=25),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(errors=ERRORS | STAIRS, max_epochs=st.none() | st.integers(1, 60))
@example(errors=[0.5] * 31, max_epochs=31)
@example(errors=drops(12), max_epochs=131)
def test_schedule_follows_the_rules(errors: list[float], max_epochs: int | None) -> None:
    schedule = replay(errors, max_epochs)
    cuts, last, why = naive(errors, max_epochs)
    assert (schedule.reduction_epochs, schedule.epoch, schedule.why) == (cuts, last, why)
    assert schedule.best_epoch == int(np.argmin(errors[: last + 1]))
    assert schedule.factor == 0.5 ** len(cuts)


def test_update_says_whether_the_error_dropped() -> None:
    schedule = Schedule()
    dropped = [schedule.update(e) for e in (0.5, 0.5, 0.4, 0.45, 0.4, 0.0)]
    assert dropped == [True, False, True, False, False, True]


def test_schedule_refuses_what_is_no_error_and_what_comes_too_late() -> None:
    for bad in (math.nan, -0.1, 1.1, math.inf):
        with pytest.raises(ValueError, match="epoch 0: allowed is 0 .. 1"):
            Schedule().update(bad)
    ended = replay([0.5], max_epochs=1)
    with pytest.raises(ValueError, match=r"ended at epoch 0 \(end\)"):
        ended.update(0.4)


def schedule_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m stages.fit.schedule`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.fit.schedule", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


def test_schedule_command(tmp_path: Path) -> None:
    path = tmp_path / "errors.json"
    path.write_text(json.dumps(drops(None)))
    done = schedule_command(str(path))
    assert json.loads(done.stdout) == {
        "reduction_epochs": [10, 19, 28],
        "last_epoch": 30,
        "why": "no_drop",
    }
    assert done.stdout.count("\n") == 1 and done.returncode == 0
    done = schedule_command(str(path), "--max-epochs", "12")
    assert json.loads(done.stdout) == {"reduction_epochs": [10], "last_epoch": 11, "why": "end"}


@pytest.mark.parametrize(
    ("text", "more", "word"),
    [
        ("[0.5, 2]", [], "allowed is 0 .. 1"),
        ("[]", [], "list of numbers"),
        ("{}", [], "list of numbers"),
        ("0.5", [], "list of numbers"),
        ('["0.5"]', [], "list of numbers"),
        ("[true]", [], "list of numbers"),
        ("[NaN]", [], "allowed is 0 .. 1"),
        ("[0.5", [], "delimiter"),
        ("\xff", [], ""),
        (None, [], "No such file"),
        ("[0.5]", ["--max-epochs", "0"], "--max-epochs is 0"),
    ],
)
def test_schedule_command_refuses_bad_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    more: list[str],
    word: str,
) -> None:
    from stages.fit import schedule

    path = tmp_path / "errors.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    monkeypatch.setattr(sys, "argv", ["schedule", str(path), *more])
    with pytest.raises(SystemExit) as caught:
        schedule.main()
    out, err = capsys.readouterr()
    assert caught.value.code == 1 and out == ""
    assert (
        err.startswith("error: ") and "errors.json" in err and word in err and err.count("\n") == 1
    )


# losses


def test_l2_sums_over_outputs_and_averages_over_the_batch() -> None:
    outputs = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    logits = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    assert l2_on_logits(outputs, logits).item() == (1 + 4 + 9 + 4) / 2


def test_l2_is_ten_times_mse_for_ten_outputs(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, logits = (torch.randn(7, 10, generator=generator).to(device) for _ in range(2))
    outputs.requires_grad_()
    loss = LOSSES["l2_on_logits"](outputs, logits)
    assert loss.shape == ()
    torch.testing.assert_close(loss, 10 * nn.functional.mse_loss(outputs, logits))
    (gradient,) = torch.autograd.grad(loss, outputs)
    torch.testing.assert_close(gradient, 2 * (outputs - logits).detach() / 7)


def test_cross_entropy_is_the_mean_of_minus_log_p() -> None:
    outputs = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    expected = (math.log(2) - math.log(0.25)) / 2
    assert cross_entropy(outputs, torch.tensor([0, 1])).item() == pytest.approx(expected)
    assert LOSSES["cross_entropy"] is cross_entropy


# optimiser


class Net(nn.Module):
    """uint8 (n, s, s, 3) -> (n, classes): a convolution, a pool, dropout and a linear layer."""

    def __init__(self, classes: int = 2, dropout: float = 0.0, size_px: int = 6) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * (size_px // 2) ** 2, classes)

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.permute(0, 3, 1, 2).float() / 128 - 1
        hidden = nn.functional.max_pool2d(self.conv(pixels).relu(), 2)
        return self.head(self.dropout(hidden.flatten(1)))


def make_net(device: torch.device, seed: int = 0, **settings: Any) -> Net:
    """A net with seeded weights on the device."""
    torch.manual_seed(seed)
    return Net(**settings).to(device, memory_format=torch.channels_last)


@pytest.mark.parametrize(("momentum", "decay"), [(0.9, 0.01), (0.9, 0.0), (0.0, 0.01)])
def test_sgd_is_torchs_with_decay_on_weights_only(
    device: torch.device, momentum: float, decay: float
) -> None:
    ours, theirs = make_net(device), make_net(device)
    groups = [
        {"params": [p for p in theirs.parameters() if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in theirs.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    reference = torch.optim.SGD(
        groups, lr=1.0, momentum=momentum, nesterov=momentum > 0, foreach=False
    )
    optimizer = SGD(ours, momentum, decay)
    images, labels = toy(device, 24)
    for step, lr in enumerate((0.1, 0.1, 0.1, 0.05, 0.05, 0.4, 0.025)):
        for net in (ours, theirs):
            part = slice(3 * step, 3 * step + 6)
            cross_entropy(net(images[part]), labels[part]).backward()
        for group in reference.param_groups:
            group["lr"] = lr
        reference.step()
        reference.zero_grad()
        optimizer.step(lr)
        assert all(p.grad is None for p in ours.parameters())
        for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7, msg=f"{name} in step {step}")
    assert not torch.equal(ours.conv.weight, make_net(device).conv.weight)


def test_decay_does_not_touch_biases(device: torch.device) -> None:
    net = make_net(device)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    SGD(net, 0.0, 0.5).step(0.1)
    for name, parameter in net.named_parameters():
        factor = 1.0 if name.endswith("bias") else 0.95
        torch.testing.assert_close(parameter.detach(), factor * before[name])


# training


def toy(device: torch.device, count: int = 96, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Dark and bright images uint8 (n, 6, 6, 3) with noise, and which is which: easy to tell
    apart.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    images = rng.integers(0, 100, (count, 6, 6, 3)) + 150 * labels[:, None, None, None]
    return torch.from_numpy(images.astype(np.uint8)).to(device), torch.from_numpy(labels).to(device)


def hard(device: torch.device, count: int = 60, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise with labels of three classes that cannot be learnt: errors go up and down."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 6, 6, 3)).astype(np.uint8)
    return torch.from_numpy(images).to(device), torch.from_numpy(rng.integers(0, 3, count)).to(
        device
    )


RECIPE: dict[str, Any] = {
    "loss": "cross_entropy",
    "lr": 0.05,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "batch_size": 16,
    "max_epochs": 6,
    "eval_batch": 32,
}


def fit(
    device: torch.device,
    data: Callable[..., tuple[Tensor, Tensor]] = toy,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[int, float, float], None] | None = None,
    net: Net | None = None,
    **changes: Any,
) -> Outcome:
    """A small run: a new draw of training images in each epoch."""
    net = make_net(device, classes=3, dropout=0.3) if net is None else net
    recipe = Recipe(**{**RECIPE, **changes})
    return train(
        net,
        recipe,
        lambda e: data(device, seed=10 + e),
        data(device, 60, seed=1),
        5,
        checkpoint,
        on_epoch,
    )


def same(a: Outcome, b: Outcome) -> bool:
    """Whether two outcomes are equal to the last bit."""
    facts = (a.errors, a.losses, a.best_epoch, a.why) == (b.errors, b.losses, b.best_epoch, b.why)
    return facts and all(torch.equal(a.state[name], b.state[name]) for name in b.state)


def test_a_separable_problem_is_learnt(device: torch.device) -> None:
    outcome = fit(device)
    assert outcome.value == 0.0 and outcome.why == "end" and outcome.reason is None
    assert outcome.losses[-1] < 0.2 * outcome.losses[0]
    assert all(tensor.device.type == "cpu" for tensor in outcome.state.values())


def test_logits_of_a_teacher_are_learnt(device: torch.device) -> None:
    def epoch(number: int) -> tuple[Tensor, Tensor]:
        images, labels = toy(device, seed=number)
        return images, nn.functional.one_hot(labels, 2).float() * 4 - 2

    recipe = Recipe(**{**RECIPE, "loss": "l2_on_logits", "lr": 0.003, "max_epochs": 12})
    outcome = train(make_net(device), recipe, epoch, toy(device, seed=1), 5)
    assert outcome.value == 0.0 and outcome.losses[-1] < 0.1 * outcome.losses[0]


def test_best_epochs_weights_are_returned_and_not_the_last(device: torch.device) -> None:
    net, states, seen = make_net(device, classes=3, dropout=0.3), [], []

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
    fit(device, lr=0.08, max_epochs=None, batch_size=96)
    assert len(rates) == 31
    assert rates == [0.08] * 11 + [0.04] * 9 + [0.02] * 9 + [0.01] * 2


def test_the_last_smaller_batch_counts(device: torch.device) -> None:
    images, labels = toy(device, 20)
    images[16:] = 255 - images[16:]  # the last batch of four is unlike the others
    net = make_net(device)
    with torch.no_grad():
        expected = cross_entropy(net(images), labels).item()
    still = Recipe(**{**RECIPE, "lr": 0.0, "max_epochs": 1})
    outcome = train(net, still, lambda e: (images, labels), (images, labels), 5)
    assert outcome.losses[0] == pytest.approx(expected, rel=1e-5)
    runs = []
    for count in (16, 20):
        part = images[:count], labels[:count]
        moving = Recipe(**{**RECIPE, "max_epochs": 1})
        runs.append(train(make_net(device), moving, lambda e, p=part: p, (images, labels), 5))
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
        lambda e: hard(device, seed=10 + e),
        data,
        6,
    )
    assert not same(other, first)


# resuming


class Cut(Exception):
    """A run is stopped here."""


EPOCHS = 7


@pytest.mark.parametrize("cut", range(EPOCHS))
def test_a_run_that_was_cut_ends_with_the_same_bytes(
    device: torch.device, tmp_path: Path, cut: int
) -> None:
    def checkpoint() -> Checkpoint:
        return Checkpoint(tmp_path / "c.safetensors", seconds=0)

    def stop(epoch: int, loss: float, error: float) -> None:
        if epoch == cut:
            raise Cut

    whole = fit(device, hard, max_epochs=EPOCHS)
    with pytest.raises(Cut):
        fit(device, hard, checkpoint(), stop, max_epochs=EPOCHS)
    torch.manual_seed(cut)  # the state of the generators must not matter
    torch.rand(cut + 1)
    resumed: list[int] = []
    other = (
        make_net(device, seed=7, classes=3, dropout=0.3) if cut else None
    )  # nor the net's weights
    again = fit(
        device, hard, checkpoint(), lambda e, *_: resumed.append(e), other, max_epochs=EPOCHS
    )
    assert resumed == list(range(max(cut, 0), EPOCHS))
    assert same(again, whole)


def test_a_run_cut_at_every_epoch_and_with_a_damaged_checkpoint(
    device: torch.device, tmp_path: Path
) -> None:
    path = tmp_path / "c.safetensors"
    whole = fit(device, hard, max_epochs=EPOCHS)
    outcome = None
    for epoch in range(20):
        count = 0

        def stop(*_: Any) -> None:
            nonlocal count
            count += 1
            if count == 2:
                raise Cut

        checkpoint = Checkpoint(path, seconds=0)
        try:
            outcome = fit(device, hard, checkpoint, stop, max_epochs=EPOCHS)
            break
        except Cut:
            if epoch in (1, 3):
                path.write_bytes(path.read_bytes()[:-3])
    assert outcome is not None and same(outcome, whole)


def test_no_checkpoint_before_it_is_due(device: torch.device, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c", seconds=3600)
    fit(device, checkpoint=checkpoint, max_epochs=2)
    assert list(tmp_path.iterdir()) == []


# precision, evaluation, device


def test_bf16_agrees_roughly_with_fp32(device: torch.device) -> None:
    runs = [
        fit(device, net=make_net(device), precision=precision, max_epochs=4)
        for precision in ("fp32", "bf16")
    ]
    assert runs[0].losses != runs[1].losses, "bf16 was not used"
    np.testing.assert_allclose(runs[1].losses[:2], runs[0].losses[:2], rtol=0.1)
    assert abs(runs[0].value - runs[1].value) <= 0.05
    assert all(tensor.dtype == torch.float32 for tensor in runs[1].state.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_accuracy_and_error_are_complementary_and_independent_of_the_batch(
    device: torch.device, precision: str
) -> None:
    net = make_net(device, classes=3, dropout=0.5)
    images, labels = hard(device, 53)
    found = set()
    for batch in (1, 7, 53, 1000):
        right = evaluate.accuracy(net, images, labels, batch, precision)
        wrong = evaluate.error(net, images, labels, batch, precision)
        assert right + wrong == pytest.approx(1.0, abs=1e-12)
        found.add(right)
    assert len(found) == 1
    outputs = evaluate.logits(net, images, 7)
    assert outputs.shape == (53, 3) and outputs.dtype == torch.float32
    net.eval()
    with torch.no_grad():
        torch.testing.assert_close(outputs, net(images), rtol=1e-4, atol=1e-5)
    if precision == "fp32":
        assert found == {(outputs.argmax(1) == labels).float().mean(dtype=torch.float64).item()}


def test_accuracy_by_hand(device: torch.device) -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, images: Tensor) -> Tensor:
            return images[:, 0, 0, :].float() + self.weight

    images = torch.zeros(4, 2, 2, 3, dtype=torch.uint8)
    images[torch.arange(4), :, :, torch.tensor([0, 1, 2, 2])] = 9
    net, labels = Fixed().to(device), torch.tensor([0, 1, 2, 0])
    assert evaluate.accuracy(net, images, labels, 3) == 0.75
    assert evaluate.error(net, images, labels, 3) == 0.25


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_restores_the_mode_and_has_no_dropout(
    device: torch.device, training: bool
) -> None:
    net = make_net(device, dropout=0.9).train(training)
    images, _ = toy(device, 9)
    first = evaluate.logits(net, images, 4)
    assert torch.equal(first, evaluate.logits(net, images, 4))
    assert net.training is net.dropout.training is training


def test_images_on_the_host_are_moved(device: torch.device) -> None:
    net = make_net(device)
    images, labels = toy(torch.device("cpu"), 9)
    assert evaluate.accuracy(net, images, labels, 4) == evaluate.accuracy(
        net, images.to(device), labels.to(device), 4
    )


def test_choose_device() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_cuda_says_what_to_change() -> None:
    with pytest.raises(ValueError, match="set execution.device to 'auto' or 'cpu' in params.yaml"):
        choose_device("cuda")


def test_set_up_torch_sets_the_threads(device: torch.device) -> None:
    set_up_torch(2, device)
    assert torch.get_num_threads() == 2
    set_up_torch(1, device)
    assert torch.get_num_threads() == 1


def test_bf16_without_its_instructions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_precision(torch.device("cpu"), "fp32")
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    check_precision(torch.device("cpu"), "bf16")
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    with pytest.raises(
        ValueError, match="numerics.precision is 'bf16' and this CPU has no .* set it to 'fp32'"
    ):
        check_precision(torch.device("cpu"), "bf16")
    check_precision(torch.device("cpu"), "fp32")


def test_freed_memory_is_kept(device: torch.device) -> None:
    """In a process of its own: blocks that are freed and asked for again cost no page faults in the
    end.

    The first few may lie at new places, since what is free has to hold their alignment too.
    """
    code = """
import resource, torch
from stages.runtime.device import set_up_torch
set_up_torch(1, torch.device("cpu"))
for turn in range(25):
    if turn == 20:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)  # 64 MiB: glibc would give them back
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    root = ROOT
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert int(out.stdout) < 1000  # five times 16,384 pages


# feeding epochs


def stored(place: int) -> tuple[np.ndarray, np.ndarray]:
    """A stored epoch: five images that carry its number."""
    return np.full((5, 4, 4, 3), place, np.uint8), np.full((5,), place, np.int64)


@pytest.mark.parametrize("resident", [0, 10**9])
def test_feed_gives_stored_epochs_in_turn(device: torch.device, resident: int) -> None:
    read: list[int] = []

    def load(place: int) -> tuple[np.ndarray, np.ndarray]:
        read.append(place)
        return stored(place)

    with Feed(load, 3, device, resident) as feed:
        for epoch in (0, 1, 2, 3, 4, 5, 6, 1, 2, 8):  # in order, then with jumps
            images, targets = feed(epoch)
            assert images.device.type == targets.device.type == device.type
            assert images.shape == (5, 4, 4, 3) and images.dtype == torch.uint8
            assert set(images.flatten().tolist()) == set(targets.tolist()) == {epoch % 3}
            assert len(feed.coming) <= 1, "one epoch is read ahead"
    if resident:
        assert sorted(read) == [0, 1, 2], "what fits on the device is read once"
    else:
        assert len(read) >= 10


def test_feed_raises_the_error_of_the_epoch_that_is_needed(device: torch.device) -> None:
    def load(place: int) -> tuple[np.ndarray, np.ndarray]:
        if place == 1:
            raise ValueError("epoch-001 is damaged")
        return stored(place)

    with Feed(load, 3, device, 0) as feed:
        assert feed(0)[1][0] == 0
        with pytest.raises(ValueError, match="epoch-001 is damaged"):
            feed(1)
        assert feed(2)[1][0] == 2


def test_resident_bytes_are_shared_among_trials(device: torch.device) -> None:
    one, four = resident_bytes(device, 1), resident_bytes(device, 4)
    if device.type == "cuda":
        assert 0 < four < one <= torch.cuda.get_device_properties(device).total_memory
    else:
        assert one == four == CPU_RESIDENT_BYTES


# captured steps


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_captured_steps_train_like_eager_ones(
    device: torch.device, dropout: float, precision: str
) -> None:
    """Whole batches by a graph, the last smaller one eagerly; without dropout the same curve."""
    if device.type != "cuda":
        pytest.skip("graphs are CUDA's: run with --device cuda")
    runs = [
        train(
            make_net(device, classes=2, dropout=dropout),
            Recipe(**{**RECIPE, "precision": precision}),
            lambda e: toy(device, 90, seed=10 + e),
            toy(device, 60, seed=1),
            5,
            graphs=graphs,
        )
        for graphs in (True, False, True)
    ]
    assert same(runs[0], runs[2]), "a graph replays the same bytes"
    if dropout == 0.0:
        np.testing.assert_allclose(
            runs[0].losses, runs[1].losses, rtol=1e-3 if precision == "fp32" else 5e-2
        )
    assert runs[0].value == runs[1].value == 0.0


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


# room on a GPU


def small_net() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(48, 20), nn.ReLU(), nn.Dropout(0.5), nn.Linear(20, 3)
    )


def test_least_memory_of_training() -> None:
    """Four of each parameter; of each image the float input and the first layer's output."""
    images = torch.rand(2, 3, 4, 4)
    wanted = 4 * 4 * (48 * 20 + 20 + 20 * 3 + 3) + 32 * 4 * (48 + 20)
    assert least_bytes(small_net(), images, 32, "fp32") == wanted
    net = small_net().train()
    least_bytes(net, images, 32, "fp32")
    assert net.training


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_least_memory_grows_with_the_batch_as_a_real_one(precision: str) -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 5)
    )
    images = torch.rand(24, 3, 8, 8)
    whole = left_behind(net, images, precision) + 4 * 4 * sum(p.numel() for p in net.parameters())
    assert least_bytes(net, images, 24, precision) == whole


def test_more_trials_than_a_gpu_has_room_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    net, images, gpu = small_net(), torch.rand(2, 3, 4, 4), torch.device("cuda")
    least = least_bytes(net, images, 32, "fp32")
    check_room(net, images, 32, "fp32", torch.device("cpu"), 10**9)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 3 * least))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    check_room(net, images, 32, "fp32", gpu, 3)
    with pytest.raises(
        ValueError,
        match="execution.trials_per_gpu is 4: .* at least .* GiB and a GPU has .*to 3 or",
    ):
        check_room(net, images, 32, "fp32", gpu, 4)
    with pytest.raises(ValueError, match="is 1: .*: lower training.batch_size"):
        check_room(net, images, 32_000, "fp32", gpu, 1)
