"""batches: they do not depend on the pieces."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stages.fit.batches import Pair, in_batches


def epoch(count: int) -> Pair:
    """Images that carry their place, and targets."""
    images = torch.arange(count * 12).view(count, 2, 2, 3)
    return images, torch.arange(count)


def pieces_of(pair: Pair, lengths: list[int]) -> list[Pair]:
    """The epoch cut into pieces."""
    images, targets = pair
    return list(zip(images.split(lengths), targets.split(lengths), strict=True))


@pytest.mark.parametrize("size", [1, 4, 5, 23, 30])
def test_batches_are_those_of_the_whole(size: int) -> None:
    whole = epoch(23)
    wanted = list(zip(*(tensor.split(size) for tensor in whole), strict=True))
    rng = np.random.default_rng(0)
    cuts = [[23], [1] * 23, [20, 3], [3, 20], [0, 23, 0]]
    cuts += [np.diff([0, *sorted(rng.integers(0, 24, 4)), 23]).tolist() for _ in range(20)]

    for lengths in cuts:
        found = list(in_batches(pieces_of(whole, lengths), size))
        assert len(found) == len(wanted)
        for batch, other in zip(found, wanted, strict=True):
            assert torch.equal(batch[0], other[0]) and torch.equal(batch[1], other[1])


def test_whole_batches_are_not_copied() -> None:
    pair = epoch(8)
    batches = list(in_batches(pieces_of(pair, [5, 3]), 2))
    where = [batch[0].data_ptr() - pair[0].data_ptr() for batch in batches]
    each = pair[0][0].nbytes
    assert where[0] == 0 and where[1] == 2 * each and where[3] == 6 * each
    assert where[2] != 4 * each, "this one lies in two pieces"
