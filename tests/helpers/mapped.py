"""Arrays in memory maps, and how much of a map is memory of this process."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from stages.store.tensors import read_tensors, write_tensors

MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ .*? (?P<path>/.*)$")


def mapped(path: Path, array: np.ndarray) -> np.ndarray:
    """The same array in a file that is mapped."""
    write_tensors(path, {"x": array}, {})
    return read_tensors(path, mapped=True)[0]["x"]


def resident(path: Path) -> int:
    """Bytes of all maps of a file that are memory of this process."""
    found = 0
    ours = False

    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = MAPPING.match(line)
        if head:
            ours = head["path"] == str(path)
        elif re.match(r"^[0-9a-f]+-[0-9a-f]+ ", line):
            ours = False
        elif ours and line.startswith("Rss:"):
            found += 1024 * int(line.split()[1])

    return found
