"""The objectives: cross-entropy on labels, L2 on logits for mimic nets, and distillation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]


def l2_on_logits(outputs: Tensor, logits: Tensor) -> Tensor:
    """Squared error summed over the outputs, averaged over the batch (section 2.2, equation 1).

    `torch.nn.functional.mse_loss` averages over the outputs too and is smaller by their number.

    Args:
        outputs: (batch, classes) pre-softmax outputs of the net.
        logits: (batch, classes) float32 averaged logits of the ensemble.

    Returns:
        scalar.
    """
    return (outputs - logits).square().sum(dim=1).mean()


def cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy averaged over the batch; labels int64 (batch,)."""
    return functional.cross_entropy(outputs, labels)


def distillation(temperature: float, hard_weight: float) -> Loss:
    """Softened targets mixed with the true labels (Hinton et al. 2015, section 2).

    Averaged over the batch:
    (1 - w) T^2 KL(softmax(logits / T) || softmax(outputs / T)) + w CE(labels, softmax(outputs)).
    The factor T^2 keeps the size of the first term's gradients when T changes. The KL divergence
    differs from their cross-entropy by the entropy of the targets, which has no gradient.

    Args:
        temperature: T > 0.
        hard_weight: w in [0, 1].

    Returns:
        a loss whose targets are those of `with_labels`.
    """

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        logits = targets[:, :-1]
        labels = targets[:, -1].long()

        soft = functional.kl_div(
            (outputs / temperature).log_softmax(dim=1),
            (logits / temperature).log_softmax(dim=1),
            reduction="batchmean",
            log_target=True,
        )
        hard = functional.cross_entropy(outputs, labels)
        return (1 - hard_weight) * temperature**2 * soft + hard_weight * hard

    return loss


def with_labels(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Logits and labels side by side, as the loss of `distillation` takes them.

    Args:
        logits: float32 (n, classes).
        labels: integers (n,) below 2^24, where float32 is exact.

    Returns:
        float32 (n, classes + 1).
    """
    return np.concatenate([logits, labels[:, None].astype(np.float32)], axis=1)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "l2_on_logits": l2_on_logits}
