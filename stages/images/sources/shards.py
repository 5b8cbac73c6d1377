"""Tar files with samples, read from front to end; nothing of them is unpacked to the disk.

Names of members are used as names only, links and devices are passed over, and what a header claims
is bounded before it is read.
"""

from __future__ import annotations

import contextlib
import gzip
import re
import tarfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

SUFFIXES = (".tar", ".tar.gz", ".tgz")
MAX_MEMBERS = 1 << 20
"""Of one tar file."""
MAX_HEADER_BYTES = 1 << 20
"""Of one long name, or of the facts about one member."""
MAX_EXPANSION = 200
"""How many times larger than a .tar.gz its content may be, beside the first 64 MiB."""
SHOWN = 20
"""Missing files that an error names."""

_FREE_BYTES = 64 << 20
_BLOCK = 512
_NUMBER = re.compile(r"(.*?)(\d+)(-of-(\d+))?(\.tar|\.tar\.gz|\.tgz)", re.DOTALL | re.I)


def is_packed(path: Path) -> bool:
    """Whether a tar file is compressed."""
    return path.suffix.lower() in (".gz", ".tgz")


class Unusable(ValueError):
    """A sound tar file holds what is not usable; the message names file and member."""


class Shard:
    """An open tar file.

    Use it as `with opened(path) as shard`, then `members`, and `data` of a member before the next.
    """

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        size = path.stat().st_size
        self.path = path
        self.last = b""
        self._stream = stream
        self._end = _FREE_BYTES + MAX_EXPANSION * size if is_packed(path) else size

    def members(self) -> Iterator[tarfile.TarInfo]:
        """Its members in their order, of any kind.

        Raises:
            ValueError: a header is damaged, there are too many, or the end is missing.
        """
        with tarfile.open(fileobj=self, mode="r:") as packed:  # type: ignore[call-overload]
            before = -1
            count = 0
            while (member := packed.next()) is not None:
                packed.members = []  # it keeps all of them
                count += 1
                if member.size < 0 or member.offset <= before:
                    raise ValueError(f"{member.name!r} has a damaged header")
                if count > MAX_MEMBERS:
                    raise ValueError(f"more than {MAX_MEMBERS:,} members")
                before = member.offset
                yield member

        # The library takes damage for the end; the true end is a block of zeros.
        if self.last != bytes(_BLOCK):
            raise ValueError("it is cut off or damaged: its end mark is missing")
        self._check_rest()

    def _check_rest(self) -> None:
        """Behind the end mark are zeros; reading them is what makes gzip compare its checksum."""
        while data := self._stream.read(MAX_HEADER_BYTES):
            if data.strip(b"\0"):
                raise ValueError("it goes on behind its end mark, as two joined files do")
            if self.tell() > self._end:
                raise ValueError(f"it holds more than {self._end:,} bytes")

    def data(self, member: tarfile.TarInfo, limit: int) -> bytes:
        """The bytes of a member.

        Raises:
            Unusable: it has more than `limit`.
        EOFError: the file ends before.
        """
        if member.size > limit:
            raise Unusable(
                f"{self.path}, {member.name}: {member.size:,} bytes, allowed are {limit:,}: replace or "
                "remove it"
            )

        self.seek(member.offset_data)
        data = self._stream.read(member.size)
        if len(data) < member.size:
            raise EOFError(f"it ends within {member.name!r}")
        return data

    # What tarfile asks of a file.

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= MAX_HEADER_BYTES:
            raise ValueError(f"a header claims {count:,} bytes, allowed are {MAX_HEADER_BYTES:,}")
        self.last = self._stream.read(count)
        if self.tell() > self._end:
            raise ValueError(f"it holds more than {self._end:,} bytes")
        return self.last

    def seek(self, place: int) -> int:
        if place > self._end:
            raise ValueError(f"a header claims bytes up to {place:,}, which are too many")
        return self._stream.seek(place)

    def tell(self) -> int:
        return self._stream.tell()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Shard]:
    """The tar file at `path`.

    Raises:
        ValueError: whatever is wrong with it, also inside the `with`.
    """
    try:
        with gzip.open(path) if is_packed(path) else path.open("rb") as stream:
            yield Shard(path, stream)  # type: ignore[arg-type]
    except Unusable:
        raise
    except Exception as error:  # tarfile, gzip and zlib raise many kinds on damaged files
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise ValueError(
            f"{path}: not a sound tar file ({why}): copy it again, or change prepare.path"
        ) from error


def in_order(files: Sequence[Path]) -> list[Path]:
    """Files sorted by name, 2.tar before 10.tar."""

    def key(file: Path) -> list[tuple[bool, int, str]]:
        words = re.split(r"(\d+)", file.as_posix())
        return [(word.isdecimal(), int(word) if word.isdecimal() else 0, word) for word in words]

    return sorted(files, key=key)


def check_complete(files: Sequence[Path]) -> list[str]:
    """Refuse gaps in the numbers of tar files.

    Returns:
        Notes, a line each, on numbers that begin behind 1.

    Raises:
        FileNotFoundError: files are missing between others, or of those that names promise.
    """
    series: dict[tuple[str, str, str], dict[int, int]] = {}
    for file in files:
        match = _NUMBER.fullmatch(file.name)
        if match and len(match[2]) < 19:
            stem = str(file).removesuffix(file.name) + match[1]
            found = series.setdefault((stem, match[3] or "", match[5]), {})
            found[int(match[2])] = len(match[2])

    notes = []
    for (stem, of, suffix), numbers in series.items():
        first, last = min(numbers), max(numbers)
        if of:  # counted from 0, or from 1
            total = int(of.removeprefix("-of-"))
            first = int(first > 0 and last == total)
            last = total + first - 1

        width = min(numbers.values())
        lacking = (number for number in range(first, last + 1) if number not in numbers)
        count = max(0, last + 1 - first - len(numbers))
        if count:
            names = [f"{stem}{number:0{width}d}{of}{suffix}" for number in islice(lacking, SHOWN)]
            more = f" and {count - SHOWN:,} more" if count > SHOWN else ""
            raise FileNotFoundError(f"no {', '.join(names)}{more}: complete the folder")
        if first > 1 and len(numbers) > 1:
            notes.append(f"the numbers of {stem}*{suffix} begin at {first}")

    return notes
