"""A small net, data that it learns or cannot learn, and short training runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stages.fit.checkpoint import Checkpoint
from stages.fit.loop import Outcome, Recipe, train


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


def toy(device: torch.device, count: int = 96, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Dark and bright noisy images uint8 (n, 6, 6, 3), and which is which."""
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
    graphs: bool = True,
    **changes: Any,
) -> Outcome:
    """A small run: a new draw of training images in each epoch.

    What is put in the place of the optimiser's step is called in each step with `graphs=False`
    alone: on CUDA a graph is captured once and replayed.
    """
    net = make_net(device, classes=3, dropout=0.3) if net is None else net
    recipe = Recipe(**{**RECIPE, "epoch_images": len(data(device)[1]), **changes})
    return train(
        net,
        recipe,
        lambda e: [data(device, seed=10 + e)],
        data(device, 60, seed=1),
        5,
        checkpoint,
        on_epoch,
        graphs,
    )


def same(a: Outcome, b: Outcome) -> bool:
    """Whether two outcomes are equal to the last bit."""
    facts = (a.errors, a.losses, a.best_epoch, a.why) == (b.errors, b.losses, b.best_epoch, b.why)
    return facts and all(torch.equal(a.state[name], b.state[name]) for name in b.state)
