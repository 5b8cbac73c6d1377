"""The journal of a sweep: one JSON object a line, synced to disk line by line.

The first line is a header that says which search the trials belong to. The file is only ever
appended to. A torn last line, left by a kill, is dropped before the next append; a damaged line in
the middle is an error. `check` in each line is a hash of that line and of all lines before it, so
that a changed, lost or moved line is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.store.atomic import sync_folder


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; NaN and infinity are refused with a ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _check(before: str, entry: dict[str, Any]) -> str:
    """16 hex digits of sha256 over the check of the line before and the entry."""
    return hashlib.sha256(f"{before}{canonical(entry)}".encode()).hexdigest()[:16]


@dataclass
class Journal:
    """Events of one sweep, in memory and on disk.

    Attributes:
        path: the file.
        events: all events so far, oldest first; without the header.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     journal = Journal.open(Path(folder) / "journal.jsonl", {"seed": 1})
    ...     journal.append({"event": "start", "trial": 0})
    ...     print(journal.path.read_text(), end="")
    ...     Journal.open(journal.path, {"seed": 1}).events
    {"check":"1d4da21299497aa2","header":{"seed":1}}
    {"check":"0d28d8bded17e6cc","event":"start","trial":0}
    [{'event': 'start', 'trial': 0}]
    """

    path: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    _last: str = ""

    @classmethod
    def open(cls, path: Path, header: dict[str, Any]) -> Journal:
        """Read the journal at `path`, or begin one.

        Raises:
            ValueError: it has another header, or a line before the last one is damaged.
        """
        journal = cls(path)
        lines = journal._whole_lines()

        # A new one: its name is on disk once its folder is synced.
        if not lines:
            path.parent.mkdir(parents=True, exist_ok=True)
            journal._append_line({"header": header})
            sync_folder(path.parent)
            return journal

        # The header first: a journal of another search is not damaged.
        entries = [journal._parse(number, line) for number, line in enumerate(lines, 1)]
        stored = entries[0].get("header")
        if canonical(stored) != canonical(header):
            different = ", ".join(differing(stored, header))
            raise ValueError(
                f"{path} belongs to another search (other {different}): move or "
                "delete that file to start over"
            )

        for number, entry in enumerate(entries, 1):
            journal._last = journal._verified(number, entry)

        journal.events = entries[1:]
        return journal

    def append(self, event: dict[str, Any]) -> None:
        """Add an event: to the disk first, then to `events` as a later `open` will read it."""
        self.events.append(json.loads(self._append_line(event)))

    def _append_line(self, entry: dict[str, Any]) -> str:
        """Write an entry with its check; returns its JSON without the check."""
        check = _check(self._last, entry)
        text = canonical(entry)

        with self.path.open("ab") as file:
            file.write(canonical({**entry, "check": check}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

        self._last = check
        return text

    def _whole_lines(self) -> list[bytes]:
        """Lines that end in a newline; what follows the last one is cut off the file."""
        if not self.path.is_file():
            return []

        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
                os.fsync(file.fileno())

        return whole.split(b"\n")[:-1]

    def _parse(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict):
                raise ValueError("not an object")
            canonical(entry)  # refuses NaN and infinity, which JSON lacks and Python reads
        except (ValueError, RecursionError) as error:
            raise self._damaged(number, error) from error
        return entry

    def _verified(self, number: int, entry: dict[str, Any]) -> str:
        """The check of a line, which is taken out of `entry`."""
        check = entry.pop("check", None)
        if check != _check(self._last, entry):
            raise self._damaged(number, "it does not match its check")
        return check

    def _damaged(self, number: int, why: object) -> ValueError:
        return ValueError(
            f"{self.path}, line {number} is damaged ({why}): move or delete the file to start over"
        )


def differing(stored: Any, header: Any, where: str = "header") -> list[str]:
    """Dotted names of the parts that differ between two JSON values."""
    if not (isinstance(stored, dict) and isinstance(header, dict)):
        return [] if canonical(stored) == canonical(header) else [where]

    prefix = "" if where == "header" else f"{where}."
    names = []
    for key in sorted({*stored, *header}):
        names += differing(stored.get(key), header.get(key), f"{prefix}{key}")
    return names
