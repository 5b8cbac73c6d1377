"""Vectors in the place of views: what has no augmentation is presented as it is; used by whoever
presents epochs.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from .hsv import Jitter
from .views import Views


class Vectors:
    """Vectors by index, with the interface of `Views`.

    Arguments:
        vectors: float32 (N, ...).
        device: where they are kept and returned.
    """

    size_px = None

    def __init__(self, vectors: np.ndarray, device: str | torch.device) -> None:
        self.device = torch.device(device)
        self._vectors = torch.from_numpy(vectors).to(self.device)

    def __call__(self, index: np.ndarray, draws: np.ndarray) -> Tensor:
        """float32 (n, ...), vector index[i] in place i.

        Raises:
            ValueError: lengths differ, or a draw is not 0: of a vector there is no other view.
        """
        if draws.shape[:1] != index.shape or draws.any():
            raise ValueError(
                f"draws are {draws.shape} for {len(index)} vectors, allowed are as many rows of zeros"
            )
        return self._vectors[torch.from_numpy(index).long().to(self.device)]


def views_of(
    images: np.ndarray,
    device: str | torch.device,
    hsv: Iterable[float],
    crop_min: int | None,
    planes: np.ndarray | None = None,
) -> Views | Vectors:
    """`Views` of images uint8 (N, s, s, 3), or `Vectors` float32 (N, ...), for which the others do
    not count.

    Arguments:
        hsv: the constants of `Jitter`, in its order.
    """
    if images.dtype == np.float32:
        return Vectors(images, device)
    assert crop_min is not None
    return Views(images, device, Jitter(*hsv), crop_min, planes=planes)
