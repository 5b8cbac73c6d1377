"""DVC's cache and lock file, read as DVC reads them, but every hash is recomputed.

DVC trusts a cached object of mode 0444 whatever its bytes are, and its record of a workspace file
as long as size, time and inode are the same. Nothing here is written, and git is not needed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.settings.read import MergeError, check_merged

BLOCK = 1 << 20
_NAME = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass(frozen=True)
class Out:
    """One output of a stage in dvc.lock.

    Attributes:
        stage: as `dvc repro` takes it, e.g. students@conv1-1M.
        path: file or folder, relative to the root.
        name: of its object in the cache: the md5, with ".dir" after it for a folder.
        cached: False for what dvc.yaml marks `cache: false`: git keeps it, and the cache need not.
    """

    stage: str
    path: str
    name: str
    cached: bool

    @property
    def folder(self) -> bool:
        """Whether it is a folder."""
        return self.name.endswith(".dir")


def dvc_settings(root: Path) -> tuple[Path, bool]:
    """The cache directory that DVC uses here, and whether there is a default remote.

    Reads all levels of DVC's configuration, down to .dvc/config.local.

    Raises:
        FileNotFoundError: no .dvc in `root`.
        ValueError: a config file that DVC does not read.
    """
    if not (root / ".dvc").is_dir():
        raise FileNotFoundError(f"{root / '.dvc'} not found: run from the root of the repository")

    from dvc.config import Config
    from dvc.exceptions import DvcException

    try:
        config = Config(str(root / ".dvc"))
    except DvcException as error:
        raise ValueError(f"{root / '.dvc'}: {' '.join(str(error).split())}") from error

    cache = config["cache"]
    url = config["remote"][cache["local"]]["url"] if cache.get("local") else cache.get("dir")
    return Path(url or root / ".dvc" / "cache"), bool(config["core"].get("remote"))


def object_path(cache: Path, name: str) -> Path:
    """Where DVC 3 keeps the object of this name."""
    return cache / "files" / "md5" / name[:2] / name[2:]


def object_names(cache: Path) -> list[str]:
    """Names of all objects in the cache, without temporary files of DVC."""
    names = (path.parent.name + path.name for path in cache.glob("files/md5/??/*"))
    return sorted(name for name in names if _NAME.fullmatch(name))


def read_listing(path: Path) -> dict[str, str]:
    """File of a folder -> its md5, from a .dir object.

    Raises:
        OSError: cannot be read.
        ValueError: not such an object.
    """
    try:
        return {entry["relpath"]: entry["md5"] for entry in json.loads(path.read_bytes())}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is not a list of files ({error})") from error


def listing_name(files: Mapping[str, str]) -> str:
    """Name of the object that lists a folder with these files and md5s."""
    entries = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


class Hashes:
    """md5 and sha256 of files; one that has several names (links) is read once.

    Args:
        on_bytes: called with the bytes of each block, and of each file that was read before.
    """

    def __init__(self, on_bytes: Callable[[int], object]) -> None:
        self.on_bytes = on_bytes
        self.known: dict[tuple[int, int], tuple[str, str]] = {}

    def __call__(self, path: Path) -> tuple[str, str]:
        """md5 and sha256 of the bytes of `path`; OSError if they cannot be read."""
        with path.open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            key = status.st_dev, status.st_ino
            if key in self.known:
                self.on_bytes(status.st_size)
                return self.known[key]

            md5 = hashlib.md5()
            sha256 = hashlib.sha256()
            block = memoryview(bytearray(BLOCK))
            while count := file.readinto(block):
                md5.update(block[:count])
                sha256.update(block[:count])
                self.on_bytes(count)

        self.known[key] = md5.hexdigest(), sha256.hexdigest()
        return self.known[key]


def read_lock(root: Path) -> dict[str, Any]:
    """The stages of dvc.lock.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged.
    """
    return _stages(root / "dvc.lock", "take it from git again, or run 'dvc repro'")


def read_pipeline(root: Path) -> dict[str, Any]:
    """The stages of dvc.yaml.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged.
    """
    return _stages(root / "dvc.yaml", "take it from git again")


def lock_outs(root: Path, lock: Mapping[str, Any]) -> tuple[list[Out], list[str], list[str]]:
    """Outputs in the lock file, stages that only it has, and stages that it lacks.

    DVC leaves a stage in dvc.lock when its row is taken out of params.yaml, and no longer looks
    after its outputs.

    Raises:
        FileNotFoundError, ValueError: dvc.yaml, params.yaml or an entry of dvc.lock is missing or
            damaged.
    """
    pipeline = read_pipeline(root)
    params = _yaml(root / "params.yaml", "run from the root of the repository")
    active = set(stage_names(pipeline, params))

    # The outputs of all stages that dvc.yaml still has.
    try:
        outs = [
            Out(
                stage,
                out["path"],
                out["md5"],
                not _uncached(pipeline[without_cell(stage)], out["path"]),
            )
            for stage, entry in lock.items()
            if stage in active
            for out in entry["outs"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{root / 'dvc.lock'} is damaged ({error!r}): take it from git again"
        ) from error

    # The names of their objects.
    for out in outs:
        if not _NAME.fullmatch(out.name):
            raise ValueError(
                f"{root / 'dvc.lock'}: {out.path} has md5 {out.name!r}: take the file from git again"
            )

    return outs, sorted(set(lock) - active), sorted(active - set(lock))


def stage_names(pipeline: Mapping[str, Any], params: Any) -> Iterator[str]:
    """Names of all stages; of a matrix over lists in params.yaml, one for each cell."""
    for name, stage in pipeline.items():
        lists = stage.get("matrix") or {}
        for cell in itertools.product(*(_values(entry, params) for entry in lists.values())):
            yield f"{name}@{'-'.join(map(str, cell))}" if lists else name


def without_cell(stage: str) -> str:
    """Name in dvc.yaml of a stage of dvc.lock: "students" of "students@conv1-1M"."""
    return stage.partition("@")[0]


def _stages(path: Path, remedy: str) -> dict[str, Any]:
    text = _yaml(path, remedy)
    if not isinstance(text, dict) or not isinstance(text.get("stages"), dict):
        raise ValueError(f"{path} holds no stages: {remedy}")
    return text["stages"]


def _yaml(path: Path, remedy: str) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found: {remedy}")
    try:
        text = path.read_text(encoding="utf-8")
        check_merged(text, path)
        return YAML(typ="safe").load(text)
    except MergeError:
        raise
    except (YAMLError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not valid YAML ({' '.join(str(error).split())}): {remedy}"
        ) from error


def _values(entry: Any, params: Any) -> list[Any]:
    """A list, or the list that "${a.b}" stands for."""
    if isinstance(entry, list):
        return entry
    try:
        for key in entry.removeprefix("${").removesuffix("}").split("."):
            params = params[key]
        return list(params)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"params.yaml has no list for {entry} of dvc.yaml") from error


def _uncached(stage: Mapping[str, Any], path: str) -> bool:
    listed = (
        out
        for key in ("outs", "metrics", "plots")
        for out in stage.get(key, [])
        if isinstance(out, dict)
    )
    plain = (
        pattern
        for out in listed
        for pattern, options in out.items()
        if options.get("cache") is False
    )

    return any(
        re.fullmatch(re.sub(r"\\\$\\\{.*?\\\}", ".*", re.escape(pattern)), path)
        for pattern in plain
    )
