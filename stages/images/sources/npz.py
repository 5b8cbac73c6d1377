"""NumPy's files of several arrays (.npz): which arrays hold which part, each read when it is asked for.

A file is not trusted. What the header of an array promises is compared with the bytes that are
there before room is made for it, and nothing is unpickled.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.images.sources.labelled import data_folder
from stages.images.sources.parts import WANTED, by_part, part_named
from stages.images.sources.pixels import MAX_TOTAL_BYTES, PIECE_BYTES

MAX_LABEL_BYTES = 1 << 30
"""Of an array of labels, names or groups."""
_HEAD_BYTES = 1 << 14  # numpy itself reads headers of at most 10,000
_MOST_TIMES = 1040  # deflate makes nothing smaller than by this factor
_LABELS = ("labels", "y")
_SHOWN = 20
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class Head:
    """What an array is, by its header.

    Attributes:
        shape: of the array.
        dtype: of its values.
        fortran: whether the first axis varies fastest.
        start: where its values begin, in bytes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    start: int

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return int(np.prod([self.dtype.itemsize, *self.shape], dtype=object))


class Arrays:
    """The arrays of one file, read one by one.

    Raises:
        ValueError: it is no file of numpy.savez; later, an array is damaged or holds Python objects.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

        try:
            with zipfile.ZipFile(path) as packed:
                members = packed.namelist()
        except Exception as error:  # zipfile raises many kinds on damaged files
            raise self._damaged(error) from error

        self.names = tuple(name.removesuffix(".npy") for name in members if name.endswith(".npy"))

    @property
    def shown(self) -> str:
        """The names, for errors."""
        more = f" and {len(self.names) - _SHOWN} more" if self.names[_SHOWN:] else ""
        return f"{', '.join(self.names[:_SHOWN])}{more}" if self.names else "none"

    def head(self, name: str, limit: int | None = None) -> Head:
        """The header of an array, if the file has what it promises.

        Args:
            name: of the array.
            limit: most bytes that it may have; None for MAX_TOTAL_BYTES.
        """
        most = MAX_TOTAL_BYTES if limit is None else limit
        try:
            with zipfile.ZipFile(self.path) as packed:
                info = packed.getinfo(f"{name}.npy")
                with packed.open(info) as stream:
                    head = _head(stream.read(_HEAD_BYTES))

            if head.dtype.hasobject:
                return head
            if head.start + head.size != info.file_size:
                raise ValueError(
                    f"array {name} claims {head.dtype} {head.shape}, and has "
                    f"{info.file_size - head.start:,} bytes"
                )
            if info.file_size > _MOST_TIMES * info.compress_size + _HEAD_BYTES:
                raise ValueError(f"array {name} claims more than its {info.compress_size:,} bytes")
            if head.size > most:
                raise ValueError(f"array {name} has {head.size:,} bytes, allowed are {most:,}")
        except Exception as error:  # numpy and zipfile raise many kinds on damaged files
            raise self._damaged(error) from error

        return head

    def read(self, name: str, limit: int | None = None) -> np.ndarray:
        """The whole array."""
        head = self.typed(name, limit)
        values = np.empty(head.shape[::-1] if head.fortran else head.shape, head.dtype)
        bytes_ = values.reshape(-1).view(np.uint8)

        start = 0
        for data in self._data(name, head, PIECE_BYTES):
            bytes_[start : start + len(data)] = np.frombuffer(data, np.uint8)
            start += len(data)

        return values.T if head.fortran else values

    def pieces(self, name: str) -> Iterator[np.ndarray]:
        """The array's rows, in pieces of about PIECE_BYTES."""
        head = self.typed(name)
        if head.fortran:  # its rows lie apart
            yield self.read(name)
            return

        row = max(1, head.size // max(1, head.shape[0]))
        step = max(1, PIECE_BYTES // row) * row
        for data in self._data(name, head, step):
            yield np.frombuffer(data, head.dtype).reshape(-1, *head.shape[1:])

    def typed(self, name: str, limit: int | None = None) -> Head:
        """The header of an array that does not hold Python objects.

        Raises:
            ValueError: it does.
        """
        head = self.head(name, limit)
        if head.dtype.hasobject:
            raise ValueError(
                f"{self.path}: array {name} holds Python objects: save it as strings with "
                ".astype(str), or as numbers of one shape with np.array(..., dtype)"
            )
        return head

    def _data(self, name: str, head: Head, step: int) -> Iterator[bytes]:
        """The bytes of an array, `step` at a time."""
        try:
            with zipfile.ZipFile(self.path) as packed, packed.open(f"{name}.npy") as stream:
                stream.read(head.start)
                for start in range(0, head.size, step):
                    wanted = min(step, head.size - start)
                    data = stream.read(wanted)
                    if len(data) != wanted:
                        raise EOFError(f"array {name} ends early")
                    yield data
        except GeneratorExit:
            raise
        except Exception as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> ValueError:
        """One error for all that is wrong with the file itself."""
        why = " ".join(str(error).split())[:200] or type(error).__name__
        return ValueError(
            f"{self.path} is not a file of numpy.savez ({why}): write it again, or change "
            "prepare.path"
        )


@dataclass(frozen=True)
class ArrayPart:
    """Where one part lies.

    Attributes:
        arrays: the file.
        data, labels: names of its arrays.
        classes: of that with the names of the classes; None if there is none.
        pattern: how an array of this part is named, as "{}" or "train_{}".
    """

    arrays: Arrays
    data: str
    labels: str
    classes: str | None
    pattern: str

    @property
    def name(self) -> str:
        """What an error calls it."""
        return str(self.arrays.path)


def stored_parts(path: str | Path, names: Sequence[str]) -> dict[str, ArrayPart]:
    """Part -> where it lies, for files in one of these layouts.

    - train.npz, and perhaps val.npz and test.npz, each with an array of `names` and `labels`;
    - one file with train_images and train_labels, val_images, ..., as MedMNIST has it;
    - one file with x_train, y_train, x_test and y_test, as Keras has it;
    - one file with an array of `names` and `labels`, which are all for training.

    Args:
        path: a folder with the files, or one file; a relative one starts at MIMICNETS_DATA, if set.
        names: what the array of the data may be called.

    Raises:
        FileNotFoundError: there is no such folder or file.
        ValueError: the files or arrays are others; the message lists them.
    """
    root = data_folder(path)
    wanted = f"{names[0]} and labels"
    if root.is_file():
        return _whole(Arrays(root), names)
    if not root.is_dir():
        raise FileNotFoundError(
            f"no folder {root}, wanted one with train.npz and test.npz, or the file itself: "
            "change prepare.path, or set MIMICNETS_DATA to the folder that it starts from"
        )

    files = sorted(f for f in root.iterdir() if f.suffix == ".npz" and not f.name.startswith("."))
    parts = by_part(files)
    if not parts and len(files) == 1:
        return _whole(Arrays(files[0]), names)
    if not parts and files:
        raise ValueError(
            f"{root} has {', '.join(file.name for file in files[:_SHOWN])}: name the one to read in "
            f"prepare.path, or call them train.npz, val.npz and test.npz, each with {wanted}"
        )
    if "train" not in parts:
        raise FileNotFoundError(
            f"no file {root / 'train.npz'}: write it with numpy.savez, or change prepare.path"
        )

    return {part: _one(Arrays(file), names) for part, file in parts.items()}


def _one(arrays: Arrays, names: Sequence[str]) -> ArrayPart:
    """The only part of a file."""
    data = [name for name in arrays.names if name in names]
    labels = [name for name in arrays.names if name in _LABELS]
    for found, wanted in ((data, names[0]), (labels, "labels")):
        if len(found) != 1:
            raise ValueError(
                f"{arrays.path} has no array '{wanted}', but {arrays.shown}: it needs {names[0]} "
                "(n, ...) and labels (n,)"
                if not found
                else f"{arrays.path} has {' and '.join(found)}, allowed is one of them: leave one out"
            )

    return ArrayPart(arrays, data[0], labels[0], _classes(arrays), "{}")


def _whole(arrays: Arrays, names: Sequence[str]) -> dict[str, ArrayPart]:
    """The parts of a file with all of them, by the names of its arrays."""
    if any(name in names for name in arrays.names):
        return {"train": _one(arrays, names)}

    found: dict[str, ArrayPart] = {}
    for name in arrays.names:
        for pattern, part in _patterns(name, names):
            labels = [pattern.format(each) for each in _LABELS]
            labels = [each for each in labels if each in arrays.names]
            if not labels:
                raise ValueError(
                    f"{arrays.path} has {name} and no {pattern.format('labels')}, but "
                    f"{arrays.shown}: add it"
                )
            if part in found:
                raise ValueError(
                    f"{arrays.path}: {found[part].data} and {name} are both for {part}: leave one out"
                )
            found[part] = ArrayPart(arrays, name, labels[0], _classes(arrays), pattern)

    if "train" not in found:
        raise ValueError(
            f"{arrays.path} has no array '{names[0]}', 'train_{names[0]}' or 'x_train', but "
            f"{arrays.shown}: parts are {WANTED}; save it so, or change prepare.path"
        )
    return {part: found[part] for part in ("train", "validation", "test") if part in found}


def _patterns(name: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """How arrays of a part are named, and the part, if `name` is one with data."""
    before, _, after = name.rpartition("_")
    if after in names and (part := part_named(before)):
        yield f"{before}_{{}}", part
    if before in names and (part := part_named(after)):
        yield f"{{}}_{after}", part


def _classes(arrays: Arrays) -> str | None:
    """The name of the array with the names of the classes."""
    return "classes" if "classes" in arrays.names else None


def _head(data: bytes) -> Head:
    """The header of an array, from the first bytes of its file."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the format .npy, allowed are 1.0 and 2.0")

    shape, fortran, dtype = _HEADERS[version](stream)
    if not dtype.itemsize or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"an array of {dtype} {shape}")
    return Head(shape, dtype, fortran, stream.tell())
