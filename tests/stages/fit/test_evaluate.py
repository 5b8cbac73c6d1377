"""Outputs, accuracy and error of a net."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from stages.fit import evaluate
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
