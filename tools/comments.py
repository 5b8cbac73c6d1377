"""What the comments of a scale file say of its keys.

A comment belongs to the first key of its line and continues in the lines below it that begin with `#`
in the same column. `meaning (unit) [source]` are its parts; "ours:" in front is a source too. Below
a key that holds others, lines of the form "# KEY: meaning" are about these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

UNITS = frozenset(
    {
        "%",
        "draws",
        "epochs",
        "filters",
        "filters or units",
        "images",
        "nets",
        "parameters",
        "percentage points",
        "probability",
        "processes",
        "px",
        "runs",
        "s",
        "threads",
        "trials",
        "turns",
        "units",
    }
)
"""What parentheses at a comment's end may hold to be a unit; all else belongs to the meaning."""
_SOURCE = re.compile(r"\s*\[(Table \d+|\d+(?:\.\d+)?(?:, \d+(?:\.\d+)?)*)\]$")
_UNIT = re.compile(r"\s*\(([^()]+)\)$")
_KEY = re.compile(r"(\w+): (.*)")

Path = tuple[str, ...]


@dataclass(frozen=True)
class Comment:
    """What is said of one key; `source` is "ours", sections of the paper, or nothing."""

    meaning: str
    unit: str = ""
    source: str = ""


def read(text: str) -> dict[Path, Comment]:
    """The comments of a YAML file by the path of their key, in the order of the file."""
    lines = text.splitlines()
    found: dict[Path, Comment] = {}
    for path, line, holds in _keys(YAML().load(text)):
        about: list[str] = []
        below: dict[Path, Comment] = {}
        for part in _parts(lines, line):
            key = _KEY.fullmatch(part) if holds and about else None
            if key:
                below[(*path, key[1])] = parsed([key[2]])
            else:
                about.append(part)

        if about:
            found[path] = parsed(about)
        found |= below

    return found


def parsed(parts: list[str]) -> Comment:
    """The lines of one comment as meaning, unit and source."""
    unit = source = ""
    meaning = []
    for part in parts:
        if part.startswith("ours: "):
            part = part.removeprefix("ours: ")
            source = "ours"

        cited = _SOURCE.search(part)
        if cited:
            part = part[: cited.start()]
            source = cited[1]

        measured = _UNIT.search(part)
        if measured and measured[1] in UNITS:
            part = part[: measured.start()]
            unit = measured[1]
        meaning.append(part)

    return Comment("; ".join(meaning), unit, source)


def _keys(node: CommentedMap, above: Path = (), line: int = -1) -> Iterator[tuple[Path, int, bool]]:
    """Path and line of every key that is the first of its line, and whether it holds others."""
    for key, value in node.items():
        path = (*above, str(key))
        own = node.lc.key(key)[0]
        if own != line:
            yield path, own, isinstance(value, CommentedMap)
        if isinstance(value, CommentedMap):
            yield from _keys(value, path, own)


def _parts(lines: list[str], line: int) -> Iterator[str]:
    """The comment of a line and of those below that continue it; no value of a scale holds ` #`."""
    column = lines[line].find(" #") + 1
    if column == 0:
        return
    yield lines[line][column + 1 :].strip()
    for text in lines[line + 1 :]:
        if text.find("#") != column or text[:column].strip():
            return
        yield text[column + 1 :].strip()
