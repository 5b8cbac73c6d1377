"""Arrays of the host as tensors on the same memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from stages.store.maps import release


def as_tensor(array: np.ndarray | Tensor) -> Tensor:
    """A tensor on the memory of `array`, which may be read-only and is then not to be written."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.as_tensor(array)


def on_device(array: np.ndarray, device: torch.device) -> np.ndarray | Tensor:
    """What a net on the device reads: a copy there, or the array itself on a CPU."""
    if device.type == "cpu":
        return array

    there = as_tensor(array).to(device)
    release(array)
    return there


def split(images: np.ndarray | Tensor, batch: int) -> Iterator[Tensor]:
    """Batches in order, on the memory of `images`; that of a mapped file is given back behind."""
    whole = as_tensor(images)

    for start in range(0, len(images), batch):
        yield whole[start : start + batch]
        if isinstance(images, np.ndarray):
            release(images[start : start + batch])
