"""Outputs, accuracy and error of a net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stages.fit import evaluate
from stages.nets.initial import glorot_
from stages.nets.pixels import Scaled, Standardise
from stages.nets.student import build_student
from stages.settings.inputs import Inputs
from stages.store import maps
from tests.helpers.mapped import mapped, resident
from tests.helpers.nets import images, initialised, small
from tests.helpers.small_runs import hard, make_net, toy


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_accuracy_and_error_are_complementary_and_independent_of_the_batch(
    device: torch.device, precision: str
) -> None:
    net = make_net(device, classes=3, dropout=0.5)
    images, labels = hard(device, 53)
    found = set()
    for batch in (1, 7, 53, 1000):
        right = evaluate.accuracy(net, images, labels, batch, precision)
        wrong = evaluate.Validation(net, images, labels, batch, precision).error()
        assert right + wrong == pytest.approx(1.0, abs=1e-12)
        found.add(right)

    # on a GPU another batch may take another kernel, which may turn a tie
    tie = 0 if device.type == "cpu" else 1 / 53
    assert max(found) - min(found) <= tie
    outputs = evaluate.logits(net, images, 7)
    assert outputs.shape == (53, 3) and outputs.dtype == torch.float32
    net.eval()
    with torch.no_grad():
        torch.testing.assert_close(outputs, net(images), rtol=1e-4, atol=1e-5)
    if precision == "fp32":
        exact = (outputs.argmax(1) == labels).float().mean(dtype=torch.float64).item()
        assert all(abs(each - exact) <= tie for each in found)


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
    assert evaluate.Validation(net, images, labels, 3).error() == 0.25


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


# The images after the input layer, which are kept.


def a_net(family: str) -> nn.Sequential:
    return initialised(build_student(small(family), input_scale=1.3))  # type: ignore[return-value]


def a_validation(net: nn.Sequential, precision: str = "fp32") -> evaluate.Validation:
    return evaluate.Validation(net, images(23), torch.arange(23) % 10, 5, precision)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", ["conv2", "mlp1"])
def test_kept_or_made_again_the_outputs_are_the_same(family: str, precision: str) -> None:
    net = a_net(family)
    validation = a_validation(net, precision)
    for seed in (1, 2):  # the weights change from epoch to epoch
        glorot_(net, 1.0, torch.Generator().manual_seed(seed))
        kept = evaluate._outputs(net, validation.layers, validation.batches, precision)
        again = evaluate.logits(net, images(23), 5, precision)
        assert torch.equal(kept, again)
        assert validation.error() == int((again.argmax(1) != validation.labels).sum()) / 23


def test_images_are_standardised_once_where_they_are_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = a_net("mlp1")
    calls: list[int] = []
    net[0].register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0])))

    validation = a_validation(net)
    errors = [validation.error() for _ in range(3)]
    assert calls == [5, 5, 5, 5, 3]

    calls.clear()
    monkeypatch.setattr(evaluate, "KEPT_BYTES", 4 * 23 * 32 * 32 * 3 - 1)
    validation = a_validation(net)
    assert [validation.error() for _ in range(3)] == errors
    assert calls == [5, 5, 5, 5, 3] * 3


def test_vectors_are_scaled_once() -> None:
    inputs = Inputs.vectors([7])
    layers = [Scaled(inputs, 2.0), nn.Flatten(), nn.Linear(7, 3)]
    net = nn.Sequential(*layers)
    vectors = torch.randn(11, 7, generator=torch.Generator().manual_seed(3))
    validation = evaluate.Validation(net, vectors, torch.zeros(11, dtype=torch.int64), 4)
    assert len(validation.layers) == 2  # type: ignore[arg-type]
    assert validation.error() == int((net(vectors).argmax(1) != 0).sum()) / 11


def test_validation_restores_the_mode_and_has_no_dropout() -> None:
    net = nn.Sequential(Standardise(), nn.Flatten(), nn.Dropout(0.9), nn.Linear(3072, 10))
    for training in (True, False):
        net.train(training)
        validation = a_validation(net)
        assert validation.error() == validation.error()
        assert net.training is net[2].training is training


# Images in memory maps.


def test_mean_logits_do_not_depend_on_the_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    nets = [make_net(device, seed=seed, dropout=0.3) for seed in range(3)]
    images = toy(torch.device("cpu"), 53)[0].numpy()
    found = mapped(tmp_path / "x.safetensors", images)
    wanted = evaluate.mean_logits(nets, images, 4, "fp32", [1, 3])
    assert set(wanted) == {1, 3} and wanted[3].shape[0] == 53

    for size in (1, 6 * 6 * 3 * 9, 6 * 6 * 3 * 40):
        monkeypatch.setattr(maps, "PART_BYTES", size)
        for source in (images, found):
            again = evaluate.mean_logits(nets, source, 4, "fp32", [1, 3])
            for k in (1, 3):
                np.testing.assert_array_equal(again[k], wanted[k])


@pytest.mark.parametrize("kept", [0, 2**20])
def test_a_map_is_judged_like_memory_and_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(evaluate, "KEPT_BYTES", kept)
    net, labels = a_net("mlp1"), torch.arange(23) % 10
    found = mapped(tmp_path / "x.safetensors", images(23).numpy())
    validation = evaluate.Validation(net, found, labels, 5)
    assert (validation.kept is None) == (kept == 0)
    assert validation.error() == a_validation(net).error()
    assert evaluate.accuracy(net, found, labels, 5) == evaluate.accuracy(net, images(23), labels, 5)

    large = mapped(tmp_path / "large", np.zeros((2000, 32, 32, 3), np.uint8))
    monkeypatch.setattr(evaluate, "KEPT_BYTES", 0)
    evaluate.Validation(net, large, torch.zeros(2000, dtype=torch.int64), 50).error()
    assert resident(tmp_path / "large") < large.nbytes // 2
