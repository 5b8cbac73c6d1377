"""Stored epochs in turn, whatever is kept on the device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stages.fit.feed import CPU_RESIDENT_BYTES, Feed, resident_bytes


def stored(place: int) -> tuple[np.ndarray, np.ndarray]:
    """A stored epoch: five images that carry its number."""
    return np.full((5, 4, 4, 3), place, np.uint8), np.full((5,), place, np.int64)


@pytest.mark.parametrize("resident", [0, 10**9])
def test_feed_gives_stored_epochs_in_turn(device: torch.device, resident: int) -> None:
    read: list[int] = []

    def load(place: int) -> tuple[np.ndarray, np.ndarray]:
        read.append(place)
        return stored(place)

    with Feed(load, 3, device, resident) as feed:
        for epoch in (0, 1, 2, 3, 4, 5, 6, 1, 2, 8):  # in order, then with jumps
            images, targets = feed(epoch)
            assert images.device.type == targets.device.type == device.type
            assert images.shape == (5, 4, 4, 3) and images.dtype == torch.uint8
            assert set(images.flatten().tolist()) == set(targets.tolist()) == {epoch % 3}
            assert len(feed.coming) <= 1, "one epoch is read ahead"
    if resident:
        assert sorted(read) == [0, 1, 2], "what fits on the device is read once"
    else:
        assert len(read) >= 10


def test_feed_raises_the_error_of_the_epoch_that_is_needed(device: torch.device) -> None:
    def load(place: int) -> tuple[np.ndarray, np.ndarray]:
        if place == 1:
            raise ValueError("epoch-001 is damaged")
        return stored(place)

    with Feed(load, 3, device, 0) as feed:
        assert feed(0)[1][0] == 0
        with pytest.raises(ValueError, match="epoch-001 is damaged"):
            feed(1)
        assert feed(2)[1][0] == 2


def test_resident_bytes_are_shared_among_trials(device: torch.device) -> None:
    one, four = resident_bytes(device, 1), resident_bytes(device, 4)
    if device.type == "cuda":
        assert 0 < four < one <= torch.cuda.get_device_properties(device).total_memory
    else:
        assert one == four == CPU_RESIDENT_BYTES
