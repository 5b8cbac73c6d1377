"""Augmented views of a set of images.

Order: HSV jitter of the uint8 original, mirror, crop and spline, clip, one rounding. Assumption
(15). The jitter comes first because the hue of a pixel that the spline has made nearly grey is
arbitrary; it is done pixel by pixel, so that windows are cut out before it and only what a crop
shows is jittered. Everything between the two uint8 images is float64: rounding then hides the last bits,
and the bytes do not depend on chunk size, thread count or device.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from stages.images.draws import COLUMNS, MIRROR, SIZE
from stages.images.host import as_tensor
from stages.images.hsv import Jitter, hsv_planes_to_rgb, rgb_planes_to_hsv
from stages.images.spline import zoom_operators
from stages.store.maps import file_of, release, rows

_CPU_CHUNK = 48  # fewer pay for more calls, more leave the cache
_CPU_PLANES = 64  # images whose planes are made at a time
_GPU_PIXELS = 2**22  # the same in pixels: a piece costs some twenty launches, whatever its size
_GPU_BYTES = 2**29  # of views that lie on a GPU twice while they are put in order

# added to a float64 below 2**51, it rounds that to an integer, half to even, in its lowest bits
_ROUND = 1.5 * 2.0**52


def hsv_planes(images: np.ndarray | Tensor) -> Tensor:
    """Hue, saturation and value of `images`, for the `planes` of any number of `Views` on them.

    Args:
        images: uint8 (N, s, s, 3), numpy or torch.

    Returns:
        float64 (3, N, s, s) in [0, 1] on the device of the images, column by column: the last axis
            is the row of an image. 24 bytes a pixel.

    Raises:
        ValueError: images are not uint8 (N, s, s, 3).
    """
    return _planes(_checked(images))


class Views:
    """Views of images, by index and draw (Urban et al. 2017, section 2.5).

    Args:
        images: uint8 (N, s, s, 3), numpy or torch. On a CPU the images of a large memory map are
            read chunk by chunk.
        device: where the views are computed and returned.
        jitter: constants of the colour jitter; all zero skips the colour space altogether.
        crop_min: smallest side of a crop in pixels; the draws must not go below.
        resident_bytes: the HSV planes of all images are kept when they need no more than this
            (24 bytes a pixel), else they are computed again for each chunk, from images that are
            read again too if they are mapped. Same bytes either way.
        planes: `hsv_planes(images)`, computed elsewhere; processes may share one read-only memory map
            of them. Never written, and used whatever `resident_bytes` says. Same bytes again.

    Example:
        >>> from stages.images.draws import draw, order
        >>> images = np.zeros((600, 32, 32, 3), dtype=np.uint8)
        >>> views = Views(images, "cpu", Jitter(0.06, 0.26, 0.20, 0.21, 0.13))
        >>> views(order(0, 0, "transfer", 600), draw(0, 0, "transfer", 600)).shape
        torch.Size([600, 32, 32, 3])

    Raises:
        ValueError: images are not uint8 (N, s, s, 3), planes are not theirs by shape or type, or
            crop_min is not in 1..s.
    """

    def __init__(
        self,
        images: np.ndarray | Tensor,
        device: str | torch.device,
        jitter: Jitter,
        crop_min: int = 24,
        resident_bytes: int = 2**30,
        planes: np.ndarray | Tensor | None = None,
    ) -> None:
        pixels = _checked(images)
        self.size_px = pixels.shape[1]
        self.crop_min = crop_min
        self.jitter = jitter
        self.device = torch.device(device)
        self._on_host = self.device.type == "cpu"

        # columns act from the left, on pixels (column, ...): reversed they act on the mirrored crop
        self._columns: dict[tuple[int, int], Tensor] = {}
        self._rows: dict[int, Tensor] = {}
        for size, zoom in zoom_operators(self.size_px, crop_min).items():
            for mirror, matrix in enumerate((zoom, zoom[:, ::-1])):
                self._columns[size, mirror] = torch.from_numpy(matrix.copy()).to(self.device)
            self._rows[size] = torch.from_numpy(255.0 * zoom).to(self.device)

        # one of the three is kept
        self._count = len(pixels)
        self._file: np.ndarray | None = None
        self._images: Tensor | None = None
        self._hsv: Tensor | None = None
        small = pixels.numel() * 8 <= resident_bytes

        if not jitter.off and planes is not None:
            self._hsv = _shared(planes, pixels).to(self.device).contiguous()
        elif not jitter.off and small:
            self._hsv = _planes(pixels.to(self.device))
        elif self._on_host and _is_mapped(images) and not small:
            self._file = np.asarray(images)
        else:
            self._images = pixels.to(self.device).contiguous()

        if isinstance(images, np.ndarray):
            release(images)

    def __call__(
        self, index: np.ndarray | Tensor, draws: np.ndarray | Tensor, chunk: int = 4096
    ) -> Tensor:
        """View i is image index[i] under draws[i].

        Args:
            index: integers (n,) from 0 to N - 1.
            draws: uint16 (n, 9), columns as in `draws.COLUMNS`.
            chunk: most images at a time; affects memory and speed only. A CPU takes 48 at most.

        Returns:
            uint8 (n, s, s, 3) on the device.

        Raises:
            ValueError: lengths differ, an index is out of range, or a crop leaves the image.
        """
        index = np.asarray(torch.as_tensor(index).cpu(), dtype=np.int64)
        draws = draws.cpu().numpy() if isinstance(draws, Tensor) else draws
        self._check(index, draws, chunk)

        shape = (len(index), self.size_px, self.size_px, 3)
        views = torch.empty(shape, dtype=torch.uint8, device=self.device)

        most = len(index) if self._on_host else _GPU_BYTES // (3 * self.size_px**2)
        block = max(1, most)
        for first in range(0, len(index), block):
            part = slice(first, first + block)
            self._fill(views[part], index[part], draws[part], chunk)

        return views

    def _fill(self, views: Tensor, index: np.ndarray, draws: np.ndarray, chunk: int) -> None:
        """Write the views of these images."""
        # Images with one size of crop, mirrored all or none, share their two matrices.
        kind = draws[:, SIZE].astype(np.int64) * 2 + draws[:, MIRROR]
        order = np.argsort(kind, kind="stable")
        starts = torch.from_numpy(self._starts(index, draws)[order]).to(self.device)
        factors = torch.from_numpy(self.jitter.factors(draws)[order]).to(self.device)

        # Chunks
        step = min(chunk, _CPU_CHUNK) if self._on_host else chunk
        by_kind = None if self._on_host else torch.empty_like(views)

        with torch.inference_mode():  # its calls cost less; there are some forty a chunk
            for part in _alike(kind[order], step):
                places = order[part]
                size, mirror = divmod(int(kind[places[0]]), 2)
                source, first = self._source(index[places], starts[part])
                made = self._chunk(source, first, size, mirror, factors[part])

                if by_kind is None:
                    views.numpy()[places] = made.numpy()  # torch is slower for bytes
                else:
                    by_kind[part] = made

            # On CUDA writing to places (index_put_) sorts them and waits for the device in each
            # call, where algorithms are to be deterministic; reading from places does neither.
            if by_kind is not None:
                inverse = torch.from_numpy(np.argsort(order)).to(self.device)
                torch.index_select(by_kind, 0, inverse, out=views)

    def _starts(self, index: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Where each crop begins in the flat planes or images, or in its image; int64 (n,)."""
        mirror, size, x, y = draws[:, MIRROR:].astype(np.int64).T
        side = self.size_px
        x = np.where(mirror, side - size - x, x)  # the left edge in the image as it is

        if self._hsv is not None:
            return (index * side + x) * side + y
        if self._images is not None:
            return ((index * side + y) * side + x) * 3
        return (y * side + x) * 3

    def _source(self, index: np.ndarray, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Planes or images that these images are cut from, and where their crops begin there."""
        if self._file is None:
            kept = self._hsv if self._images is None else self._images
            assert kept is not None
            return kept, starts

        images = torch.from_numpy(rows(self._file, index))
        return images, starts + torch.arange(len(index)) * images[0].numel()

    def _chunk(
        self, source: Tensor, starts: Tensor, size: int, mirror: int, factors: Tensor
    ) -> Tensor:
        """uint8 (n, s, s, 3) of crops of one size, mirrored all or none."""
        n = len(starts)
        side = self.size_px
        pixels = self._jittered(source, starts, size, factors)

        # from (column, channel, row) the second product, transposed, comes out as (row, column,
        # channel)
        pixels = torch.bmm(self._columns[size, mirror].expand(n, -1, -1), pixels.flatten(2))
        pixels = torch.bmm(
            self._rows[size].expand(n, -1, -1), pixels.view(n, 3 * side, -1)[:, :, :size].mT
        )

        bits = pixels.clamp_(0.0, 255.0).add_(_ROUND).view(torch.int64)
        return bits.to(torch.uint8).view(n, side, side, 3)

    def _jittered(self, source: Tensor, starts: Tensor, size: int, factors: Tensor) -> Tensor:
        """RGB in [0, 1] of the jittered crops, float64 (n, column, channel, row or one more)."""
        if self.jitter.off:
            return _unit(self._crops(source, starts, size).permute(0, 2, 3, 1))

        # Planes
        if self._hsv is None:
            crops = self._crops(source, starts, size)
            h, s, v = rgb_planes_to_hsv(*_unit(crops.permute(3, 0, 2, 1)))
        else:
            h, s, v = (_windows(plane, starts, (size, size), (self.size_px, 1)) for plane in source)

        # Jitter
        d_h, d_s, d_v, a_s, a_v = factors.T.reshape(5, -1, 1, 1)
        h.add_(d_h)
        s.mul_(a_s).add_(d_s).clamp_(0.0, 1.0)
        v.mul_(a_v).add_(d_v).clamp_(0.0, 1.0)

        # products of matrices with an odd number of columns are slower
        rgb = h.new_empty((len(starts), size, 3, size + size % 2))
        rgb[..., size:].zero_()
        r, g, b = rgb[..., :size].unbind(2)
        hsv_planes_to_rgb(h, s, v, (r, g, b))
        return rgb

    def _crops(self, images: Tensor, starts: Tensor, size: int) -> Tensor:
        """uint8 (n, row, column, channel)."""
        return _windows(images, starts, (size, size, 3), (3 * self.size_px, 3, 1))

    def _check(self, index: np.ndarray, draws: np.ndarray, chunk: int) -> None:
        shapes_fit = index.ndim == 1 and draws.shape == (len(index), len(COLUMNS))
        if not shapes_fit or draws.dtype != np.uint16:
            raise ValueError(
                f"index is {index.shape} and draws {draws.dtype} {draws.shape}, "
                f"allowed are (n,) and uint16 (n, {len(COLUMNS)})"
            )

        if chunk < 1:
            raise ValueError(f"chunk is {chunk}, allowed are integers >= 1")

        if len(index) and not 0 <= index.min() <= index.max() < self._count:
            raise ValueError(
                f"index goes from {index.min()} to {index.max()}, allowed are 0 to {self._count - 1}"
            )

        mirror, size, x, y = draws[:, MIRROR:].astype(np.int64).T
        fits = (size >= self.crop_min) & (np.maximum(x, y) + size <= self.size_px) & (mirror <= 1)
        if not fits.all():
            bad = int(np.flatnonzero(~fits)[0])
            raise ValueError(
                f"draw {bad} has mirror, size, x, y = {draws[bad, MIRROR:].tolist()}, allowed are crops "
                f"of {self.crop_min} to {self.size_px} px inside the image: "
                "draw with the same size_px and crop_min"
            )


def _checked(images: np.ndarray | Tensor) -> Tensor:
    """`images` as a tensor, uint8 (N, s, s, 3)."""
    images = as_tensor(images)
    shape = tuple(images.shape)
    square = len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3
    if images.dtype != torch.uint8 or not square:
        raise ValueError(f"images are {images.dtype} {shape}, allowed is uint8 (N, s, s, 3)")
    return images


def _is_mapped(images: np.ndarray | Tensor) -> bool:
    """Whether they lie in a file that is mapped."""
    return isinstance(images, np.ndarray) and file_of(images) is not None


def _shared(planes: np.ndarray | Tensor, images: Tensor) -> Tensor:
    """`planes` as a tensor on the same memory, if they can be those of the images."""
    shared = as_tensor(planes)
    wanted = (3, *images.shape[:3])
    if shared.dtype != torch.float64 or tuple(shared.shape) != wanted:
        raise ValueError(
            f"planes are {shared.dtype} {tuple(shared.shape)}, allowed is float64 {wanted}: "
            "make them with hsv_planes from the same images"
        )

    return shared


def _planes(images: Tensor) -> Tensor:
    planes = torch.empty((3, *images.shape[:3]), dtype=torch.float64, device=images.device)
    on_host = images.device.type == "cpu"
    step = _CPU_PLANES if on_host else max(1, _GPU_PIXELS // images.shape[1] ** 2)

    for start in range(0, len(images), step):
        part = slice(start, start + step)

        # column by column: see the order of the two products in `_chunk`
        hsv = rgb_planes_to_hsv(*_unit(images[part].permute(3, 0, 2, 1)))
        for plane, values in zip(planes, hsv, strict=True):
            plane[part] = values
    return planes


def _unit(images: Tensor) -> Tensor:
    """Values 0..255 as float64 in [0, 1]."""
    return images.to(torch.float64, memory_format=torch.contiguous_format).div_(255.0)


def _windows(
    pixels: Tensor, starts: Tensor, shape: tuple[int, ...], strides: tuple[int, ...]
) -> Tensor:
    """A copy of the window of that shape and strides at each of `starts`, places in `pixels`."""
    reach = sum((extent - 1) * stride for extent, stride in zip(shape, strides, strict=True))
    every = pixels.view(-1).as_strided((max(pixels.numel() - reach, 0), *shape), (1, *strides))
    return every.index_select(0, starts)


def _alike(kind: np.ndarray, most: int) -> Iterator[slice]:
    """Runs of equal values of `kind`, in pieces of `most` at most."""
    ends = [0, *(np.flatnonzero(np.diff(kind)) + 1).tolist(), len(kind)]
    for start, stop in pairwise(ends):
        for first in range(start, stop, most):
            yield slice(first, min(first + most, stop))
