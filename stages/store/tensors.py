"""safetensors files with one JSON header and a checksum that is verified on reading.

Nothing is ever unpickled. The header goes under one metadata key, since several keys are written in
random order and would change the file's hash from run to run. Arrays go from memory to the file and
back without a copy of the file in between, or stay in the file, as a memory map.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open

from stages.store.atomic import Placed, write_buffers
from stages.store.maps import in_pieces, map_file
from stages.store.pieces import Array, pieces_of

KEY = "json"
"""Key of the metadata under which the header is."""

# What the format calls a type -> what numpy calls it; arrays are stored in this order, as the
# library stores them.
_TYPES = {
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
    "F32": "<f4",
    "U32": "<u4",
    "I32": "<i4",
    "F16": "<f2",
    "U16": "<u2",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}
_NAMES = {text: name for name, text in _TYPES.items()}

_BLANK = "0" * 64  # in the place of a sha256 that is not known yet
_READ_BYTES = 2**20
_SHORTER = "it became shorter while it was read"

Read = TypeVar("Read")


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """sha256 over names, dtypes, shapes and bytes of `arrays`, in the order of their names."""
    state = hashlib.sha256()

    for name in sorted(arrays):
        # asarray and not ascontiguousarray, which makes a vector of a scalar
        array = np.asarray(arrays[name], order="C")
        state.update(_title(name, array.dtype.str, array.shape))
        for piece in in_pieces(array):
            state.update(_bytes(piece))

    return state.hexdigest()


def _title(name: str, kind: str, shape: tuple[int, ...]) -> bytes:
    """What stands before an array's bytes in the digest."""
    return f"{name}:{kind}:{shape};".encode()


def _bytes(array: np.ndarray) -> memoryview:
    """The memory of a C-contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def _text_hash(header: Any) -> str:
    """sha256 of a header as canonical JSON."""
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def write_tensors(
    path: Path,
    arrays: Mapping[str, Array],
    header: Mapping[str, Any],
    hashed: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Write `arrays` and a JSON `header` to `path` (whole or not at all); returns their digest.

    Arrays are hashed and written in pieces: there is no second copy of them.

    Args:
        hashed: key of the header -> array; the sha256 of the array's bytes becomes its value.

    Raises:
        ValueError: an array's type is not one of bool, integers, float16, float32 and float64, or
            pieces do not make up their array.
    """
    stored = {name: _storable(name, array) for name, array in arrays.items()}
    writing = _Writing(stored, header, hashed)
    write_buffers(path, writing.buffers())
    return writing.checksum


class _Writing:
    """The bytes of a file, in the order in which they become known."""

    def __init__(
        self, arrays: Mapping[str, Array], header: Mapping[str, Any], hashed: Mapping[str, str]
    ) -> None:
        self.header = json.loads(json.dumps(header, allow_nan=False))
        for key in hashed:
            self.header[key] = _BLANK

        self.hashes = {key: (name, hashlib.sha256()) for key, name in hashed.items()}
        self.checksum = _BLANK

        kinds = list(_NAMES)
        self.arrays = dict(
            sorted(arrays.items(), key=lambda item: (kinds.index(item[1].dtype.str), item[0]))
        )

    def buffers(self) -> Iterator[bytes | memoryview | Placed]:
        """A head as long as the last one, the arrays as the digest takes them, and the last head."""
        head = self._head()
        yield head

        starts = dict(zip(self.arrays, self._starts(), strict=True))
        state = hashlib.sha256()

        for name in sorted(self.arrays):
            array = self.arrays[name]
            state.update(_title(name, array.dtype.str, array.shape))
            place = len(head) + starts[name]

            for piece in pieces_of(name, array):
                data = _bytes(piece)
                self._update(name, state, data)
                yield Placed(place, data)
                place += len(data)

        self.checksum = state.hexdigest()
        for key, (_, own) in self.hashes.items():
            self.header[key] = own.hexdigest()
        yield Placed(0, self._head())

    def _update(self, name: str, state: Any, data: memoryview) -> None:
        """Add an array's next bytes to all hashes that they belong to."""
        state.update(data)
        for of, own in self.hashes.values():
            if of == name:
                own.update(data)

    def _head(self) -> bytes:
        """What the file has before its buffers, with what is known by now."""
        meta = {
            "header": self.header,
            "header_sha256": _text_hash(self.header),
            "sha256": self.checksum,
        }
        return _head(self.arrays, json.dumps(meta, sort_keys=True))

    def _starts(self) -> Iterator[int]:
        """Where each array begins after the head."""
        start = 0
        for array in self.arrays.values():
            yield start
            start += array.nbytes


def _storable(name: str, array: Array) -> Array:
    if isinstance(array, np.ndarray):
        array = np.asarray(array)  # also of a subclass
        array = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")

    if array.dtype.str not in _NAMES:
        raise ValueError(
            f"array {name} is {array.dtype}, allowed are bool, integers, float16, float32 and "
            "float64"
        )

    return array


def _head(arrays: Mapping[str, Array], text: str) -> bytes:
    """What a safetensors file has before its buffers.

    Eight bytes with the length of the rest, which is JSON with spaces up to a multiple of eight.
    """
    entries: dict[str, Any] = {"__metadata__": {KEY: text}}
    start = 0

    for name, array in arrays.items():
        stop = start + array.nbytes
        entries[name] = {
            "dtype": _NAMES[array.dtype.str],
            "shape": list(array.shape),
            "data_offsets": [start, stop],
        }
        start = stop

    head = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head


def read_header(path: Path) -> dict[str, Any]:
    """The header that `write_tensors` stored, without reading the arrays.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, not one of ours, or its header does not match its
            checksum.
    """
    return read_header_and_digest(path)[0]


def read_header_and_digest(path: Path) -> tuple[dict[str, Any], str]:
    """The header of `path`, and the digest that its arrays must have; neither reads the arrays.

    Raises:
        FileNotFoundError, ValueError: as `read_header`.
    """
    meta = _open(path, lambda: None)[0]
    return meta["header"], str(meta["sha256"])


def read_tensors(
    path: Path, *, verify: bool = True, mapped: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and header of `path`.

    Args:
        verify: recompute the checksum, of a mapped file without its pages becoming memory.
        mapped: arrays are read-only views of a memory map, see `maps`; else they are the reader's
            own.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, not one of ours, or its bytes do not match their
            checksum.
    """
    read = _mapped if mapped else _arrays
    meta, (arrays, checksum) = _open(path, lambda: read(path, verify))

    if verify and checksum != meta["sha256"]:
        raise ValueError(
            f"{path} is damaged: its bytes do not match their checksum; delete it and run "
            "'dvc repro' again"
        )

    return arrays, meta["header"]


def fits(
    arrays: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[Any, Iterable[str | int]]]
) -> bool:
    """Whether `arrays` has these names with these types and shapes.

    Args:
        wanted: name -> type and shape; a word in a shape stands for one length wherever it is.
    """
    lengths: dict[str | int, int] = {}

    for name, (kind, shape) in wanted.items():
        array = arrays.get(name)
        if array is None or array.dtype != kind or array.ndim != len(tuple(shape)):
            return False

        for length, actual in zip(shape, array.shape, strict=True):
            needed = length if isinstance(length, int) else lengths.setdefault(length, actual)
            if actual != needed:
                return False

    return True


def kind_of_inputs(array: np.ndarray | None) -> tuple[Any, tuple[str | int, ...]]:
    """Type and shape of inputs, for `fits`: vectors float32 of one to three axes, or images."""
    if array is not None and array.dtype == np.float32:
        return np.float32, ("n", "a", "b", "c")[: min(max(array.ndim, 2), 4)]

    return np.uint8, ("n", "s", "s", 3)


def _open(path: Path, read: Callable[[], Read]) -> tuple[dict[str, Any], Read]:
    """Header and digest of a file, checked, and what `read` reads of it after that."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found: run 'dvc repro' to make it")

    try:
        # safe_open checks that the buffers fill the file and fit their types.
        with safe_open(path, framework="numpy") as file:
            meta = json.loads((file.metadata() or {})[KEY])

        if _text_hash(meta["header"]) != meta["header_sha256"]:
            raise ValueError("its header does not match its checksum")
        if not isinstance(meta["header"], dict):
            raise ValueError("its header is not a mapping")

        return {"header": meta["header"], "sha256": meta["sha256"]}, read()
    except (
        SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise ValueError(
            f"{path} is truncated or not a file of this pipeline ({error}): delete it and run "
            "'dvc repro' again"
        ) from error


def _arrays(path: Path, verify: bool) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of a file, views of one block of memory, and their digest.

    Not mapped: what was verified must not change with the file, and may be written to.
    """
    with path.open("rb", buffering=0) as file:
        block = np.empty(os.fstat(file.fileno()).st_size, dtype=np.uint8)
        read = 0
        while count := file.readinto(block.data[read:]):
            read += count

    if read < len(block):
        raise ValueError(_SHORTER)

    arrays = _views(block)
    return arrays, digest(arrays) if verify else ""


def _mapped(path: Path, verify: bool) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of a file, views of a memory map, and their digest.

    The digest is that of what is read from the file; pages that are only hashed are never mapped.
    """
    with path.open("rb", buffering=0) as file:
        block = map_file(file.fileno())
        arrays = _views(block)
        start, entries = _entries(block)
        return arrays, _file_digest(file.fileno(), start, entries) if verify else ""


def _file_digest(handle: int, start: int, entries: Mapping[str, Any]) -> str:
    """`digest` of the arrays of an open file, a piece in memory at a time."""
    state = hashlib.sha256()
    buffer = memoryview(bytearray(_READ_BYTES))

    for name in sorted(entries):
        entry = entries[name]
        first, stop = entry["data_offsets"]
        state.update(_title(name, _TYPES[entry["dtype"]], tuple(entry["shape"])))

        while first < stop:
            count = os.preadv(handle, [buffer[: stop - first]], start + first)
            if not count:
                raise ValueError(_SHORTER)
            state.update(buffer[:count])
            first += count

    return state.hexdigest()


def _views(block: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays in the bytes of a file."""
    start, entries = _entries(block)
    return {name: _view(block[start:], **entry) for name, entry in entries.items()}


def _entries(block: np.ndarray) -> tuple[int, dict[str, Any]]:
    """Where the buffers of a file begin, and what its head says of its arrays."""
    start = 8 + int.from_bytes(block[:8].tobytes(), "little")
    entries = json.loads(block[8:start].tobytes())
    entries.pop("__metadata__", None)
    return start, entries


def _view(buffers: np.ndarray, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    first, stop = data_offsets
    return buffers[first:stop].view(_TYPES[dtype]).reshape(shape)
