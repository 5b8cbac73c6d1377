"""Where the nets of a finished run are, and what they take and give."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.settings.groups import GROUPS
from stages.store.prepared import PreparedManifest

DATA = Path("data")
PREPARED = Path("data/prepared")
OF_CELLS = tuple(dict.fromkeys(facts.folder for facts in GROUPS.values()))
"""Folders of data/ that hold cells."""


@dataclass(frozen=True)
class FoundNet:
    """One net of a run.

    Attributes:
        folder: students, hard, teachers or ensemble.
        key: ROW-BUDGET of a student, number of a teacher, place of a member.
        weights: its file.
    """

    folder: str
    key: str
    weights: Path

    @property
    def name(self) -> str:
        """As the user gives it."""
        return f"{self.folder}/{self.key}"

    @property
    def kind(self) -> str:
        """`student`, on whatever targets, or `teacher`; what builds it."""
        return "student" if self.folder in OF_CELLS else "teacher"


def nets(data: Path = DATA) -> dict[str, FoundNet]:
    """Name -> net, of all nets that are there."""
    found = [
        FoundNet(folder, path.parent.name, path)
        for folder in OF_CELLS
        for path in sorted((data / folder).glob("*/weights.safetensors"))
    ]
    found += [
        FoundNet("teachers", path.stem, path)
        for path in sorted((data / "teachers").glob("*.safetensors"))
        if path.stem.isdigit()
    ]
    found += [
        FoundNet("ensemble", path.stem.removeprefix("member-"), path)
        for path in sorted((data / "ensemble").glob("member-*.safetensors"))
    ]

    return {net.name: net for net in found}


def find(cell: str, data: Path = DATA) -> FoundNet:
    """The net called e.g. `students/conv2-180k`, `conv2-180k`, `teachers/003` or `ensemble/00`.

    Raises:
        FileNotFoundError: there are no nets at all.
        ValueError: there is none of this name; the nearest are named.
    """
    known = nets(data)
    if not known:
        raise FileNotFoundError(
            f"no finished nets under {data}: run 'dvc repro' or 'dvc pull' from the root"
        )

    name = cell.removeprefix("data/").strip("/")
    name = name if "/" in name else f"students/{name}"
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or list(known)[:5]
        raise ValueError(
            f"no net {cell!r} under {data}: there are {len(known)}, e.g. {', '.join(near)}"
        )

    return known[name]


def takes_and_gives(prepared: Path = PREPARED) -> dict[str, Any]:
    """What the nets of this run see and answer: `source`, `classes` (names), and their inputs.

    For images `fit` too, how pictures of another size became squares.
    """
    manifest = PreparedManifest.read(prepared)
    fit = {} if manifest.fit is None else {"fit": manifest.fit}
    return {
        "source": manifest.source,
        "classes": list(manifest.classes),
        **manifest.inputs.to_json(),
        **fit,
    }
