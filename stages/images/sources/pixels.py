"""Room for the pixels of many pictures: in memory where they are few, else on the disk."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from stages.store.maps import map_file, rows

MAX_TOTAL_BYTES = 16 << 30
"""Of all images of a part, decoded: five million of 32 px."""
IN_MEMORY_BYTES = 256 << 20
"""Parts up to this size are kept in memory: 87,000 images of 32 px."""
PIECE_BYTES = 32 << 20
"""Of pixels that are copied at a time."""
WRITE_BYTES = 1 << 20
"""Of pixels that are collected before they are written."""
SCRATCH = Path("work")
"""Where the others go, in files without a name: nothing is left of them, however a stage ends."""


class Pixels:
    """Pixels of `count` pictures, filled one by one, then read."""

    def __init__(self, count: int, size_px: int, name: str) -> None:
        """Room for uint8 (count, size_px, size_px, 3); `name` is what an error calls it.

        Raises:
            ValueError: that is more than MAX_TOTAL_BYTES.
        """
        self.shape = (count, size_px, size_px, 3)
        self.each = 3 * size_px**2
        if count * self.each > MAX_TOTAL_BYTES:
            raise ValueError(
                f"{name}: {count:,} images of {size_px} px are more than "
                f"{MAX_TOTAL_BYTES >> 30} GiB: give fewer, or lower prepare.size_px"
            )

        self.array: np.ndarray | None = None
        if count * self.each <= IN_MEMORY_BYTES:
            self.array = np.zeros(self.shape, np.uint8)
            return

        SCRATCH.mkdir(parents=True, exist_ok=True)
        self.file = tempfile.TemporaryFile(dir=SCRATCH, buffering=WRITE_BYTES)
        self.file.truncate(count * self.each)
        self.next = 0

    def put(self, start: int, pixels: np.ndarray) -> None:
        """The pixels of pictures `start`, `start` + 1, ...: uint8 (n, size_px, size_px, 3)."""
        if self.array is not None:
            self.array[start : start + len(pixels)] = pixels
            return

        # Written, not mapped: pages of a map stay in memory until all of it is full.
        if start != self.next:
            self.file.seek(start * self.each)
        self.file.write(np.ascontiguousarray(pixels).data)
        self.next = start + len(pixels)

    def whole(self) -> np.ndarray:
        """All of them, to be read: uint8 (count, size_px, size_px, 3)."""
        if self.array is not None:
            return self.array

        self.file.flush()
        return map_file(self.file.fileno()).reshape(self.shape)


def taken(images: np.ndarray, places: np.ndarray, name: str = "images") -> np.ndarray:
    """Images at `places`, in their order, copied piece by piece."""
    if images.nbytes <= IN_MEMORY_BYTES or images.ndim != 4 or images.dtype != np.uint8:
        return images[places]

    pixels = Pixels(len(places), images.shape[1], name)
    step = max(1, PIECE_BYTES // pixels.each)
    for start in range(0, len(places), step):
        pixels.put(start, rows(images, places[start : start + step]))

    return pixels.whole()


def pieces(images: np.ndarray) -> list[slice]:
    """Slices that divide images or vectors into pieces of PIECE_BYTES."""
    each = max(1, images.nbytes // max(1, len(images)))
    step = max(1, PIECE_BYTES // each)
    return [slice(start, start + step) for start in range(0, len(images), step)]
