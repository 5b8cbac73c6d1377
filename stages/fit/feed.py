"""Stored training data an epoch at a time: the next epoch is read while the present one is used.

Host memory: at most two epochs at a time, whatever their number (on CUDA the present one lies on
the device and the next one in pinned memory). Where all distinct epochs fit into `resident_bytes`
they stay on the device, and none is read twice.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

Arrays = tuple[np.ndarray, np.ndarray]
Pair = tuple[Tensor, Tensor]

CPU_RESIDENT_BYTES = 2**29
"""Half a GiB for each trial on a CPU, where the device's memory is the host's."""


def resident_bytes(device: torch.device, trials: int) -> int:
    """Bytes that one of `trials` at a time may keep on the device.

    On CUDA an equal part of half of what is free.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // (2 * trials)
    return CPU_RESIDENT_BYTES


class Feed:
    """Stored epoch e mod n for epoch e: images uint8 (n, s, s, 3) and their targets, on the device.

    Args:
        read: number of a stored epoch -> images and targets on the host; called in its own thread.
        stored: number of stored epochs n.
        device: where they are needed.
        resident: bytes that may be kept on the device, see `resident_bytes`.

    Use as a context manager: leaving it waits for a read in flight. An error of `read` is raised by
    the call that needs its epoch.

    Example:
        >>> def read(place):
        ...     return np.full((4, 2, 2, 3), place, np.uint8), np.full(4, place)
        >>> with Feed(read, 3, torch.device("cpu"), resident=0) as feed:
        ...     [feed(epoch)[1][0].item() for epoch in range(5)]
        [0, 1, 2, 0, 1]
    """

    def __init__(
        self, read: Callable[[int], Arrays], stored: int, device: torch.device, resident: int
    ) -> None:
        self.read = read
        self.stored = stored
        self.device = device
        self.resident = resident
        self.kept: dict[int, Pair] = {}
        self.coming: dict[int, Future[Pair]] = {}
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="feed")

    def __enter__(self) -> Feed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.thread.shutdown(wait=True, cancel_futures=True)

    def __call__(self, epoch: int) -> Pair:
        """Images and targets of a training epoch, from 0; ordered as stored."""
        place = epoch % self.stored
        pair = self.kept[place] if place in self.kept else self._take(place)

        self._ask((place + 1) % self.stored)
        return pair

    def _take(self, place: int) -> Pair:
        """A stored epoch on the device, kept there if all of them fit."""
        self._ask(place)
        pair = self._to_device(self.coming.pop(place).result())
        self.coming.clear()  # after a jump, what was read ahead is not needed

        if self._bytes(pair) * self.stored <= self.resident:
            self.kept[place] = pair
        return pair

    def _ask(self, place: int) -> None:
        """Begin to read a stored epoch, unless it is there or being read."""
        if place not in self.kept and place not in self.coming:
            self.coming[place] = self.thread.submit(self._load, place)

    def _load(self, place: int) -> Pair:
        """In the thread: a stored epoch in host memory, pinned for CUDA."""
        images, targets = (torch.from_numpy(array) for array in self.read(place))
        if self.device.type == "cuda":
            return images.pin_memory(), targets.pin_memory()
        return images, targets

    def _to_device(self, pair: Pair) -> Pair:
        images, targets = (tensor.to(self.device, non_blocking=True) for tensor in pair)
        return images, targets

    @staticmethod
    def _bytes(pair: Pair) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in pair)
