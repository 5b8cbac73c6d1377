"""Tables of cells that params.yaml no longer has.

DVC leaves the outputs of a stage that is gone. The tables depend on metrics/students and
metrics/hard as folders, so that a file too many gives them another hash: two clones at one commit
would disagree about what is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from commands.pipeline.cache import read_lock
from stages.settings.students import cells

METRICS = Path("metrics")
FOLDERS = ("students", "hard")
ENDINGS = (".retrained.csv", ".json", ".csv")


def leftovers(params: Mapping[str, Any], root: Path = Path()) -> list[Path]:
    """Tables of cells that these parameters do not have, sorted, as far as dvc.lock knows them.

    DVC keeps the entry of a stage that is gone. A file that no entry names is somebody's own.

    Raises:
        ValueError: the parameters name no cells, or dvc.lock is damaged.
    """
    if not (root / "dvc.lock").is_file():
        return []

    known = {name.files for name in cells(dict(params))}
    outputs = {
        Path(out["path"]) for entry in read_lock(root).values() for out in entry.get("outs") or []
    }
    found = []

    for folder in FOLDERS:
        for path in sorted((root / METRICS / folder).glob("*")):
            ending = next((each for each in ENDINGS if path.name.endswith(each)), None)
            ours = path.relative_to(root) in outputs
            if ending is None or not ours or not path.is_file():
                continue
            if f"{folder}/{path.name.removesuffix(ending)}" not in known:
                found.append(path)

    return found


def remove_leftovers(params: Mapping[str, Any], root: Path = Path()) -> None:
    """Remove them, and say which."""
    found = leftovers(params, root)
    for path in found:
        path.unlink()
    if found:
        more = f" and {len(found) - 3} more" if found[3:] else ""
        names = ", ".join(map(str, found[:3]))
        print(f"removed {names}{more}: params.yaml has no such cell any more", flush=True)
