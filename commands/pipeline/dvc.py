"""What DVC says of the pipeline: names of stages, what each needs, which have changed; used by
matrix.

Asked in the words of its command line, which stay the same from version to version, and by this
interpreter's DVC.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

DVC = (sys.executable, "-m", "dvc", "--wait-for-lock")
EDGE = re.compile(r'^\s*"(.+)" -> "(.+)";$', re.M)


def environment() -> dict[str, str]:
    """This process's own, in which `python` is this interpreter also where no virtual environment
    is active.
    """
    folder = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])}


def stages() -> list[str]:
    """Names of all stages in the order of dvc.yaml, those of a matrix as "students@conv2-1M".

    Raises:
        ValueError: DVC refuses dvc.yaml or params.yaml.
    """
    return asked("stage", "list", "--name-only").split()


def needs() -> dict[str, set[str]]:
    """For each stage that needs others those whose outputs it reads."""
    found: dict[str, set[str]] = {}
    for before, after in EDGE.findall(asked("dag", "--dot")):
        found.setdefault(after, set()).add(before)
    return found


def all_needs(name: str, direct: Mapping[str, Iterable[str]]) -> set[str]:
    """What a stage needs, and what that needs, and so on."""
    found: set[str] = set()
    queue = [name]
    while queue:
        new = set(direct.get(queue.pop(), ())) - found
        found |= new
        queue += new
    return found


def changed(names: Iterable[str]) -> set[str]:
    """Those of these stages that DVC would run again as everything is now."""
    wanted = list(names)
    return set(json.loads(asked("status", "--json", *wanted) or "{}")) & set(wanted)


def asked(*words: str) -> str:
    """What DVC answers.

    Raises:
        ValueError: it fails; with its own words.
    """
    done = subprocess.run([*DVC, *words], env=environment(), capture_output=True, text=True)
    if done.returncode:
        said = (
            " ".join(line for line in done.stderr.splitlines() if line.strip())
            or f"exit status {done.returncode}"
        )
        raise ValueError(f"'dvc {' '.join(words[:2])}' fails: {said}")
    return done.stdout
