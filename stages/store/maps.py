"""Large arrays without the memory for them: files as read-only memory maps, and work in pieces.

Pages of a map that have been read count as memory of the process until `release` gives them back;
they stay in the system's cache. A file that is replaced by a rename keeps its content here. One
that is shortened in place ends the process (SIGBUS): files of the pipeline are never written to
again.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

import numpy as np

PIECE_BYTES = 4 * 2**20
"""Of an array that is hashed or written, at a time."""
PART_BYTES = 128 * 2**20
"""Of images that are made or used at a time; an epoch of 40,000 images of 32 px is one part."""


class MappedFile(mmap.mmap):
    """A whole file, read-only.

    Args:
        handle: of the open file; the caller closes it.
    """

    def __new__(cls, handle: int) -> MappedFile:
        return super().__new__(cls, handle, 0, access=mmap.ACCESS_READ)

    def __init__(self, handle: int) -> None:
        self.handle = os.dup(handle)

    def __del__(self) -> None:
        os.close(self.handle)


def map_file(handle: int) -> np.ndarray:
    """The bytes of an open file that is not empty, read-only uint8 (n,)."""
    return np.frombuffer(MappedFile(handle), dtype=np.uint8)


def file_of(array: np.ndarray) -> MappedFile | None:
    """The mapped file that `array` is a view of; None for other arrays."""
    owner = _owner(array)
    return owner if isinstance(owner, MappedFile) else None


def release(array: np.ndarray) -> None:
    """Give back the memory of a view of a mapped file, also of a `np.memmap`.

    The array stays valid, and what was written to it is kept: what is used again is read again.
    Other arrays are left alone, and maps whose changes are in memory only.

    Args:
        array: C-contiguous.
    """
    owner = _owner(array)
    if owner is None or not array.nbytes:
        return

    start = _place(array, owner)
    first = start - start % mmap.PAGESIZE
    owner.madvise(mmap.MADV_DONTNEED, first, start + array.nbytes - first)


def _owner(array: np.ndarray) -> mmap.mmap | None:
    """The map that `array` is a view of, if its file has all that the map has."""
    base: object = array
    shared = False
    while isinstance(base, np.ndarray):
        shared = shared or (isinstance(base, np.memmap) and base.mode != "c")
        base = base.base

    owner = base.obj if isinstance(base, memoryview) else base
    if isinstance(owner, MappedFile) or (shared and isinstance(owner, mmap.mmap)):
        return owner
    return None


def rows(array: np.ndarray, index: np.ndarray) -> np.ndarray:
    """A copy of the rows at `index`, integers from 0.

    Rows of a mapped file are read from the file, not through the map. A system may map two
    megabytes for one byte that is touched, and rows here and there would soon map all of it.

    Raises:
        OSError: the file has become shorter.
    """
    file = file_of(array)
    if file is None or not array.nbytes or not len(index):
        return array[index]

    found = np.empty((len(index), *array.shape[1:]), array.dtype)
    start = _place(array, file)
    each = array[0].nbytes

    for row, place in zip(found.reshape(len(index), -1), index.tolist(), strict=True):
        if os.preadv(file.handle, [row.data], start + place * each) != each:
            raise OSError("a file became shorter while it was used: run 'dvc repro' again")

    return found


def in_pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """Flat pieces of a C-contiguous array, in order; memory of a mapped file is given back."""
    flat = array.reshape(-1)
    step = max(1, PIECE_BYTES // array.itemsize)

    for start in range(0, len(flat), step):
        piece = flat[start : start + step]
        yield piece
        release(piece)


def parts(images: int, each: int, multiple: int = 1) -> list[slice]:
    """Parts of PART_BYTES at most, one after the other.

    Args:
        images: how many there are.
        each: bytes of one.
        multiple: every part but the last has a multiple of so many, at least one.
    """
    step = multiple * max(1, PART_BYTES // (multiple * max(1, each)))
    return [slice(start, min(start + step, images)) for start in range(0, images, step)]


def _place(array: np.ndarray, owner: mmap.mmap) -> int:
    """Where `array` begins in its map."""
    whole = np.frombuffer(owner, dtype=np.uint8)
    return int(array.__array_interface__["data"][0] - whole.__array_interface__["data"][0])
