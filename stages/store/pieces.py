"""Arrays that are made piece by piece."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from stages.store.maps import in_pieces


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
