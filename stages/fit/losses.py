"""The two objectives: cross-entropy on labels for teachers and controls, L2 on logits for mimic nets."""

from __future__ import annotations

from collections.abc import Callable

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


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "l2_on_logits": l2_on_logits}
