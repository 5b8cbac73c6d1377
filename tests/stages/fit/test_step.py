"""The optimiser against torch's, and captured steps against eager ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stages.fit.loop import Recipe, Steps, train
from stages.fit.losses import cross_entropy
from stages.fit.step import SGD, rate_on
from tests.helpers.small_runs import RECIPE, make_net, same, toy


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
    rtol = 1e-6 if device.type == "cpu" else 1e-5  # CUDA's fused kernel takes the rate in float64
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
            torch.testing.assert_close(
                a, b, rtol=rtol, atol=rtol / 10, msg=f"{name} in step {step}"
            )
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


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_captured_steps_train_like_eager_ones(
    device: torch.device, dropout: float, precision: str
) -> None:
    """Whole batches by a graph, the last smaller one eagerly: the same bytes."""
    if device.type != "cuda":
        pytest.skip("graphs are CUDA's: run with --device cuda")
    runs = [
        train(
            make_net(device, classes=2, dropout=dropout),
            Recipe(**{**RECIPE, "precision": precision}),
            lambda e: [toy(device, 90, seed=10 + e)],
            toy(device, 60, seed=1),
            5,
            graphs=graphs,
        )
        for graphs in (True, False, True)
    ]
    assert same(runs[0], runs[2]), "a graph replays the same bytes"
    assert same(runs[0], runs[1]), "a graph is another way to launch the same kernels"
    assert runs[0].value == 0.0


class Noted:
    """Stands in for a step, captured or not, on any device; notes rates and lengths of batches."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.total = torch.zeros((), dtype=torch.float64)
        self.calls: list[tuple[int, float]] = []

    def __call__(self, images: torch.Tensor, targets: torch.Tensor, lr: float) -> None:
        self.calls.append((len(images), lr))


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("graphs", [True, False])
def test_captured_and_eager_steps_have_one_rate(kind: str, graphs: bool) -> None:
    """On CUDA the float32 that a graph can hold, on a CPU what the schedule says."""
    here, host = torch.device(kind), torch.device("cpu")
    steps = Steps(make_net(host), SGD(make_net(host), 0.9, 0.0), Recipe(**RECIPE), graphs)
    eager, captured = Noted(here), Noted(here)
    steps.step = eager  # type: ignore[assignment]
    steps.captured = captured if graphs else None  # type: ignore[assignment]

    images, labels = toy(host, 20)
    steps.run(lambda share: 0.016, [(images, labels)])

    rate = 0.01600000075995922 if kind == "cuda" else 0.016
    assert [*captured.calls, *eager.calls] == [(16, rate), (4, rate)]
    assert [length for length, _ in eager.calls] == ([4] if graphs else [16, 4])


def test_a_rate_of_a_graph_is_that_of_an_eager_step() -> None:
    """What `fill_` leaves in the tensor of a captured step is what the eager one is given."""
    rng = np.random.default_rng(0)
    for lr in (*np.exp(rng.uniform(-16, 2, 200)).tolist(), 0.0, 0.1, 2.0**-20):
        held = torch.zeros(()).fill_(lr).item()
        assert rate_on(torch.device("cuda"), lr) == held
        assert rate_on(torch.device("cpu"), lr) == lr
