"""Augmented views of a set of images, for `augment`, `teachers` and whoever trains on the fly.

Order: HSV jitter of the uint8 original, mirror, crop and spline, clip, one rounding. Assumption
(15). The jitter comes first because the hue of a pixel that the spline has made nearly grey is
arbitrary. Everything between the two uint8 images is float64: rounding then hides the last bits,
and the bytes do not depend on chunk size, thread count or device.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .hsv import Jitter, Planes, hsv_planes_to_rgb, rgb_planes_to_hsv
from .spline import mirrored, operator_index, row_operators

_CPU_CHUNK = 64  # more leave the cache: 31,000 images/s at 64, 20,000 at 256 (measured, 1 thread)


class Views:
    """Views of images, by index and draw (Urban et al. 2017, section 2.5).

    Arguments:
        images: uint8 (N, s, s, 3), numpy or torch.
        device: where the views are computed and returned.
        jitter: constants of the colour jitter; all zero skips the colour space altogether.
        crop_min: smallest side of a crop in pixels; the draws must not go below.
        resident_bytes: the HSV planes of all images are kept when they need no more than this
            (24 bytes a pixel), else they are made again for each chunk. Same bytes either way.

    Example:
        >>> views = Views(images, "cpu", Jitter(0.06, 0.26, 0.20, 0.21, 0.13))
        >>> views(order(0, 0, "transfer", 600), draw(0, 0, "transfer", 600)).shape
        torch.Size([600, 32, 32, 3])

    Raises:
        ValueError: images are not uint8 (N, s, s, 3), or crop_min is not in 1..s.
    """

    def __init__(
        self,
        images: np.ndarray | Tensor,
        device: str | torch.device,
        jitter: Jitter,
        crop_min: int = 24,
        resident_bytes: int = 2**30,
    ) -> None:
        images = torch.as_tensor(images)
        shape = tuple(images.shape)
        square = len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3
        if images.dtype != torch.uint8 or not square:
            raise ValueError(f"images are {images.dtype} {shape}, allowed is uint8 (N, s, s, 3)")
        self.size_px, self.crop_min, self.jitter = shape[1], crop_min, jitter
        self.device = torch.device(device)
        operators = row_operators(self.size_px, crop_min)
        both = np.concatenate([operators, mirrored(operators)])
        self._rows = torch.from_numpy(operators).to(self.device)  # (K, s, s)
        # columns act from the right: I M^T, the mirrored half after the plain one
        self._columns = torch.from_numpy(both).mT.contiguous().to(self.device)  # (2 K, s, s)
        self._images = images.to(self.device)
        resident = not jitter.off and images.numel() * 8 <= resident_bytes
        self._hsv = self._convert_all() if resident else None  # 3 x (N, s, s)

    def _convert_all(self) -> Planes:
        count, size = len(self._images), self.size_px
        planes = torch.empty((3, count, size, size), dtype=torch.float64, device=self.device)
        for start in range(0, count, 256):
            stop = start + 256
            for plane, part in zip(planes, _hsv(self._images[start:stop]), strict=True):
                plane[start:stop] = part
        h, s, v = planes
        return h, s, v

    def __call__(
        self, index: np.ndarray | Tensor, draws: np.ndarray | Tensor, chunk: int = 256
    ) -> Tensor:
        """View i is image index[i] under draws[i].

        Arguments:
            index: integers (n,) from 0 to N - 1.
            draws: uint16 (n, 9), columns as in `draws.COLUMNS`.
            chunk: most images at a time; affects memory and speed only. A CPU takes 64 at most.

        Returns:
            uint8 (n, s, s, 3) on the device.

        Raises:
            ValueError: lengths differ, an index is out of range, or a crop leaves the image.
        """
        index = np.asarray(torch.as_tensor(index).cpu(), dtype=np.int64)
        draws = draws.cpu().numpy() if isinstance(draws, Tensor) else draws
        self._check(index, draws, chunk)
        mirror, size, x, y = draws[:, 5:].astype(np.int64).T
        row = operator_index(size, y, self.size_px, self.crop_min)
        column = operator_index(size, x, self.size_px, self.crop_min) + mirror * len(self._rows)
        moved = [torch.from_numpy(a).to(self.device) for a in (index, row, column)]
        factors = torch.from_numpy(self.jitter.factors(draws)).to(self.device)
        shape = (len(index), self.size_px, self.size_px, 3)
        views = torch.empty(shape, dtype=torch.uint8, device=self.device)
        step = min(chunk, _CPU_CHUNK) if self.device.type == "cpu" else chunk
        for start in range(0, len(index), step):
            part = slice(start, start + step)
            images, rows, columns = (m[part] for m in moved)
            views[part] = self._chunk(images, rows, columns, factors[part])
        return views

    def _chunk(self, index: Tensor, row: Tensor, column: Tensor, factors: Tensor) -> Tensor:
        """uint8 (n, s, s, 3) of one chunk."""
        pixels = self._jittered(index, factors)
        n, size = len(index), self.size_px
        # with the channel between rows and columns both products are plain batches of matrices
        pixels = torch.bmm(self._rows[row], pixels.view(n, size, 3 * size))
        pixels = torch.bmm(pixels.view(n, size * 3, size), self._columns[column])
        pixels = pixels.clamp_(0.0, 1.0).mul_(255.0).round_().to(torch.uint8)
        return pixels.view(n, size, 3, size).transpose(2, 3)

    def _jittered(self, index: Tensor, factors: Tensor) -> Tensor:
        """RGB in [0, 1] of the jittered originals, float64 (n, row, channel, column)."""
        if self.jitter.off:
            return self._images[index].transpose(2, 3).to(torch.float64).contiguous().div_(255.0)
        if self._hsv is None:
            h, s, v = _hsv(self._images[index])
        else:
            h, s, v = (plane.index_select(0, index) for plane in self._hsv)
        d_h, d_s, d_v, a_s, a_v = (f.view(-1, 1, 1) for f in factors.unbind(1))
        h.add_(d_h)
        s.mul_(a_s).add_(d_s).clamp_(0.0, 1.0)
        v.mul_(a_v).add_(d_v).clamp_(0.0, 1.0)
        rgb = h.new_empty((len(index), self.size_px, 3, self.size_px))
        hsv_planes_to_rgb(h, s, v, (rgb[:, :, 0], rgb[:, :, 1], rgb[:, :, 2]))
        return rgb

    def _check(self, index: np.ndarray, draws: np.ndarray, chunk: int) -> None:
        if index.ndim != 1 or draws.shape != (len(index), 9) or draws.dtype != np.uint16:
            raise ValueError(
                f"index is {index.shape} and draws {draws.dtype} {draws.shape}, "
                "allowed are (n,) and uint16 (n, 9)"
            )
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}, allowed are integers >= 1")
        if len(index) and not 0 <= index.min() <= index.max() < len(self._images):
            raise ValueError(
                f"index goes from {index.min()} to {index.max()}, "
                f"allowed are 0 to {len(self._images) - 1}"
            )
        mirror, size, x, y = draws[:, 5:].astype(np.int64).T
        fits = (size >= self.crop_min) & (np.maximum(x, y) + size <= self.size_px) & (mirror <= 1)
        if not fits.all():
            bad = int(np.flatnonzero(~fits)[0])
            raise ValueError(
                f"draw {bad} has mirror, size, x, y = {draws[bad, 5:].tolist()}, allowed are crops "
                f"of {self.crop_min} to {self.size_px} px inside the image: "
                "draw with the same size_px and crop_min"
            )


def _hsv(images: Tensor) -> Planes:
    """HSV planes, each float64 (n, s, s) in [0, 1], of images uint8 (n, s, s, 3)."""
    planes = images.permute(3, 0, 1, 2).to(torch.float64, memory_format=torch.contiguous_format)
    return rgb_planes_to_hsv(*planes.div_(255.0))
