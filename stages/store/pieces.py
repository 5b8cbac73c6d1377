"""Arrays that are made piece by piece."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from stages.store.maps import in_pieces, parts, rows


@dataclass(frozen=True)
class Pieces:
    """An array that is made piece by piece while it is used, so that it is never there as a whole.

    Attributes:
        shape, dtype: of all of it.
        parts: along the first axis, in order; they may be made anew each time they are asked for.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    parts: Iterable[np.ndarray]

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        return math.prod(self.shape) * self.dtype.itemsize

    def whole(self) -> np.ndarray:
        """All of it, in memory."""
        found = np.empty(self.shape, self.dtype)
        start = 0
        for part in self.parts:
            found[start : start + len(part)] = part
            start += len(part)

        return found


Array = np.ndarray | Pieces


@dataclass(frozen=True)
class Chosen:
    """Some images of an epoch and their targets, read or made piece by piece while they are used.

    Attributes:
        images, targets: of the whole epoch, of equal length.
        index: int64 (n,), ascending: which of them.
    """

    images: Array
    targets: np.ndarray
    index: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of those that are chosen."""
        return (self.images.nbytes + self.targets.nbytes) // len(self.targets) * len(self.index)

    @property
    def many(self) -> bool:
        """Whether they come in several pieces."""
        return isinstance(self.images, Pieces) or len(self._parts(self.images)) > 1

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Images and targets, in order."""
        if isinstance(self.images, Pieces):
            yield from self._made(self.images)
            return

        for part in self._parts(self.images):
            index = self.index[part]
            yield rows(self.images, index), rows(self.targets, index)

    def _parts(self, images: np.ndarray) -> list[slice]:
        return parts(len(self.index), images[0].nbytes)

    def _made(self, images: Pieces) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        start = 0
        for made in images.parts:
            stop = start + len(made)
            first, last = np.searchsorted(self.index, (start, stop))
            index = self.index[first:last]
            if len(index):
                yield made[index - start], rows(self.targets, index)
            start = stop

    def whole(self) -> tuple[np.ndarray, np.ndarray]:
        """All of them, in memory."""
        count = len(self.index)
        images = np.empty((count, *self.images.shape[1:]), self.images.dtype)
        targets = np.empty((count, *self.targets.shape[1:]), self.targets.dtype)

        start = 0
        for piece, of_piece in self.pieces():
            part = slice(start, start + len(piece))
            images[part] = piece
            targets[part] = of_piece
            start = part.stop

        return images, targets


def pieces_of(name: str, array: Array) -> Iterator[np.ndarray]:
    """Flat pieces of an array, in order.

    Raises:
        ValueError: pieces are of another type or shape, too few or too many.
    """
    if isinstance(array, np.ndarray):
        yield from in_pieces(np.asarray(array, order="C"))
        return

    count = 0
    for part in array.parts:
        if part.dtype != array.dtype or part.shape[1:] != array.shape[1:]:
            raise ValueError(
                f"a piece of {name} is {part.dtype} {part.shape}, needed is {array.dtype} of "
                f"{array.shape[1:]}"
            )
        yield from in_pieces(np.ascontiguousarray(part))
        count += len(part)

    if count != array.shape[0]:
        raise ValueError(f"the pieces of {name} have {count} rows, needed are {array.shape[0]}")
