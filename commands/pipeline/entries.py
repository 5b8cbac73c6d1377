"""Which stages of dvc.lock are done here: parameters and inputs agree, and outputs are at hand.

git brings dvc.lock and metrics/ without data/, and a stage that has changed leaves the entries of
the stages after it as they were: an entry alone says nothing. Nothing is written. Changes of code
are not seen here; `dvc status` sees them.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from commands.pipeline.cache import Out, listing_name, object_path, read_listing


@dataclass(frozen=True)
class Record:
    """What is true of a stage's entry in dvc.lock.

    Attributes:
        differing: parameters that have other values in params.yaml.
        agrees: none differs, and the stages before it agree and have made just what this one was
            made from.
        here: its outputs are in the workspace or in DVC's cache.
        done: it agrees, and it and all before it are here.
    """

    differing: tuple[str, ...] = ()
    agrees: bool = True
    here: bool = True
    done: bool = True


class Records:
    """The stages of dvc.lock, compared with params.yaml, each other and the files.

    Args:
        root: of the repository.
        lock: the stages of dvc.lock.
        outs: of the stages that dvc.yaml still has, as `lock_outs` finds them.
        params: all of params.yaml.
        cache: says where DVC's cache is; called if an output is not in the workspace.
    """

    def __init__(
        self,
        root: Path,
        lock: Mapping[str, Any],
        outs: Sequence[Out],
        params: Mapping[str, Any],
        cache: Callable[[], Path],
    ) -> None:
        self.root = root
        self.lock = lock
        self.params = params
        self.cache = cache

        # The outputs by their path, by their stage and by the folders above them.
        self.by_path = {out.path: out for out in outs}
        self.by_stage: dict[str, list[Out]] = {}
        self.by_folder: dict[str, list[Out]] = {}
        for out in outs:
            self.by_stage.setdefault(out.stage, []).append(out)
            for parent in Path(out.path).parents:
                self.by_folder.setdefault(parent.as_posix(), []).append(out)

        self.records: dict[str, Record] = {}

    def __call__(self, stage: str) -> Record | None:
        """The record of a stage; None if dvc.lock has no such entry."""
        if stage not in self.lock:
            return None
        if stage not in self.records:
            self.records[stage] = Record(agrees=False, done=False)  # a stage that needs itself
            self.records[stage] = self._record(stage)
        return self.records[stage]

    def _record(self, stage: str) -> Record:
        entry = self.lock[stage]
        other = differing(entry, self.params)
        before = [self._input(dep["path"], dep.get("md5")) for dep in entry.get("deps") or []]
        here = all(self._at_hand(out) for out in self.by_stage.get(stage, []))

        agrees = not other and all(same for same, _ in before)
        done = agrees and here and all(done for _, done in before)
        return Record(other, agrees, here, done)

    def _input(self, path: str, md5: str | None) -> tuple[bool, bool]:
        """Whether a dependency is what the stages before have made, and whether these are done."""
        single = self.by_path.get(path)
        makers = [single] if single else self.by_folder.get(path, [])
        records = [record for record in (self(out.stage) for out in makers) if record]

        same = all(record.agrees for record in records)
        if single:
            same = same and single.name == md5
        elif makers:
            # DVC kept the hash of the whole folder, in which files of former stages may remain.
            same = same and folder_md5(self.root / path) == md5

        return same, all(record.done for record in records)

    def _at_hand(self, out: Out) -> bool:
        path = self.root / out.path
        if not out.cached:
            return file_md5(path) == out.name

        # In the workspace, as far as sizes tell, or else in the cache.
        recorded = next(each for each in self.lock[out.stage]["outs"] if each["path"] == out.path)
        size = recorded.get("size")
        count = recorded.get("nfiles")
        bytes_here, files_here = extent(path)
        if files_here and size in (None, bytes_here) and count in (None, files_here):
            return True
        return in_cache(self.cache(), out.name)


def settle(path: Path, still: float = 0.3, most: int = 100) -> None:
    """Wait while DVC writes a file, for seconds: half of dvc.lock may look like all of it."""
    for _ in range(most):
        if time.time() - path.stat().st_mtime >= still:
            return
        time.sleep(0.1)


def differing(entry: Mapping[str, Any], params: Mapping[str, Any]) -> tuple[str, ...]:
    """Parameters of an entry of dvc.lock whose values params.yaml does not have."""
    recorded = (entry.get("params") or {}).get("params.yaml") or {}
    return tuple(name for name, value in recorded.items() if lookup(params, name) != value)


def lookup(params: Any, name: str) -> Any:
    """The value of "students.sweep" and the like; None where there is none."""
    for key in name.split("."):
        params = params.get(key) if isinstance(params, Mapping) else None
    return params


def extent(path: Path) -> tuple[int, int]:
    """Bytes and files of a file or folder; 0 files if there is none."""
    if not path.is_dir():
        return (path.stat().st_size, 1) if path.is_file() else (0, 0)
    sizes = [
        os.stat(os.path.join(parent, name)).st_size
        for parent, _, names in os.walk(path)
        for name in names
    ]
    return sum(sizes), len(sizes)


def in_cache(cache: Path, name: str) -> bool:
    """Whether an object is in DVC's cache; of a folder, its list and every file of it."""
    path = object_path(cache, name)
    if not path.is_file():
        return False
    members = read_listing(path).values() if name.endswith(".dir") else ()
    return all(object_path(cache, member).is_file() for member in members)


def folder_md5(folder: Path) -> str:
    """What DVC calls a folder of small files as it is now."""
    files = {
        path.relative_to(folder).as_posix(): file_md5(path)
        for path in folder.rglob("*")
        if path.is_file()
    }
    return listing_name({name: md5 for name, md5 in files.items() if md5})


def file_md5(path: Path) -> str | None:
    """md5 of a small file, read once as long as it does not change; None if there is none."""
    try:
        status = path.stat()
        return _md5(path, status.st_mtime_ns, status.st_size)
    except OSError:  # DVC removes outputs before it makes them again
        return None


@lru_cache(maxsize=4096)
def _md5(path: Path, changed_ns: int, size: int) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()
