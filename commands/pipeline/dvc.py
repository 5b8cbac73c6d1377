"""What DVC says of the pipeline: names of stages, what each needs, which have changed.

DVC is asked by its command line, which stays the same from version to version, and it is the one of
this interpreter.
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
    """Variables of this process, with this interpreter as `python`, active environment or not."""
    folder = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])}


def stages() -> list[str]:
    """Names of all stages in the order of dvc.yaml, those of a matrix as "students@conv2-1M".

    Raises:
        ValueError: DVC refuses dvc.yaml or params.yaml.
    """
    return asked("stage", "list", "--name-only").split()


def needs() -> dict[str, set[str]]:
    """Stage -> the stages whose outputs it reads; those that read none are left out."""
    direct: dict[str, set[str]] = {}
    for before, after in EDGE.findall(asked("dag", "--dot")):
        direct.setdefault(after, set()).add(before)
    return direct


def all_needs(name: str, direct: Mapping[str, Iterable[str]]) -> set[str]:
    """What a stage needs, and what that needs, and so on."""
    needed: set[str] = set()
    queue = [name]
    while queue:
        new = set(direct.get(queue.pop(), ())) - needed
        needed |= new
        queue += new
    return needed


def changed(names: Iterable[str]) -> set[str]:
    """Those of these stages that DVC would run again as everything is now."""
    listed = list(names)
    status = json.loads(asked("status", "--json", *listed) or "{}")
    return set(status) & set(listed)


def asked(*words: str) -> str:
    """What DVC answers.

    Raises:
        ValueError: it fails; with its own words.
    """
    done = subprocess.run([*DVC, *words], env=environment(), capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        said = " ".join(lines) or f"exit status {done.returncode}"
        raise ValueError(f"'dvc {' '.join(words[:2])}' fails: {said}")
    return done.stdout
