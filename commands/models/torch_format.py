"""safetensors files of an export as loaders of torch models want them."""

from __future__ import annotations

import json
from pathlib import Path

from stages.store.atomic import write_buffers

FORMAT = {"format": "pt"}
"""Metadata without which accelerate, and what builds on it, refuses a file."""


def mark(path: Path) -> None:
    """Add FORMAT to the metadata of a safetensors file; arrays and other metadata stay.

    The library's own writer puts several keys in random order, and the same net would give another
    file each time.
    """
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    head = json.loads(data[8:start])

    head["__metadata__"] = {**FORMAT, **head.get("__metadata__", {})}
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write_buffers(path, (len(text).to_bytes(8, "little"), text, memoryview(data)[start:]))
