"""Outputs that a stage has left before, from DVC's cache.

DVC removes the outputs of a stage before it runs it, and keeps its entry in dvc.lock until the new
ones are there. So what the entry names is in the cache, unless it was never pulled.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.pipeline.cache import dvc_settings, object_path, read_listing, read_lock
from commands.pipeline.entries import file_md5, in_cache
from stages.runtime.listings import LISTS

FORCED = {"-f", "--force", "--no-run-cache"}
SHORT = set("smpfiPRqvk")
"""Short options of `dvc repro` without a value, which may be written together: -sf."""
YOUNG_SECONDS = 0.5


@dataclass(frozen=True)
class Cached:
    """A folder in DVC's cache.

    Attributes:
        cache: the cache directory.
        files: file of the folder -> its md5.
    """

    cache: Path
    files: Mapping[str, str]

    def copy(self, name: str, to: Path) -> None:
        """Copy one file.

        Raises:
            FileNotFoundError: the folder has no such file.
            ValueError: its bytes are not those that its name in the cache says.
        """
        if name not in self.files:
            raise FileNotFoundError(f"{name} is not among the files of {sorted(self.files)[:3]}")

        source = object_path(self.cache, self.files[name])
        to.unlink(missing_ok=True)
        shutil.copyfile(source, to)
        with to.open("rb") as file:
            if hashlib.file_digest(file, "md5").hexdigest() != self.files[name]:
                raise ValueError(
                    f"{source} is damaged: 'python -m commands.verify' says what to do"
                )


def earlier(stage: str, out: Path, root: Path = Path()) -> Cached | None:
    """What a stage has left in a folder, if its code has not changed since and all of it is here.

    Whether settings and inputs are the same is for the stage to see.

    Args:
        stage: as DVC calls it, "students@conv1-1M".
        out: the folder, from the root.
        root: of the repository.

    Raises:
        ValueError: dvc.lock or a configuration of DVC is damaged.
    """
    if not (root / "dvc.lock").is_file():
        return None

    plain = stage.rpartition(":")[2]  # of "../dvc.yaml:students@conv1-1M" too
    entry, name = _entry(root, plain, out)
    if name is None or not same_code(entry, root):
        return None

    cache = dvc_settings(root)[0]
    if not in_cache(cache, name):
        return None
    return Cached(cache, read_listing(object_path(cache, name)))


def forced(words: Sequence[str]) -> bool:
    """Whether a command line of DVC asks to run what is done already."""
    clusters = (word[1:] for word in words if word.startswith("-") and not word.startswith("--"))
    return not FORCED.isdisjoint(words) or any(
        "f" in letters and set(letters) <= SHORT for letters in clusters
    )


def _entry(root: Path, stage: str, out: Path) -> tuple[dict[str, Any], str | None]:
    """A stage in dvc.lock, and the md5 of its output; None if it is not there.

    DVC writes the file anew for every stage, so that another one that runs beside this may be
    writing it: what is missing is looked for again while the file is young.
    """
    path = root / "dvc.lock"
    while True:
        try:
            entry = read_lock(root).get(stage) or {}
            name = _md5_of(entry.get("outs"), out)
        except (ValueError, FileNotFoundError):
            if not _young(path):
                raise
            name = None

        if name is not None or not _young(path):
            return entry if name else {}, name
        time.sleep(YOUNG_SECONDS / 5)


def _young(path: Path) -> bool:
    """Whether a file was changed just now."""
    return path.is_file() and time.time() - path.stat().st_mtime < YOUNG_SECONDS


def _md5_of(outs: Any, out: Path) -> str | None:
    """md5 of an output in an entry of dvc.lock, that of a folder."""
    for each in outs or []:
        if each.get("path") == out.as_posix() and str(each.get("md5")).endswith(".dir"):
            return str(each["md5"])
    return None


def same_code(entry: Mapping[str, Any], root: Path) -> bool:
    """Whether an entry of dvc.lock was made by the code of today: its list has the same hash."""
    lists = [
        dep for dep in entry.get("deps") or [] if Path(str(dep.get("path"))).is_relative_to(LISTS)
    ]
    return bool(lists) and all(file_md5(root / dep["path"]) == dep.get("md5") for dep in lists)
