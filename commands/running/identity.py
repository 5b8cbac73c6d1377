"""What a serving process must have in common with those that it serves."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ("stages", "commands")
OF_ONE_STAGE = ("DVC_STAGE", "_", "SHLVL", "PWD", "OLDPWD")
"""Variables that differ from stage to stage of one run, and change no result."""


def surroundings(environ: Mapping[str, str]) -> str:
    """sha256 over interpreter, folder and variables: what a process has from its start."""
    variables = {name: value for name, value in environ.items() if name not in OF_ONE_STAGE}
    facts = [sys.executable, sys.version, os.getcwd(), os.fspath(ROOT), variables]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def code() -> str:
    """sha256 over the names and bytes of all Python files of the project, as they are on disk."""
    state = hashlib.sha256()
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            state.update(f"{path.relative_to(ROOT).as_posix()}\0".encode())
            state.update(path.read_bytes())
    return state.hexdigest()
