"""Picture files in folders."""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from stages.images.pictures import MAX_FILE_BYTES, SUFFIXES, check_file_bytes

NAMED = 20
"""Files that a message names."""


def file_items(files: Sequence[Path]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """What `read_pictures` takes: a name, and what gives the bytes, of each file."""
    for file in files:
        yield str(file), partial(file_bytes, file)


def file_bytes(file: Path) -> bytes:
    """The bytes of a picture file.

    Raises:
        OSError: it cannot be read, as a folder.
        ValueError: it is too large, or a device or a pipe.
    """
    found = file.stat()
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise ValueError(f"{file}: a pipe or a device, allowed are files with a picture: remove it")
    check_file_bytes(found.st_size, str(file))

    # Some files are longer than they say, as those of /proc.
    with file.open("rb") as stream:
        data = stream.read(found.st_size + 1)
        if len(data) > found.st_size:
            data += stream.read(MAX_FILE_BYTES + 1 - len(data))
    check_file_bytes(len(data), str(file))
    return data


def visible(folder: Path) -> list[Path]:
    """What is in a folder, but for names that start with a dot."""
    return [p for p in folder.iterdir() if not p.name.startswith(".")]


def below(folder: Path, linked: list[Path] | None = None) -> Iterator[Path]:
    """All files below a folder, but for names that start with a dot.

    Folders inside that are links are not followed, since they may lead in a circle; they are put
    into `linked`.
    """
    for place, inside, files in os.walk(folder):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        if linked is not None:
            linked += [link for name in inside if (link := Path(place, name)).is_symlink()]

        yield from (Path(place, name) for name in files if not name.startswith("."))


def is_picture(file: Path) -> bool:
    """Whether the name is that of a picture."""
    return file.suffix.lower() in SUFFIXES


def hash_key(file: Path, root: Path) -> bytes:
    """What files are ordered by: the sha256 of the bytes of their path below a folder."""
    return hashlib.sha256(os.fsencode(path_below(file, root))).digest()


def path_below(file: Path, root: Path) -> str:
    """The path of a file that is below a folder, from there, with slashes.

    `relative_to` takes five times as long, and `parts` stays in memory.
    """
    start = root.as_posix()
    return file.as_posix() if start == "." else file.as_posix()[len(start) :].lstrip("/")


def printable(name: str) -> str:
    """A name of a file in UTF-8, with \\x.. or \\u.... for what is not."""
    return name.encode("utf-8", "backslashreplace").decode()


def composed(text: str) -> str:
    """The normal form of Unicode that has one character for a letter with its accent (NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def linked_note(linked: Sequence[Path], root: Path) -> list[str]:
    """A line on folders below `root` that are links and were passed over, if there are any."""
    if not linked:
        return []

    shown = ", ".join(
        printable(link.relative_to(root).as_posix()) for link in sorted(linked)[:NAMED]
    )
    more = f" and {len(linked) - NAMED:,} more" if len(linked) > NAMED else ""
    return [f"passed over {len(linked):,} folders that are links: {shown}{more}"]


def contents(root: Path) -> str:
    """What is in a folder, in words."""
    inside = sorted(visible(root))
    shown = ", ".join(each.name + ("/" if each.is_dir() else "") for each in inside[:NAMED])
    more = f" and {len(inside) - NAMED:,} more" if len(inside) > NAMED else ""
    return f"{shown}{more}" if inside else "nothing"
