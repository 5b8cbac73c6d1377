"""weights: members that count differently."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import nn

from stages.fit.evaluate import mean_logits
from stages.store import predictions
from stages.transfer.weights import Weighted, found_weights, given_weights, weighted


def cross_entropy(weights: np.ndarray, outputs: np.ndarray, labels: np.ndarray) -> float:
    mean = np.tensordot(weights, outputs, 1)
    return float(-log_softmax(mean, axis=1)[np.arange(len(labels)), labels].mean())


def some_nets(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A good net, a worse one on a larger scale, and noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, 400)
    truth = np.eye(4)[labels]
    good = 2 * truth + rng.normal(size=truth.shape)
    worse = 10 * (truth + 1.5 * rng.normal(size=truth.shape))
    return np.stack([good, worse, rng.normal(size=truth.shape)]), labels


def test_found_weights_have_the_lowest_cross_entropy_of_all_near_them() -> None:
    outputs, labels = some_nets()
    weights = np.array(found_weights(outputs, labels))
    assert weights.sum() == pytest.approx(1, abs=1e-5) and (weights >= 0).all()
    assert weights[0] > 10 * weights[1] and weights[2] < 0.1

    # At the scale that suits them, no change of one weight makes it better.
    scales = np.geomspace(0.1, 10, 400)
    scale = scales[np.argmin([cross_entropy(s * weights, outputs, labels) for s in scales])]
    best = cross_entropy(scale * weights, outputs, labels)
    for place in range(3):
        for change in (-0.05, 0.05):
            other = scale * weights
            other[place] = max(other[place] + change, 0)
            assert cross_entropy(other, outputs, labels) > best - 1e-5


def test_found_weights_do_not_depend_on_the_order() -> None:
    outputs, labels = some_nets(1)
    first = found_weights(outputs, labels)
    np.testing.assert_allclose(found_weights(outputs[::-1], labels)[::-1], first, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e5])
def test_found_weights_balance_any_scale(scale: float) -> None:
    """A net with logits so many times as large, or shifted for all classes, gets so much less."""
    outputs, labels = some_nets(2)
    better = outputs[:2]  # the noise has no weight whose ratio could be compared
    first, second = found_weights(better, labels)
    shift = 50 * scale * np.arange(len(labels))[:, None]
    scaled, other = found_weights(np.stack([scale * better[0] + shift, better[1]]), labels)
    assert scaled + other == pytest.approx(1, abs=1e-5)
    assert scaled * scale / other == pytest.approx(first / second, rel=1e-3)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
def test_equally_good_nets_get_the_ratio_of_their_scales(scale: float) -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 4, 4000)
    truth = 2 * np.eye(4)[labels]
    one, two = (truth + rng.normal(size=truth.shape) for _ in range(2))
    first, second = found_weights(np.stack([one, scale * two]), labels)
    assert second * scale / first == pytest.approx(1, rel=0.1)


def test_a_net_that_gives_all_classes_the_same_does_not_take_the_weight_of_others() -> None:
    """Its deviation is rounding, by which nothing may be divided."""
    outputs, labels = some_nets(3)
    same = 0.1 + np.repeat(1e-9 * outputs[2].mean(1, keepdims=True), 4, axis=1)
    same[:, 0] += 1e-16
    weights = found_weights(np.stack([outputs[0], same]), labels)
    assert all(0 <= weight <= 1 for weight in weights) and weights[0] > 0.001


def test_members_of_which_none_is_better_than_none() -> None:
    labels = np.arange(40) % 2
    wrong = 5.0 * np.eye(2)[1 - labels]
    with pytest.raises(ValueError, match="no member is better than none"):
        found_weights(np.stack([wrong, 2 * wrong]), labels)


def test_given_weights_are_by_name() -> None:
    assert given_weights({"a": 1.0, "b": 3.0}, ["b", "a"]) == (0.75, 0.25)
    with pytest.raises(ValueError, match=r"names a, c, the members are a, b: give each a weight"):
        given_weights({"a": 1.0, "c": 1.0}, ["b", "a"])


def test_the_plain_mean_of_weighted_nets_is_the_weighted_mean() -> None:
    """The stages label with nets, and report from stored outputs: both ways are one."""
    torch.manual_seed(0)
    nets: list[nn.Module] = [nn.Sequential(nn.Flatten(), nn.Linear(12, 3)) for _ in range(2)]
    images = np.random.default_rng(0).normal(size=(5, 2, 2, 3)).astype(np.float32)
    weights = (0.25, 0.75)
    made = mean_logits(weighted(nets, weights), images, 8, "fp32", [2])[2]

    with torch.inference_mode():
        alone = {i: net(torch.from_numpy(images)).numpy() for i, net in enumerate(nets)}
    np.testing.assert_allclose(made, predictions.mean_logits(alone, weights), atol=1e-6)
    np.testing.assert_allclose(made, 0.25 * alone[0] + 0.75 * alone[1], atol=1e-6)


def test_without_weights_the_nets_are_themselves() -> None:
    nets: list[nn.Module] = [nn.Linear(1, 1)]
    assert weighted(nets, None) is nets
    assert isinstance(weighted(nets, (1.0,))[0], Weighted)
