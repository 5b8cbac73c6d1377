"""Batches of an epoch that comes in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]


def in_batches(pieces: Iterable[Pair], size: int) -> Iterator[Pair]:
    """Batches of `size`, the last one smaller: those of all pieces joined.

    Only a batch that lies in several pieces is copied.

    Args:
        pieces: images and targets, in order.

    Example:
        >>> pieces = [(torch.arange(3), torch.arange(3)), (torch.arange(3, 5), torch.arange(3, 5))]
        >>> [images.tolist() for images, _ in in_batches(pieces, 2)]
        [[0, 1], [2, 3], [4]]
    """
    rest: Pair | None = None

    for images, targets in pieces:
        first = 0

        # What is left of the pieces before is filled up.
        if rest is not None:
            first = size - len(rest[0])
            rest = _joined(rest, (images[:first], targets[:first]))
            if len(rest[0]) < size:
                continue
            yield rest
            rest = None

        # Whole batches, and what is left.
        for start in range(first, len(images), size):
            batch = images[start : start + size], targets[start : start + size]
            if len(batch[0]) == size:
                yield batch
            else:
                rest = batch

    if rest is not None:
        yield rest


def _joined(first: Pair, second: Pair) -> Pair:
    images, targets = (torch.cat(both) for both in zip(first, second, strict=True))
    return images, targets
