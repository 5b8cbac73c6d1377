"""Picture files found by what a list calls them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stages.images.sources.files import below, composed, is_picture
from stages.images.sources.parts import part_within


class PictureIndex:
    """All picture files below a folder, found by path, name, or name without suffix.

    A name may be written in another form of Unicode than the file's: "ä" is one character or, as
    macOS writes it, two. Files of the same form go first, of those that the part leaves.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[Path] = []
        self.folders: set[str] = set()
        self.normal: dict[str, list[Path]] = {}
        for file in below(root):
            if is_picture(file):
                self._add(file)

    def _add(self, file: Path) -> None:
        self.files.append(file)
        inside = file.relative_to(self.root)
        self.folders.update(map(composed, inside.parts[:-1]))
        names = {inside.as_posix(), inside.with_suffix("").as_posix(), file.name, file.stem}
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
            rest = parts[start:]
            cleaned = composed("/".join(rest))
            found = self.normal.get(cleaned) or self._ending(rest)
            if found:
                break

        exact = [file for file in found if composed(self._inside(file).as_posix()) == cleaned]
        near = [file for file in found if in_part(file, self.root, part)]
        found = exact or near or found
        return [file for file in found if self._same_form(file, rest)] or found

    def _ending(self, parts: Sequence[str]) -> list[Path]:
        """Files of this name whose path ends in these folders, in any form."""
        *folders, last = map(composed, parts)
        if not folders:
            return []
        return [
            file
            for file in self.normal.get(last, [])
            if [*map(composed, self._inside(file).parts[:-1][-len(folders) :])] == folders
        ]

    def _same_form(self, file: Path, parts: Sequence[str]) -> bool:
        """Whether a file that is called so in any form has the very characters."""
        *folders, last = parts
        ends = self._inside(file).parts[:-1][-len(folders) :] if folders else ()
        return last in (file.name, file.stem) and list(ends) == folders

    def _inside(self, file: Path) -> Path:
        """The path below the folder."""
        return file.relative_to(self.root)


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
