"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import errno
import glob
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from stages.store.locks import lock


class Placed(NamedTuple):
    """What belongs at a place of a file, in bytes from its beginning."""

    start: int
    data: bytes | memoryview


def write_bytes(path: Path, data: bytes) -> None:
    """`write_buffers` of one buffer."""
    write_buffers(path, (data,))


def write_buffers(path: Path, buffers: Iterable[bytes | memoryview | Placed]) -> None:
    """Write `buffers` one after the other to `path`, without joining them in memory.

    What is `Placed` goes there, and what comes after it follows it.

    Temporary file in the same folder, fsync, rename, fsync of the folder. Temporary files of this
    path that a kill has left are removed, so a path must have one writer at a time.

    Raises:
        OSError: no room, no permission; then `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)

    for torn in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        torn.unlink(missing_ok=True)

    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            for buffer in buffers:
                if isinstance(buffer, Placed):
                    file.seek(buffer.start)
                    buffer = buffer.data
                file.write(buffer)

            file.flush()
            os.fsync(file.fileno())

        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

    sync_folder(path.parent)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process is in here with the same path.

    If a process dies in here, the system lets the next one in.
    """
    path.parent.mkdir(parents=True, exist_ok=True)

    with (path.parent / f".{path.name}.lock").open("a") as file:
        lock(
            file
        )  # where there are none, work folders say so, and nothing is trained twice at once
        yield


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except (
        OSError
    ) as error:  # some file systems cannot, and order renames by themselves or not at all
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """`write_bytes` of readable JSON: two spaces, keys as given, NaN and infinity refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value in `path`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, or a number in it is not finite.
    """
    try:
        return json.loads(
            path.read_text(encoding="utf-8"), parse_constant=_finite, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:
        # not JSON, not UTF-8, a number of 5,000 digits, or nested too deeply
        raise ValueError(
            f"{path} is not valid JSON ({error}): delete it to have it made again"
        ) from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def link_or_copy(source: Path, target: Path) -> None:
    """Put `source` at `target` without a second copy of its bytes where the file system allows."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)

    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
