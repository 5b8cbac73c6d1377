"""SVHN's lists of houses and of the boxes around their digits: digitStruct.mat, MATLAB's file 7.3.

That is HDF5 with references. The file is not trusted: what a data set claims is looked at before it is
read, and none may lie in another file.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

LIST_FILE = "digitStruct.mat"

_MOST_HOUSES = 1_000_000
_MOST_DIGITS = 50  # of one house
_MOST_CHUNK = 1 << 26  # bytes; a packed one is unpacked whole, however little of it is used
_MOST_NAME = 200
_MOST_PX = 10**6
_KEYS = ("left", "top", "width", "height", "label")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Digit(NamedTuple):
    """A digit of a house number.

    Attributes:
        number: 0 to 9.
        box: left, top, right and bottom in pixels from 0, the last two behind its last pixel; it may
            reach over the border.
    """

    number: int
    box: tuple[int, int, int, int]


class House(NamedTuple):
    """A picture of a house number.

    Attributes:
        name: of the picture's file.
        digits: from left to right, as they are listed.
    """

    name: str
    digits: list[Digit]


def houses_of(file: Path) -> list[House]:
    """What a digitStruct.mat lists, in its order.

    The box of a digit is the rows top + 1 to top + height in MATLAB, which counts from 1, and columns
    likewise, as in see_bboxes.m that comes with the data; so left and top count from 0.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is another or damaged, or h5py is not installed.
    """
    h5py = _h5py()
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}: unpack SVHN's archive of full numbers there")

    try:
        with h5py.File(file, "r") as opened:
            reader = _Reader(opened, h5py)
            names = reader.values("digitStruct/name", _MOST_HOUSES)
            boxes = reader.values("digitStruct/bbox", _MOST_HOUSES)
            if len(names) != len(boxes) or not len(names):
                raise ValueError(f"{len(names):,} names and {len(boxes):,} lists of boxes")
            houses: dict[str, House] = {}
            for name, box in zip(names, boxes, strict=True):
                text = reader.text(name)
                if text in houses:
                    raise ValueError(f"it lists {text} twice")
                houses[text] = House(text, reader.digits(box))
    except Exception as error:  # h5py raises many kinds on damaged files
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"{file}: not the list of houses that SVHN has ({why}): unpack the archive again"
        ) from error

    return list(houses.values())


def _h5py() -> ModuleType:
    """The library h5py."""
    try:
        import h5py
    except ImportError as error:
        raise ValueError(
            "prepare.source is svhn-full, which needs h5py: pip install '.[hdf5]'"
        ) from error
    return h5py


class _Reader:
    """Reads small data sets of one open file. The low interface of h5py is three times as fast."""

    def __init__(self, opened: Any, h5py: ModuleType) -> None:
        self.file = opened.id
        self.h5py = h5py

    def at(self, reference: Any) -> Any:
        """The object that a reference points to."""
        if not isinstance(reference, self.h5py.h5r.Reference) or not reference:
            raise ValueError("a number or an empty reference in the place of a reference")
        return self.h5py.h5r.dereference(reference, self.file)

    def values(self, place: Any, most: int) -> np.ndarray:
        """The numbers or references (n,) of a data set (n, 1), by its name, itself, or a reference."""
        if isinstance(place, str):
            place = self.h5py.h5o.open(self.file, place.encode())
        elif not isinstance(place, self.h5py.h5d.DatasetID):
            place = self.at(place)
        if not isinstance(place, self.h5py.h5d.DatasetID):
            raise ValueError("a group in the place of a data set")

        kept = place.get_create_plist()
        layout = kept.get_layout()
        if layout == self.h5py.h5d.VIRTUAL or (
            layout == self.h5py.h5d.CONTIGUOUS and kept.get_external_count()
        ):
            raise ValueError("a data set that lies in other files")

        shape, dtype = place.shape, place.dtype
        if layout == self.h5py.h5d.CHUNKED:
            size = math.prod(kept.get_chunk()) * dtype.itemsize
            if size > _MOST_CHUNK:
                raise ValueError(
                    f"a data set in pieces of {size:,} bytes, allowed are {_MOST_CHUNK:,}"
                )

        plain = dtype.kind in "fiu"
        if len(shape) != 2 or shape[1] != 1 or shape[0] > most:
            raise ValueError(f"a data set {shape}, wanted (n, 1) with n up to {most:,}")
        if not plain and self.h5py.check_ref_dtype(dtype) is not self.h5py.Reference:
            raise ValueError(f"a data set of {dtype}, wanted numbers or references")

        values = np.zeros(shape, dtype)
        every = self.h5py.h5s.ALL
        place.read(every, every, values)
        return values[:, 0]

    def text(self, reference: Any) -> str:
        """The name of a file: numbers of characters."""
        values = self.values(reference, _MOST_NAME)
        if values.dtype.kind not in "iu":
            raise ValueError(f"{values.dtype} in the place of a name's characters")

        name = "".join(chr(value) if 0 < value < 128 else "?" for value in values.tolist())
        if not _NAME.fullmatch(name):
            raise ValueError(f"a picture called {name!r}")
        return name

    def digits(self, reference: Any) -> list[Digit]:
        """The boxes of one house: of one digit numbers, of several references to numbers."""
        group = self.at(reference)
        if not isinstance(group, self.h5py.h5g.GroupID):
            raise ValueError("a data set in the place of boxes")

        columns = [self._column(group, key) for key in _KEYS]
        if len({len(column) for column in columns}) > 1 or not columns[0]:
            raise ValueError(f"boxes with {[len(each) for each in columns]} of {', '.join(_KEYS)}")
        return [_digit(*numbers) for numbers in zip(*columns, strict=True)]

    def _column(self, group: Any, key: str) -> list[int]:
        """One side of all boxes of a house, or their labels."""
        values = self.values(self.h5py.h5o.open(group, key.encode()), _MOST_DIGITS)
        if values.dtype.kind == "O":
            each = [self.values(reference, 1) for reference in values]
            if any(len(one) != 1 or one.dtype.kind == "O" for one in each):
                raise ValueError(f"{key} of a digit is not one number")
            values = np.concatenate(each)

        whole = values.astype(np.float64)
        if not (np.abs(whole) <= _MOST_PX).all() or (whole != np.rint(whole)).any():
            raise ValueError(f"{key} is {whole[:5].tolist()}, allowed are whole numbers")
        return [int(value) for value in whole]


def _digit(left: int, top: int, width: int, height: int, label: int) -> Digit:
    """A digit; the label 10 is zero."""
    if not 1 <= label <= 10:
        raise ValueError(f"label {label}, allowed are 1 to 10")
    return Digit(label % 10, (left, top, left + width, top + height))
