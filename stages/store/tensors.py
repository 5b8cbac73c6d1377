"""safetensors files with one JSON header and a checksum that is verified on reading.

Nothing is ever unpickled. The header goes under one metadata key, since several keys are written in random
order and would change the file's hash from run to run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stages.store.atomic import write_bytes

KEY = "json"


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """sha256 over names, dtypes, shapes and bytes of `arrays`, in the order of their names."""
    state = hashlib.sha256()
    for name in sorted(arrays):
        # asarray and not ascontiguousarray, which makes a vector of a scalar
        array = np.asarray(arrays[name], order="C")
        state.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        state.update(array.reshape(-1).data.cast("B") if array.size else b"")
    return state.hexdigest()


def _text_hash(header: Any) -> str:
    """sha256 of a header as canonical JSON."""
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> str:
    """Write `arrays` and a JSON `header` to `path` (whole or not at all); returns their digest."""
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    checksum = digest(arrays)
    header = json.loads(json.dumps(header, allow_nan=False))
    meta = {"header": header, "header_sha256": _text_hash(header), "sha256": checksum}
    text = json.dumps(meta, sort_keys=True)
    write_bytes(path, save(dict(arrays), metadata={KEY: text}))
    return checksum


def read_header(path: Path) -> dict[str, Any]:
    """The header that `write_tensors` stored, without reading the arrays.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, not one of ours, or its header does not match its checksum.
    """
    return _open(path)[0]["header"]


def read_tensors(path: Path, *, verify: bool = True) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and header of `path`; `verify` recomputes the checksum.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, not one of ours, or its bytes do not match their checksum.
    """
    meta, arrays = _open(path, arrays=True)
    if verify and digest(arrays) != meta["sha256"]:
        raise ValueError(
            f"{path} is damaged: its bytes do not match their checksum; delete it and run 'dvc repro' again"
        )
    return arrays, meta["header"]


def _open(path: Path, arrays: bool = False) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found: run 'dvc repro' to make it")
    try:
        with safe_open(path, framework="numpy") as file:
            meta = json.loads((file.metadata() or {})[KEY])
            if _text_hash(meta["header"]) != meta["header_sha256"]:
                raise ValueError("its header does not match its checksum")
            held = {name: file.get_tensor(name) for name in file.keys()} if arrays else {}  # noqa: SIM118
            return {"header": meta["header"], "sha256": meta["sha256"]}, held
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is truncated or not a file of this pipeline ({error}): "
            "delete it and run 'dvc repro' again"
        ) from error
