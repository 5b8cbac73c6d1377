"""Weights of the members in the ensemble's mean; ours, the paper's are equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn

MOST = 100.0
"""Of a weight of logits with deviation 1: where the members are never wrong, no weight is best."""
DIGITS = 6
"""Of the weights that are found: the rest is rounding, which differs between machines."""


class Weighted(nn.Module):
    """A member whose logits count as often as its weight says: a plain mean of several is weighted.

    Args:
        net: (n, ...) -> logits (n, classes).
        factor: of its logits: its weight, times the number of members.
    """

    def __init__(self, net: nn.Module, factor: float) -> None:
        super().__init__()
        self.net = net
        self.factor = factor

    def forward(self, images: Tensor) -> Tensor:
        """Logits times the factor, float32."""
        return self.net(images).float() * self.factor


def weighted(nets: list[nn.Module], weights: Sequence[float] | None) -> list[nn.Module]:
    """Nets whose plain mean is the weighted one; None: the nets themselves."""
    if weights is None:
        return nets
    return [
        Weighted(net, weight * len(nets))
        for net, weight in zip(nets, weights[: len(nets)], strict=True)
    ]


def given_weights(given: Mapping[str, float], names: Sequence[str]) -> tuple[float, ...]:
    """Weights by name, with the sum 1, in the order of the members.

    >>> given_weights({"forest": 1, "resnet18": 3}, ["resnet18", "forest"])
    (0.75, 0.25)

    Raises:
        ValueError: the names are not those of the members.
    """
    if sorted(given) != sorted(names):
        raise ValueError(
            f"ensemble.weights names {', '.join(sorted(given))}, the members are "
            f"{', '.join(sorted(names))}: give each a weight"
        )
    total = sum(given.values())
    return tuple(given[name] / total for name in names)


def found_weights(outputs: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    """Weights of 0 or more, with the sum 1, of the lowest cross-entropy on the validation images.

    Logits of different nets may have different scales. So each net's are divided by their deviation
    while weights are sought, and the sum of these is free; the problem is convex, and the result the
    same on each machine to rounding.

    Args:
        outputs: logits (nets, n, classes).
        labels: int64 (n,).

    Raises:
        ValueError: no net is better than none.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp, softmax

    values = outputs.astype(np.float64)
    rounding = 1e-6 * np.abs(values).max(axis=(1, 2))
    values -= values.mean(axis=2, keepdims=True)  # changes no probability
    scales = values.std(axis=(1, 2))
    scales[scales <= rounding] = 1  # the same for all classes: any weight does
    values /= scales[:, None, None]
    at_label = values[:, np.arange(len(labels)), labels]  # (nets, n)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mean = np.tensordot(weights, values, 1)  # (n, classes)
        shares = softmax(mean, axis=1)
        error = float((logsumexp(mean, axis=1) - weights @ at_label).mean())
        slope = ((values * shares).sum(2) - at_label).mean(1)
        return error, slope

    start = np.full(len(values), 1 / len(values))
    bounds = [(0.0, MOST)] * len(values)
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x / scales
    if not found.sum() > 0:
        raise ValueError(
            "ensemble.weights is found, and no member is better than none on the validation images: "
            "set it to equal, or change the members"
        )
    return tuple(float(f"{weight:.{DIGITS}g}") for weight in found / found.sum())
