"""Which files of this project a module runs: a part of the key under which its results are kept."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def code_files(path: Path) -> list[Path]:
    """`path` and every file of this project that it imports, also inside functions; sorted."""
    files: set[Path] = set()
    queue = [path.resolve()]

    while queue:
        current = queue.pop()
        if current not in files:
            files.add(current)
            queue += _imports(current)

    return sorted(files)


def code_hash(path: Path) -> str:
    """sha256 over the names and bytes of `code_files(path)`."""
    state = hashlib.sha256()
    for file in code_files(path):
        state.update(f"{file.relative_to(ROOT).as_posix()}\0".encode())
        state.update(file.read_bytes())
    return state.hexdigest()


def hashes(files: Iterable[Path]) -> dict[str, str]:
    """Name from the root -> sha256 of each file."""
    return {
        file.relative_to(ROOT).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def _imports(path: Path) -> list[Path]:
    """Files of `stages/` that one file imports."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    names = _imported_names(path.read_bytes(), package)

    ours = (name for name in names if name.startswith("stages."))
    files = (ROOT.joinpath(*name.split(".")).with_suffix(".py") for name in ours)
    return [file for file in files if file.is_file()]


@lru_cache(maxsize=1024)
def _imported_names(source: bytes, package: tuple[str, ...]) -> frozenset[str]:
    """All names that a file of `package` imports, also as if they were modules."""
    names: set[str] = set()

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}

    return frozenset(names)
