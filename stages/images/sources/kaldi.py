"""Matrices and lists of integers in Kaldi's binary archives (.ark), and the lists of them (.scp).

The library kaldiio reads what Kaldi compresses. It can also run commands and unpickle: so the places
are read here, and kaldiio is handed only bytes that begin as a matrix does and are as many as its
header claims.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, NamedTuple

import numpy as np

MAX_ENTRY_BYTES = 1 << 30
"""Of the matrix of one utterance."""
MAX_LIST_BYTES = 1 << 28
"""Of a text file with a line for each utterance."""
KINDS = ("FM", "DM", "CM", "CM2", "CM3")
"""Of matrices: float, double, and three compressions."""

_MAX_KEY_BYTES = 1 << 12


class Place(NamedTuple):
    """Where the entry of an utterance lies.

    Attributes:
        utterance: its key.
        file: an .ark file.
        start: of the entry in bytes, behind the key.
    """

    utterance: str
    file: Path
    start: int

    @property
    def name(self) -> str:
        """What an error calls it."""
        return f"{self.file}, {self.utterance}"


def library() -> ModuleType:
    """Kaldiio's module of matrices.

    Raises:
        ValueError: it is not installed.
    """
    try:
        from kaldiio import matio
    except ImportError as error:
        raise ValueError(
            "prepare.source is speech, which needs kaldiio: pip install '.[speech]'"
        ) from error
    return matio


def lines_of(path: Path) -> dict[str, str]:
    """Utterance -> the rest of its line, in the order of a text file.

    Raises:
        ValueError: the file is too large or no text, or an utterance has no rest or two lines.
    """
    if path.stat().st_size > MAX_LIST_BYTES:
        raise ValueError(f"{path}: more than {MAX_LIST_BYTES:,} bytes: divide it")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8 ({error}): correct it") from error

    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split(maxsplit=1)
        if not words:
            continue
        if len(words) == 1 or words[0] in found:
            why = "stands alone" if len(words) == 1 else "has a line before"
            raise ValueError(f"{path}: line {number}, {words[0]} {why}: correct it")
        found[words[0]] = words[1].strip()
    return found


def places_of(path: Path) -> list[Place]:
    """The entries of an .scp or .ark file, in its order.

    A relative path in an .scp starts at the file's folder. A file of that name in that folder comes
    first, so that a folder can be moved.

    Raises:
        FileNotFoundError: an .scp names a file that is not there.
        ValueError: it names a command or a part of a matrix, or the .ark is damaged.
    """
    if path.suffix == ".ark":
        return list(_walked(path))

    return [_place(path, utterance, rest) for utterance, rest in lines_of(path).items()]


def _place(path: Path, utterance: str, rest: str) -> Place:
    """The entry that a line of an .scp names."""
    if rest.startswith("|") or rest.endswith("|"):
        raise ValueError(
            f"{path}: {utterance} is what a command prints, which is not run; allowed are FILE:OFFSET: "
            "write an .ark with copy-feats"
        )
    if rest.endswith("]"):
        raise ValueError(
            f"{path}: {utterance} is a part of a matrix, {rest[-40:]}, allowed are FILE:OFFSET: write an "
            ".ark with copy-feats"
        )

    name, _, offset = rest.rpartition(":")
    if not name or not offset.isdecimal() or len(offset) > 18:
        name, offset = rest, "0"
    near = path.parent / Path(name).name
    file = near if near.is_file() else path.parent / name
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}, which {path} names: put it beside {path.name}")
    return Place(utterance, file, int(offset))


def _walked(path: Path) -> Iterator[Place]:
    """The entries of an .ark file, by the headers of all of them."""
    seen: set[str] = set()
    end = path.stat().st_size
    with path.open("rb") as stream:
        while stream.tell() < end:
            begin = stream.tell()
            key, space, _ = stream.read(_MAX_KEY_BYTES).partition(b" ")
            try:
                utterance = key.decode() if space else ""
            except UnicodeDecodeError:
                utterance = ""
            if not utterance or utterance in seen:
                raise ValueError(
                    f"{path}: byte {begin:,} begins no entry of a new utterance: write the file again"
                )

            seen.add(utterance)
            place = Place(utterance, path, begin + len(key) + 1)
            stream.seek(place.start + _size(place, stream))
            yield place


def rows_of(place: Place) -> tuple[int, int]:
    """Rows and columns that the matrix at a place claims, if the file has them."""
    with place.file.open("rb") as stream:
        return _claims(place, stream)[:2]


def matrix(place: Place, read: Callable[[IO[bytes]], np.ndarray]) -> np.ndarray:
    """The matrix at a place, float (rows, columns).

    Args:
        place: where it is.
        read: kaldiio's `read_kaldi`.

    Raises:
        ValueError: it is something else, or damaged.
    """
    with place.file.open("rb") as stream:
        rows, columns, size = _claims(place, stream)
        stream.seek(place.start)
        data = stream.read(size)

    try:
        values = read(io.BytesIO(data))
    except Exception as error:  # kaldiio asserts, and struct and numpy raise others
        raise ValueError(
            f"{place.name}: damaged ({' '.join(str(error).split())[:200]}): write it again"
        ) from error
    assert values.shape == (rows, columns)
    return values


def integers(place: Place) -> np.ndarray:
    """The list of integers at a place, int64 (n,): a byte 4 before each, as Kaldi has it.

    Raises:
        ValueError: it is something else, or damaged.
    """
    with place.file.open("rb") as stream:
        count = _count(place, stream)
        data = np.frombuffer(stream.read(5 * count), np.uint8).reshape(count, 5)

    if (data[:, 0] != 4).any():
        raise ValueError(f"{place.name}: a damaged list of integers: write it again")
    return np.ascontiguousarray(data[:, 1:]).view("<i4").reshape(-1).astype(np.int64)


def _size(place: Place, stream: IO[bytes]) -> int:
    """Bytes of the entry at a place, of either kind."""
    stream.seek(place.start)
    if stream.read(3) == b"\0B\4":
        return 7 + 5 * _count(place, stream)
    return _claims(place, stream)[2]


def _count(place: Place, stream: IO[bytes]) -> int:
    """How many integers a list claims, if the file has them; the stream is before the first."""
    stream.seek(place.start)
    head = stream.read(7)
    if len(head) < 7 or head[:3] != b"\0B\4":
        raise _other(place, head, "a list of integers, as of copy-int-vector")

    (count,) = struct.unpack("<i", head[3:])
    left = place.file.stat().st_size - place.start - 7
    if not 0 <= 5 * count <= min(left, MAX_ENTRY_BYTES):
        raise ValueError(f"{place.name}: claims {count:,} integers, and {left:,} bytes are left")
    return count


def _claims(place: Place, stream: IO[bytes]) -> tuple[int, int, int]:
    """Rows, columns and bytes that a matrix claims, if the file has them."""
    stream.seek(place.start)
    head = stream.read(32)
    kind = head[2:6].split(b" ")[0].decode("latin1")
    if head[:2] != b"\0B" or kind not in KINDS:
        raise _other(place, head, f"a binary matrix ({', '.join(KINDS)})")

    start = 3 + len(kind)
    try:
        if kind in ("FM", "DM"):
            four, rows, again, columns = struct.unpack_from("<bibi", head, start)
            start += 10
            sound = four == again == 4
        else:
            rows, columns = struct.unpack_from("<8xii", head, start)
            start += 16
            sound = True
    except struct.error:
        sound, rows, columns = False, 0, 0
    if not sound or rows < 1 or columns < 1:
        raise ValueError(f"{place.name}: a damaged header of a matrix, {rows} x {columns}")

    each = {"FM": 4, "DM": 8, "CM": 1, "CM2": 2, "CM3": 1}[kind]
    size = start + rows * columns * each + (8 * columns if kind == "CM" else 0)
    left = place.file.stat().st_size - place.start
    if size > min(left, MAX_ENTRY_BYTES):
        raise ValueError(
            f"{place.name}: claims {rows:,} x {columns:,}, {size:,} bytes, and {left:,} are left"
        )
    return rows, columns, size


def _other(place: Place, head: bytes, wanted: str) -> ValueError:
    """The error for an entry of another kind."""
    what = "in binary form of another kind" if head[:2] == b"\0B" else "text, or no entry"
    return ValueError(f"{place.name}: {what}, wanted {wanted}: write it again with Kaldi's tools")
