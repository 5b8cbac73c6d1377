"""Whether what a stage's result is put down to is still what the stage began with.

DVC hashes code, parameters and inputs when a stage has ended, and the stage reads them when it
begins. If somebody edits one of them in between (or `git switch` does), DVC would lock the result
of the old values with the hash of the new ones. So a stage compares them at its end, and fails if
they differ. What it has computed stays in work/ under its own key: with the old values put back,
nothing is trained again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from commands.pipeline.cache import read_pipeline, without_cell
from commands.pipeline.entries import lookup
from stages.runtime.listings import check_code
from stages.store.manifest import folder_hash

PARAMS = Path("params.yaml")
SMALL_BYTES = 1 << 20
"""Up to which a file is compared by its bytes; a larger one by its size and time."""
REMEDY = (
    "the result belongs to what was there before, so DVC is not told of it; what was computed is "
    "kept in work/: run 'dvc repro' again, or put back what was changed and run it, which trains "
    "nothing again"
)


@dataclass(frozen=True)
class Beginning:
    """What a stage depends on, as it is when the stage begins.

    Attributes:
        stage: the stage's file, as "students".
        keys: parameters that dvc.yaml says it depends on.
        params: bytes of params.yaml.
        inputs: path -> fingerprint of each dependency that is not a list of code.
    """

    stage: str
    keys: tuple[str, ...]
    params: bytes
    inputs: Mapping[str, str]

    @classmethod
    def now(cls, name: str, words: Sequence[str]) -> Beginning:
        """The dependencies of a stage, after a look whether its code is what `code` has listed.

        Args:
            name: as DVC calls it, "students@conv1-1M".
            words: the stage's file, and what its command has besides.

        Raises:
            ValueError: other code, or dvc.yaml is damaged or has no such stage.
            OSError: a file is missing.
        """
        check_code(words[0])

        plain = without_cell(name.rpartition(":")[2])  # of "../dvc.yaml:students@conv1-1M" too
        entry = read_pipeline(Path()).get(plain)
        if entry is None:
            raise ValueError(f"dvc.yaml has no stage {plain}: take it from git again")

        item = dict(_options(words))
        keys = tuple(_filled(key, item) for key in entry.get("params") or [])
        paths = [_filled(path, item) for path in entry.get("deps") or []]
        return cls(words[0], keys, PARAMS.read_bytes(), {path: _print(path) for path in paths})

    def check(self) -> None:
        """Compare with what is there now.

        Raises:
            ValueError: code, a parameter or an input has changed.
        """
        try:
            check_code(self.stage)
        except ValueError as error:
            raise ValueError(f"{str(error).partition(':')[0]}: {REMEDY}") from error

        differing = [*self._params(), *self._inputs()]
        if differing:
            more = f" and {len(differing) - 1} more" if differing[1:] else ""
            raise ValueError(f"{differing[0]}{more} changed while the stage ran: {REMEDY}")

    def _params(self) -> Iterator[str]:
        """Parameters of the stage that have other values now."""
        now = PARAMS.read_bytes() if PARAMS.is_file() else b""
        if now == self.params:
            return

        before, after = (YAML(typ="safe").load(text) for text in (self.params, now))
        for key in self.keys:
            if lookup(before, key) != lookup(after, key):
                yield f"params.yaml: {key}"

    def _inputs(self) -> Iterator[str]:
        """Inputs that are others now."""
        for path, before in self.inputs.items():
            if _print(path) != before:
                yield path


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name and value of each option, as DVC writes what a cell of a matrix has: --row conv1."""
    for option, value in zip(words, words[1:], strict=False):
        if option.startswith("--"):
            yield option.removeprefix("--"), value


def _filled(text: str, item: Mapping[str, str]) -> str:
    """An entry of dvc.yaml with the values of one cell of its matrix."""
    text = text.replace("${key}", "-".join(item.values()))
    for name, value in item.items():
        text = text.replace(f"${{item.{name}}}", value)
    return text


def _print(path: str) -> str:
    """What a file or folder is known by; of a data folder its manifest, which has all hashes."""
    here = Path(path)
    if (here / "manifest.json").is_file():
        return folder_hash(here)

    state = hashlib.sha256()
    for file in sorted(here.rglob("*")) if here.is_dir() else [here]:
        if file.is_file():
            state.update(f"{file.relative_to(here).as_posix()}\0".encode())
            state.update(_of_file(file))
    return state.hexdigest()


def _of_file(file: Path) -> bytes:
    status = os.stat(file)
    if status.st_size > SMALL_BYTES:
        return f"{status.st_size} {status.st_mtime_ns}".encode()
    return file.read_bytes()
