"""safetensors files with one JSON header and a checksum that is verified on reading.

Nothing is ever unpickled. The header goes under one metadata key, since several keys are written in
random order and would change the file's hash from run to run. Arrays go from memory to the file and
back without a copy of the file in between.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from stages.store.atomic import write_buffers

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


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """sha256 over names, dtypes, shapes and bytes of `arrays`, in the order of their names."""
    state = hashlib.sha256()
    for name in sorted(arrays):
        # asarray and not ascontiguousarray, which makes a vector of a scalar
        array = np.asarray(arrays[name], order="C")
        state.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        state.update(_bytes(array))
    return state.hexdigest()


def _bytes(array: np.ndarray) -> memoryview:
    """The memory of a C-contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def _text_hash(header: Any) -> str:
    """sha256 of a header as canonical JSON."""
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> str:
    """Write `arrays` and a JSON `header` to `path` (whole or not at all); returns their digest.

    Raises:
        ValueError: an array's type is not one of bool, integers, float16, float32 and float64.
    """
    stored = {name: _storable(name, array) for name, array in arrays.items()}
    checksum = digest(stored)

    header = json.loads(json.dumps(header, allow_nan=False))
    meta = {"header": header, "header_sha256": _text_hash(header), "sha256": checksum}

    kinds = list(_NAMES)
    ordered = dict(
        sorted(stored.items(), key=lambda item: (kinds.index(item[1].dtype.str), item[0]))
    )
    head = _head(ordered, json.dumps(meta, sort_keys=True))

    write_buffers(path, [head, *(_bytes(array) for array in ordered.values())])
    return checksum


def _storable(name: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    array = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")

    if array.dtype.str not in _NAMES:
        raise ValueError(
            f"array {name} is {array.dtype}, allowed are bool, integers, float16, float32 and "
            "float64"
        )

    return array


def _head(arrays: Mapping[str, np.ndarray], text: str) -> bytes:
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
    meta = _open(path)[0]
    return meta["header"], str(meta["sha256"])


def read_tensors(
    path: Path, *, verify: bool = True
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and header of `path`; `verify` recomputes the checksum.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, not one of ours, or its bytes do not match their
            checksum.
    """
    meta, arrays = _open(path, arrays=True)

    if verify and digest(arrays) != meta["sha256"]:
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


def _open(path: Path, arrays: bool = False) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
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

        return {"header": meta["header"], "sha256": meta["sha256"]}, _arrays(path) if arrays else {}
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


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, views of one block of memory into which the file is read at once."""
    # Not mapped: what was verified must not change with the file, and may be written to.
    with path.open("rb", buffering=0) as file:
        block = np.empty(os.fstat(file.fileno()).st_size, dtype=np.uint8)
        read = 0
        while count := file.readinto(block.data[read:]):
            read += count

    if read < len(block):
        raise ValueError("it became shorter while it was read")

    start = 8 + int.from_bytes(block[:8].tobytes(), "little")
    entries = json.loads(block[8:start].tobytes())
    entries.pop("__metadata__", None)

    return {name: _view(block[start:], **entry) for name, entry in entries.items()}


def _view(buffers: np.ndarray, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    first, stop = data_offsets
    return buffers[first:stop].view(_TYPES[dtype]).reshape(shape)
