"""merge: settles dvc.lock and metrics/ after a `git merge` that stopped at them.

Two branches that each add a row change the same places of dvc.lock and of the tables. The usual
advice, to delete the lock and run again, trains everything again. `python -m commands.merge` takes
the parts instead, three ways, and adds the files to the merge:

- dvc.lock: every stage as the branch has it that changed it; where both did, as this branch has it;
- metrics/: each file as the stage of dvc.lock that was taken has left it, else as this branch has it;
- metrics/environment.json: every stage under the environment that its branch says.

It touches nothing else: params.yaml and code are for people to settle. Afterwards `dvc checkout`
brings the outputs of both branches, and `dvc repro` makes the tables and figures again, and trains
what neither branch has trained.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.runtime import entry
from stages.store.atomic import write_bytes

LOCK = "dvc.lock"
METRICS = "metrics/"
RECORD = "metrics/environment.json"
SIDES = {"base": 1, "ours": 2, "theirs": 3}
"""Stages of git's index during a merge (git-merge(1), gitrevisions(7))."""


def git(*words: str) -> bytes:
    """Output of a git command.

    Raises:
        ValueError: it fails, or there is no git.
    """
    try:
        done = subprocess.run(["git", *words], capture_output=True, check=True)
    except FileNotFoundError as error:
        raise ValueError("git is not installed here") from error
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.decode(errors="replace").split())
        raise ValueError(f"git {words[0]} fails: {said}") from error
    return done.stdout


def unsettled() -> list[str]:
    """Files at which the merge has stopped, from the root of the repository."""
    return git("diff", "--name-only", "--diff-filter=U", "-z").decode().split("\0")[:-1]


def sides(path: str) -> dict[str, bytes | None]:
    """A file in the common ancestor, in this branch and in the other one; None where it is not."""
    listed = git("ls-files", "--unmerged", "-z", "--", path).decode().split("\0")[:-1]
    there = {int(line.split()[2]) for line in listed}
    return {
        side: git("show", f":{number}:{path}") if number in there else None
        for side, number in SIDES.items()
    }


def three_ways(
    base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> dict[str, Any]:
    """Of each key the value of the branch that changed it, or of `ours` where both did.

    >>> three_ways({"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 1}, {"a": 3, "b": 2, "c": 1, "d": 4})
    {'a': 2, 'b': 2, 'd': 4}
    """
    merged = {}
    for key in dict.fromkeys([*ours, *theirs]):
        mine, other, before = (side.get(key) for side in (ours, theirs, base))
        value = other if mine == before else mine
        if value is not None:
            merged[key] = value
    return merged


def stages_of(text: bytes | None) -> dict[str, Any]:
    """The stages of a dvc.lock; none if there is no file.

    Raises:
        ValueError: it is damaged.
    """
    try:
        lock = {} if text is None else YAML(typ="safe").load(text)
        return dict(lock.get("stages") or {})
    except (YAMLError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"{LOCK} of one of the branches is damaged ({' '.join(str(error).split())}): take the "
            "other branch's with git checkout --ours or --theirs"
        ) from error


def merged_lock(found: Mapping[str, bytes | None]) -> tuple[bytes, dict[str, Any]]:
    """dvc.lock of both branches, and its stages."""
    stages = three_ways(*(stages_of(found[side]) for side in SIDES))
    yaml = YAML()
    yaml.default_flow_style = False
    text = io.BytesIO()
    yaml.dump({"schema": "2.0", "stages": stages}, text)
    return text.getvalue(), stages


def environments_of(text: bytes | None) -> dict[str, str]:
    """Stage -> the environments that metrics/environment.json says it ran in, a list as JSON.

    There are several of a search that was continued elsewhere.

    Raises:
        ValueError: it is damaged.
    """
    try:
        found: dict[str, list[Any]] = {}
        for each in [] if text is None else json.loads(text):
            environment = {key: value for key, value in each.items() if key != "stages"}
            for stage in each["stages"]:
                found.setdefault(stage, []).append(environment)
        return {stage: json.dumps(environments) for stage, environments in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{RECORD} of one of the branches is damaged ({error!r})") from error


def merged_record(found: Mapping[str, bytes | None]) -> bytes:
    """metrics/environment.json of both branches."""
    ran = three_ways(*(environments_of(found[side]) for side in SIDES))
    grouped: dict[str, list[str]] = {}
    for stage, environments in ran.items():
        for environment in json.loads(environments):
            grouped.setdefault(json.dumps(environment), []).append(stage)

    entries = [{**json.loads(text), "stages": sorted(names)} for text, names in grouped.items()]
    return (json.dumps(entries, indent=2) + "\n").encode()


def chosen(path: str, found: Mapping[str, bytes | None], stages: Mapping[str, Any]) -> bytes | None:
    """A file of metrics/ as the stage in dvc.lock has left it, else as this branch has it."""
    wanted = {
        out["md5"]
        for stage in stages.values()
        for out in stage.get("outs") or []
        if out["path"] == path
    }
    for side in ("ours", "theirs"):
        text = found[side]
        if text is not None and hashlib.md5(text).hexdigest() in wanted:
            return text
    return found["ours"] if found["ours"] is not None else found["theirs"]


def settle() -> tuple[list[str], list[str]]:
    """Settle what can be; the files that were, and those that are left to people.

    Raises:
        ValueError: this is no repository, no merge is under way, or a file is damaged.
    """
    if Path(git("rev-parse", "--show-toplevel").decode().strip()).resolve() != Path.cwd().resolve():
        raise ValueError("run python -m commands.merge from the root of the repository")

    paths = unsettled()
    ours = [path for path in paths if path == LOCK or path.startswith(METRICS)]

    # The lock says which branch each table is taken from.
    if LOCK in ours:
        text, stages = merged_lock(sides(LOCK))
        write_bytes(Path(LOCK), text)
    else:
        stages = stages_of(Path(LOCK).read_bytes() if Path(LOCK).is_file() else None)

    for path in ours:
        if path == LOCK:
            continue
        found = sides(path)
        made = merged_record(found) if path == RECORD else chosen(path, found, stages)
        write_bytes(Path(path), made or b"")

    if ours:
        git("add", "--", *ours)
    return ours, [path for path in paths if path not in ours]


def main() -> None:
    """Settle, and say what is left."""
    argparse.ArgumentParser(
        prog="python -m commands.merge",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()

    done, left = settle()
    if not done and not left:
        print("nothing to settle: no merge has stopped here")
        return

    if done:
        print(f"settled: {', '.join(done)}")
    if left:
        print(f"left for you: {', '.join(left)}; then git add them")
    print("next: git commit, then dvc checkout and dvc repro")


if __name__ == "__main__":
    entry.run(main)
