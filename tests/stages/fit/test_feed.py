"""Stored epochs in turn, whatever is kept on the device."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.fit import feed as feed_file
from stages.fit.batches import Pair
from stages.fit.feed import CPU_RESIDENT_BYTES, Feed, resident_bytes
from stages.images.host import as_tensor
from tests.helpers.mapped import mapped, resident


def stored(place: int) -> tuple[np.ndarray, np.ndarray]:
    """A stored epoch: five images that carry its number."""
    return np.full((5, 4, 4, 3), place, np.uint8), np.full((5,), place, np.int64)


def first(pieces: Iterable[Pair]) -> int:
    """The first target of an epoch."""
    return int(next(iter(pieces))[1][0])


@pytest.mark.parametrize("resident", [0, 10**9])
def test_feed_gives_stored_epochs_in_turn(device: torch.device, resident: int) -> None:
    read: list[int] = []

    def load(place: int) -> tuple[np.ndarray, np.ndarray]:
        read.append(place)
        return stored(place)

    with Feed(load, 3, device, resident) as feed:
        for epoch in (0, 1, 2, 3, 4, 5, 6, 1, 2, 8):  # in order, then with jumps
            ((images, targets),) = feed(epoch)
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
        assert first(feed(0)) == 0
        with pytest.raises(ValueError, match="epoch-001 is damaged"):
            feed(1)
        assert first(feed(2)) == 2


def test_resident_bytes_are_shared_among_trials(device: torch.device) -> None:
    one, four = resident_bytes(device, 1), resident_bytes(device, 4)
    if device.type == "cuda":
        assert 0 < four < one <= torch.cuda.get_device_properties(device).total_memory
    else:
        assert one == four == CPU_RESIDENT_BYTES


@pytest.mark.parametrize("resident_size", [0, 10**9])
def test_epochs_of_a_map_come_in_pieces_unless_they_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: torch.device, resident_size: int
) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 23, 4, 4, 3), dtype=np.uint8)
    targets = rng.normal(size=(3, 23, 5)).astype(np.float32)
    monkeypatch.setattr(feed_file, "PIECE_BYTES", 5 * 48)

    def load(place: int) -> tuple[np.ndarray, np.ndarray]:
        return (
            mapped(tmp_path / f"{place}.images", images[place]),
            mapped(tmp_path / f"{place}.targets", targets[place]),
        )

    with Feed(load, 3, device, resident_size) as feed:
        for epoch in range(5):
            pieces = list(feed(epoch))
            whole = resident_size > 0 or device.type == "cuda"
            assert [len(piece) for piece, _ in pieces] == ([23] if whole else [5, 5, 5, 5, 3])
            for place, wanted in enumerate((images, targets)):
                found = torch.cat([piece[place] for piece in pieces]).cpu().numpy()
                np.testing.assert_array_equal(found, wanted[epoch % 3])


def test_epochs_of_a_map_are_given_back_behind_and_copied_where_they_are_kept(
    tmp_path: Path, device: torch.device
) -> None:
    if device.type != "cpu":
        pytest.skip("only a CPU reads the map itself")

    path = tmp_path / "images"
    images = np.ones((70, 2**20), np.uint8)

    def load(place: int) -> tuple[np.ndarray, np.ndarray]:
        return mapped(path, images), np.arange(70)

    most = 0
    with Feed(load, 1, device, 0) as feed:
        for epoch in range(2):
            for pixels, _ in feed(epoch):
                assert pixels.sum() == pixels.numel()
                most = max(most, resident(path))
    assert 0 < most < images.nbytes

    with Feed(load, 1, device, 10**9) as feed:
        ((pixels, _),) = feed(0)
        assert pixels.sum() == pixels.numel() and resident(path) < 2**22


def test_an_epoch_may_be_made_up_of_several_places(device: torch.device) -> None:
    read: list[int] = []

    def load(place: int) -> tuple[np.ndarray, np.ndarray]:
        read.append(place)
        return stored(place)

    with Feed(load, 9, device, 0, places=3) as feed:
        for epoch in (0, 1, 2, 3, 1):
            targets = [int(part[0]) for _, part in feed(epoch)]
            first = 3 * (epoch % 3)
            assert targets == [first, first + 1, first + 2]
    assert read[:10] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 0]


class Queue:
    """Stands in for a CUDA stream: what has been queued, and what it waits for."""

    def __init__(self, device: object = None) -> None:
        self.queued: list[str] = []
        self.waits: list[list[str]] = []

    def record_event(self) -> list[str]:
        return list(self.queued)

    def wait_event(self, event: list[str]) -> None:
        self.waits.append(event)


def test_reading_ahead_does_not_wait_for_the_present_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU: the views of the next epoch are not queued behind the steps of this one."""
    default = Queue()
    current = threading.local()

    def current_stream(device: object = None) -> Queue:
        return getattr(current, "stream", default)

    @contextmanager
    def stream(chosen: Queue) -> Iterator[None]:
        current.stream = chosen
        yield
        del current.stream

    monkeypatch.setattr(torch.cuda, "Stream", Queue)
    monkeypatch.setattr(torch.cuda, "current_stream", current_stream)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(feed_file, "_pinned", as_tensor)
    monkeypatch.setattr(Feed, "_to_device", lambda self, array: array)
    on: list[Queue] = []

    def load(place: int) -> tuple[np.ndarray, np.ndarray]:
        on.append(current_stream())
        return stored(place)

    default.queued.append("nets and planes")
    with Feed(load, 9, torch.device("cuda"), 0) as feed:
        for epoch in range(3):
            assert first(feed(epoch)) == epoch
            default.queued.append(f"steps {epoch}")
        own = feed.stream

    assert isinstance(own, Queue) and set(on) == {own}
    made = ["nets and planes"]
    assert own.waits[:3] == [made, made, [*made, "steps 0"]]  # the fourth may not begin any more
