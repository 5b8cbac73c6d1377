"""Stored training data an epoch at a time: the next epoch is read while the present one is used.

On a CPU an epoch of a memory map is used piece by piece, and no epoch need fit into memory. For
CUDA the present one lies on the device and the next one in pinned memory, whatever their number.
Where all distinct epochs fit into `resident_bytes` they stay on the device, and none is read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from stages.fit.batches import Pair
from stages.images.host import as_tensor
from stages.store.maps import file_of, release
from stages.store.pieces import Array, Chosen, Pieces

Arrays = tuple[Array, np.ndarray]

CPU_RESIDENT_BYTES = 2**29
"""Half a GiB for each trial on a CPU, where the device's memory is the host's."""
PIECE_BYTES = 2**25
"""Of a memory map that is used at a time."""


def resident_bytes(device: torch.device, trials: int) -> int:
    """Bytes that one of `trials` at a time may keep on the device.

    On CUDA an equal part of half of what is free.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // (2 * trials)
    return CPU_RESIDENT_BYTES


class Feed:
    """Stored epoch e mod n for epoch e: images uint8 (n, s, s, 3) and their targets, on the device.

    They come in pieces: one, or several of a memory map on a CPU.

    Args:
        read: place of a stored epoch -> images and targets on the host, or `Chosen` of them; called
            in its own thread, and for CUDA on a stream of its own: it may make views or run nets
            there, and does not wait for the steps of the present epoch. What it gives is on the
            host, so that nothing crosses the streams.
        stored: number of places n.
        device: where they are needed.
        resident: bytes that may be kept on the device, see `resident_bytes`.
        places: how many places in a row make up an epoch, if not one.

    Use as a context manager: leaving it waits for a read in flight. An error of `read` is raised by
    the call that needs its epoch.

    Example:
        >>> def read(place):
        ...     return np.full((4, 2, 2, 3), place, np.uint8), np.full(4, place)
        >>> with Feed(read, 3, torch.device("cpu"), resident=0) as feed:
        ...     [targets[0].item() for epoch in range(5) for _, targets in feed(epoch)]
        [0, 1, 2, 0, 1]
    """

    def __init__(
        self,
        read: Callable[[int], Arrays | Chosen],
        stored: int,
        device: torch.device,
        resident: int,
        places: int = 1,
    ) -> None:
        self.read = read
        self.stored = stored
        self.device = device
        self.resident = resident
        self.places = places
        self.kept: dict[int, Pair] = {}
        self.coming: dict[int, Future[Arrays | Chosen | Pair]] = {}
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __enter__(self) -> Feed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.thread.shutdown(wait=True, cancel_futures=True)

    def __call__(self, epoch: int) -> Iterable[Pair]:
        """Pieces of images and targets of a training epoch, from 0; ordered as stored."""
        first, *others = range(epoch * self.places, (epoch + 1) * self.places)
        return chain(self._at(first), chain.from_iterable(map(self._at, others)))

    def _at(self, number: int) -> Iterable[Pair]:
        """Pieces of what is stored at a place; the place after it begins to be read."""
        place = number % self.stored
        pieces = [self.kept[place]] if place in self.kept else self._take(place)

        self._ask((place + 1) % self.stored)
        return pieces

    def _take(self, place: int) -> Iterable[Pair]:
        """What is stored there, on the device, and kept there if everything fits."""
        self._ask(place)
        found = self.coming.pop(place).result()
        self.coming.clear()  # after a jump, what was read ahead is not needed

        if isinstance(found, Chosen):
            if found.nbytes * self.stored > self.resident:
                return _chosen(found)
            found = found.whole()

        images, targets = found
        resident = (images.nbytes + targets.nbytes) * self.stored <= self.resident
        if not (resident or isinstance(images, Tensor) or isinstance(targets, Tensor)):
            return _pieces(images, targets)

        pair = self._to_device(images), self._to_device(targets)
        if resident:
            self.kept[place] = pair
        return [pair]

    def _ask(self, place: int) -> None:
        """Begin to read a place, unless it is there or being read."""
        if place not in self.kept and place not in self.coming:
            # What `read` may need of this thread has been queued by now; the steps of the epoch
            # that is about to be used have not.
            ready = None
            if self.stream is not None:
                ready = torch.cuda.current_stream(self.device).record_event()

            self.coming[place] = self.thread.submit(self._load, place, ready)

    def _load(self, place: int, ready: torch.cuda.Event | None) -> Arrays | Chosen | Pair:
        """In the thread: what is stored there on the host, for CUDA in pinned memory."""
        if self.stream is None or ready is None:
            return self.read(place)

        with torch.cuda.stream(self.stream):
            self.stream.wait_event(ready)
            found = self.read(place)

        images, targets = found.whole() if isinstance(found, Chosen) else found
        return _pinned(images), _pinned(targets)

    def _to_device(self, array: Array | Tensor) -> Tensor:
        """Memory of its own: a file is not read again."""
        if isinstance(array, Pieces):
            return as_tensor(array.whole())
        if isinstance(array, np.ndarray):
            return as_tensor(array if file_of(array) is None else _copied(array))
        return array.to(self.device, non_blocking=True)


def _pinned(array: Array) -> Tensor:
    array = array.whole() if isinstance(array, Pieces) else array
    pinned = as_tensor(array).pin_memory()
    release(array)
    return pinned


def _copied(array: np.ndarray) -> np.ndarray:
    copied = np.empty_like(array)
    step = _images_in(PIECE_BYTES, array)

    for start in range(0, len(array), step):
        part = slice(start, start + step)
        copied[part] = array[part]
        release(array[part])

    return copied


def _pieces(images: Array, targets: np.ndarray) -> Iterator[Pair]:
    """Pieces on the memory of a map, which is given back behind; other arrays are one piece."""
    if isinstance(images, Pieces):
        yield from _made(images, targets)
        return

    step = len(images)
    if file_of(images) is not None:
        step = _images_in(PIECE_BYTES, images)

    for start in range(0, len(images), step):
        part = slice(start, start + step)
        yield as_tensor(images[part]), as_tensor(targets[part])
        release(images[part])
        release(targets[part])


def _made(images: Pieces, targets: np.ndarray) -> Iterator[Pair]:
    """Images that are made now, and their targets."""
    start = 0
    for piece in images.parts:
        part = slice(start, start + len(piece))
        yield as_tensor(piece), as_tensor(targets[part])
        release(targets[part])
        start = part.stop


def _chosen(chosen: Chosen) -> Iterator[Pair]:
    """Images that are chosen now, and their targets."""
    for images, targets in chosen.pieces():
        yield as_tensor(images), as_tensor(targets)


def _images_in(size: int, images: np.ndarray) -> int:
    """How many of these there are in so many bytes, at least one."""
    return max(1, size // images[0].nbytes)
