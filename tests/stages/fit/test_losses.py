"""The losses by hand and against torch's own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from stages.fit.losses import LOSSES, cross_entropy, l2_on_logits


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
