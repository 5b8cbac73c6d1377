"""Vectors in the place of views: what has no augmentation is presented as it is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from stages.images.host import as_tensor
from stages.images.hsv import Jitter
from stages.images.views import Views
from stages.store.maps import PART_BYTES, release, rows


class Vectors:
    """Vectors by index, with the interface of `Views`.

    Args:
        vectors: float32 (N, ...). On a CPU those in a large memory map are
            read when it is their turn.
        device: where they are kept and returned.
    """

    size_px = None

    def __init__(self, vectors: np.ndarray, device: str | torch.device) -> None:
        self.device = torch.device(device)
        self._file: np.ndarray | None = None
        self._vectors = as_tensor(vectors)

        if self.device.type == "cpu" and vectors.nbytes > PART_BYTES:
            self._file = vectors
        else:
            self._vectors = self._vectors.to(self.device)
            release(vectors)

    def __call__(self, index: np.ndarray, draws: np.ndarray) -> Tensor:
        """float32 (n, ...), vector index[i] in place i.

        Raises:
            ValueError: lengths differ, or a draw is not 0: of a vector there is no other view.
        """
        if draws.shape[:1] != index.shape or draws.any():
            raise ValueError(
                f"draws are {draws.shape} for {len(index)} vectors, allowed are as many rows of zeros"
            )

        if self._file is not None:
            return torch.from_numpy(rows(self._file, index))

        return self._vectors[torch.from_numpy(index).long().to(self.device)]


def views_of(
    images: np.ndarray,
    device: str | torch.device,
    hsv: Iterable[float],
    crop_min: int | None,
    planes: np.ndarray | None = None,
) -> Views | Vectors:
    """`Views` of images uint8 (N, s, s, 3), `Vectors` of vectors float32 (N, ...).

    Args:
        images: or vectors, for which the arguments after `device` do not count.
        device: where they are kept and returned.
        hsv: the constants of `Jitter`, in its order.
        crop_min: smallest side of a crop in pixels; None for vectors.
        planes: `hsv_planes(images)`, if they are there already.
    """
    if images.dtype == np.float32:
        return Vectors(images, device)

    assert crop_min is not None
    return Views(images, device, Jitter(*hsv), crop_min, planes=planes)
