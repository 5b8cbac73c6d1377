"""Picture files found by what a list calls them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from stages.images.sources.files import below, is_picture
from stages.images.sources.parts import part_within


class PictureIndex:
    """All picture files below a folder, found by path, name, or name without suffix.

    A name may be written in another form of Unicode than the file's: "ä" is one character or, as
    macOS writes it, two. Files of the same form go first.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[Path] = []
        self.folders: set[str] = set()
        self.places: dict[str, list[Path]] = {}
        self.normal: dict[str, list[Path]] = {}
        for file in below(root):
            if is_picture(file):
                self._add(file)

    def _add(self, file: Path) -> None:
        self.files.append(file)
        inside = file.relative_to(self.root)
        self.folders.update(map(composed, inside.parts[:-1]))
        names = {inside.as_posix(), inside.with_suffix("").as_posix(), file.name, file.stem}
        for name in names:
            self.places.setdefault(name, []).append(file)
        for name in set(map(composed, names)):
            self.normal.setdefault(name, []).append(file)

    def find(self, name: str, part: str, shared: int = 0) -> list[Path]:
        """Files that `name` may mean; those in a folder of the part first, where there are any.

        All folders that it names must be the last ones of the file's path: `cats/1.png` may be
        `photos/cats/1.png`, and never `dogs/1.png`. The first `shared` ones may be left out, see
        `shared_folders`.
        """
        parts = steps_of(name)
        found: list[Path] = []
        for start in range(min(shared, len(parts) - 1) + 1):
            cleaned = "/".join(parts[start:])
            found = self.places.get(cleaned) or self._ending(parts[start:])
            if not found and not cleaned.isascii():
                found = self.normal.get(composed(cleaned)) or self._ending(parts[start:], True)
            if found:
                break

        whole = composed(cleaned)
        exact = [file for file in found if composed(self._inside(file).as_posix()) == whole]
        near = [file for file in found if in_part(file, self.root, part)]
        return exact or near or found

    def _ending(self, parts: Sequence[str], any_form: bool = False) -> list[Path]:
        """Files of this name whose path ends in these folders."""
        *folders, last = map(composed, parts) if any_form else parts
        if not folders:
            return []

        places = self.normal if any_form else self.places
        found = []
        for file in places.get(last, []):
            ends = self._inside(file).parts[:-1][-len(folders) :]
            if [*(map(composed, ends) if any_form else ends)] == folders:
                found.append(file)
        return found

    def _inside(self, file: Path) -> Path:
        """The path below the folder."""
        return file.relative_to(self.root)


def composed(text: str) -> str:
    """The normal form of Unicode that has one character for a letter with its accent (NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def steps_of(name: str) -> list[str]:
    """The folders that a list names, then the file."""
    steps = name.strip().replace("\\", "/").split("/")
    return [step for step in steps if step not in ("", ".")] or [""]


def shared_folders(names: Sequence[str], index: PictureIndex) -> int:
    """How many first folders all lines name alike and no folder of the pictures is called.

    They are of the machine where the list was written, and tell nothing of the pictures.
    """
    every = [steps_of(name)[:-1] for name in names]
    if not every:
        return 0

    low, high = min(every), max(every)  # what these share, all between them share
    count = 0
    for first, last in zip(low, high, strict=False):
        if first != last or composed(first) in index.folders:
            break
        count += 1
    return count


def in_part(file: Path, root: Path, part: str) -> bool:
    """Whether a folder of the file, below `root`, is one of this part."""
    return any(part_within(each) == part for each in file.relative_to(root).parts[:-1])
