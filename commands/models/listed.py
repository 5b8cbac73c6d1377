"""Files of a folder that a net is asked about, in the order of their paths."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from commands.models.table_names import partial_path, table_name
from stages.images.pictures import SUFFIXES
from stages.images.sources.extra import VECTORS, labelled_files
from stages.images.sources.files import NAMED, linked_note, path_below, printable


@dataclass(frozen=True)
class Listed:
    """Files to score.

    Attributes:
        folder: that they are below.
        files: in the order of the rows.
        labels: number of the class of each; None where they are not known.
        notes: lines on what is in the folder and not among the files.
    """

    folder: Path
    files: list[Path]
    labels: list[int] | None
    notes: list[str]

    @cached_property
    def names(self) -> list[str]:
        """Of the files in a table."""
        return [table_name(path_below(file, self.folder)) for file in self.files]

    def hash(self) -> str:
        """Of names, classes, sizes and times of the files."""
        whole = hashlib.sha256()
        labels: Sequence[int | None] = self.labels or [None] * len(self.files)
        for name, label, file in zip(self.names, labels, self.files, strict=True):
            try:
                found = os.stat(file)
                state = (found.st_size, found.st_mtime_ns)
            except OSError:  # it is named when it is read
                state = (-1, -1)
            whole.update(repr((name, label, state)).encode())
        return whole.hexdigest()


def all_below(folder: Path, vectors: bool, out: Path) -> Listed:
    """All pictures at any depth, by the endings of their names, or all files of vectors.

    Names that begin with a dot are skipped. Folders that are links are not followed, since they may
    lead in a circle.

    Args:
        folder: where they are.
        vectors: whether the net takes vectors.
        out: the table, which may lie there too.

    Raises:
        ValueError: there is no such folder, or nothing of that kind in it.
        OSError: a folder in it cannot be read.
    """
    if not folder.is_dir():
        raise ValueError(f"--folder is {folder}, allowed is a folder with the files to classify")

    suffixes = VECTORS if vectors else SUFFIXES
    files: list[Path] = []
    others: list[Path] = []
    linked: list[Path] = []
    for place, inside, names in os.walk(folder, onerror=_refuse):
        inside[:] = [name for name in inside if not name.startswith(".")]
        linked += [link for name in inside if (link := Path(place, name)).is_symlink()]
        for name in names:
            if not name.startswith("."):
                file = Path(place, name)
                (files if file.suffix.lower() in suffixes else others).append(file)

    if not files:
        raise ValueError(f"--folder is {folder}, in which no file ends in {', '.join(suffixes)}")

    own = (out.absolute(), partial_path(out).absolute())
    others = [file for file in others if file.absolute() not in own]
    notes = [*linked_note(linked, folder), *_note(others, folder)]
    return Listed(folder, sorted(files), None, notes)


def _refuse(error: OSError) -> None:
    raise error


def _note(others: Sequence[Path], folder: Path) -> list[str]:
    """A line on files with other endings, if there are any."""
    if not others:
        return []
    shown = ", ".join(printable(path_below(file, folder)) for file in sorted(others)[:NAMED])
    more = f" and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
    return [f"passed over {len(others):,} files with other endings: {shown}{more}"]


def all_labelled(folder: Path, classes: Sequence[str], out: Path | None = None) -> Listed:
    """All files of `folder`/CLASS, see `labelled_files`.

    Args:
        folder, classes: where they are, and the names of the classes.
        out: a table that will be written.

    Raises:
        ValueError: there is no such folder, it holds something else, or the table would lie there.
    """
    if not folder.is_dir():
        raise ValueError(f"--labels is {folder}, allowed is a folder with a folder for each class")

    if out is not None and out.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"--out is {out}, among the files of --labels {folder}: choose a place outside"
        )

    linked: list[Path] = []
    found = labelled_files(folder, classes, linked=linked)
    labels = [label for _, label in found]
    return Listed(folder, [file for file, _ in found], labels, linked_note(linked, folder))
