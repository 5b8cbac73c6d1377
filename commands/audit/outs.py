"""DVC's cache and the outputs in the workspace, hashed again and compared with dvc.lock."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from commands.audit.findings import Findings, Remedy, join
from commands.pipeline import cache as dvc


@dataclass(frozen=True)
class OutState:
    """What is wrong with one output.

    Attributes:
        lacking: objects that the cache does not have.
        damaged: objects whose bytes are wrong.
        files: file of the workspace -> what is wrong with it.
        absent: nothing of it is in the workspace.
    """

    out: dvc.Out
    lacking: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    absent: bool = False


def files_of(folder: Path) -> dict[str, Path]:
    """Name -> path of every file below `folder`, also of a link that leads nowhere."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def check_outs(findings: Findings, hashes: dvc.Hashes, quick: bool) -> dict[str, Remedy]:
    """Hash every object of the cache, and every output of dvc.lock that is in the workspace.

    Args:
        findings: receives what is wrong, and what could not be checked.
        hashes: how files are hashed.
        quick: hash only the cache's lists of files; of other files only ask whether they are there.

    Returns:
        path of each output that is not as it should be -> what fixes it.
    """
    # DVC's cache.
    try:
        folder, remote = dvc.dvc_settings(Path())
    except FileNotFoundError as error:
        findings.notes.append(f"cache and outputs not checked: {error}")
        return {}
    except ValueError as error:
        findings.problem(".dvc/config", str(error), Remedy(run=("git checkout -- .dvc/config",)))
        return {}

    if not (folder / "files/md5").is_dir():
        findings.notes.append(f"no objects in DVC's cache {folder}")
    damaged = damaged_objects(findings, hashes, folder, quick)

    # The outputs.
    outs = tqdm(locked_outs(findings), desc="outputs", unit="out", disable=None)
    states = [compare(findings, hashes, folder, out, damaged, quick) for out in outs]
    wrong = [state for state in states if state.lacking or state.damaged or state.files]
    remedies = {state.out.path: remedy_of(folder, state, remote) for state in wrong}

    # The findings: first damaged objects, which have to go before their outputs can be fixed.
    for name, why in damaged.items():
        using = [state.out for state in states if name in state.damaged]
        path = dvc.object_path(folder, name)
        users = ", ".join(f"{out.path} ({out.stage})" for out in using) or "nothing in dvc.lock"
        remedy = join([Remedy((str(path),)), *(remedies[out.path] for out in using)])
        findings.problem(path, f"{why}; used by {users}", remedy)

    for state in states:
        note(findings, state, remedies.get(state.out.path, Remedy()))
    return remedies


def damaged_objects(
    findings: Findings, hashes: dvc.Hashes, folder: Path, quick: bool
) -> dict[str, str]:
    """Name -> what is wrong, for every object whose md5 is not its name."""
    damaged = {}
    names = [name for name in dvc.object_names(folder) if name.endswith(".dir") or not quick]
    for name in tqdm(names, desc="cache", unit="object", disable=None):
        findings.counts["cached objects"] += 1
        md5 = hash_of(hashes, dvc.object_path(folder, name))
        if md5 != name.removesuffix(".dir"):
            damaged[name] = f"altered: its md5 is {md5}"
    return damaged


def hash_of(hashes: dvc.Hashes, path: Path) -> str:
    """md5 of a file, or why there is none."""
    try:
        return hashes(path)[0]
    except OSError as error:
        return f"unknown ({error.strerror})"


def locked_outs(findings: Findings) -> list[dvc.Out]:
    """Outputs in dvc.lock; what is wrong with that file goes to the findings."""
    try:
        outs, gone, lacking = dvc.lock_outs(Path(), dvc.read_lock(Path()))
    except FileNotFoundError as error:
        findings.notes.append(f"outputs not checked: {error}")
        return []
    except ValueError as error:
        name, _, what = str(error).partition(" ")
        remedy = Remedy(run=(f"git checkout -- {name}",))
        if name == "dvc.lock":
            remedy = Remedy((name,), ("dvc repro",))  # the run cache restores what it has
        findings.problem(name, what, remedy)
        return []

    if lacking:
        findings.notes.append(f"not run yet: {', '.join(lacking)}")
    if gone:
        findings.notes.append(
            f"in dvc.lock and no longer in the pipeline, not checked: {', '.join(gone)}"
        )

    return outs


def compare(
    findings: Findings,
    hashes: dvc.Hashes,
    folder: Path,
    out: dvc.Out,
    damaged: Mapping[str, str],
    quick: bool,
) -> OutState:
    """One output against dvc.lock."""
    path = Path(out.path)
    here = files_of(path) if out.folder else {"": path} if path.is_file() else {}
    findings.counts["outputs"] += bool(here)

    # The md5 of each file as dvc.lock has it; None where the list of a folder's files is lost.
    listing = dvc.object_path(folder, out.name)
    recorded: Mapping[str, str] | None = None
    if not out.folder:
        recorded = {"": out.name}
    elif listing.is_file() and out.name not in damaged:
        recorded = dvc.read_listing(listing)

    # The md5 of each file that is here, which `quick` believes.
    have = {}
    for name, file in here.items():
        if quick and recorded and file.is_file():
            have[name] = recorded.get(name, "")
        else:
            have[name] = hash_of(hashes, file)

    if recorded is None and dvc.listing_name(have) == out.name:
        recorded = have

    # The objects of the cache that it needs.
    needed = sorted({out.name, *(recorded or {}).values()})
    lacking = [
        name for name in needed if out.cached and not dvc.object_path(folder, name).is_file()
    ]
    bad = [name for name in needed if name in damaged]

    state = OutState(out, tuple(lacking), tuple(bad), absent=not here)
    return state if state.absent else replace(state, files=differences(path, recorded, have))


def differences(
    path: Path, recorded: Mapping[str, str] | None, have: Mapping[str, str]
) -> dict[str, str]:
    """File -> how it differs from its record; without records, the whole output differs."""
    if recorded is None:
        return {str(path): "not what dvc.lock says, and the list of its files is lost"}

    extra = have.keys() - recorded.keys()
    wrong = {name: "missing" for name in recorded.keys() - have.keys()}
    wrong |= {name: "an extra file, unknown to dvc.lock" for name in extra}
    for name in recorded.keys() & have.keys():
        if have[name] != recorded[name]:
            wrong[name] = f"altered: its md5 is {have[name]}, dvc.lock says {recorded[name]}"

    return {str(path / name): wrong[name] for name in sorted(wrong)}


def remedy_of(folder: Path, state: OutState, remote: bool) -> Remedy:
    """What makes an output whole again; each was tried on DVC 3.67.

    A wrong object has to go first: no command of DVC replaces it, not even `dvc repro`. `dvc
    commit` stores workspace files without hashing those it has seen, so it is for right ones only.
    Wrong files go too: `dvc checkout -f` trusts a file of unchanged size, time and inode.
    """
    out = state.out
    stage = shlex.quote(out.stage)
    path = shlex.quote(out.path)
    objects = tuple(str(dvc.object_path(folder, name)) for name in state.damaged)
    files = tuple(file for file in state.files if os.path.lexists(file))
    incomplete = bool(state.files) or state.absent  # something has to come back to the workspace

    # git keeps it, and `dvc checkout` does not know it.
    if not out.cached:
        return Remedy((*objects, *files), (f"dvc repro {stage}",) if incomplete else ())

    if not (state.lacking or state.damaged):
        return Remedy(files, (f"dvc checkout {path}",))
    if not incomplete:
        return Remedy(objects, (f"dvc commit {stage}",))
    return Remedy((*objects, *files), (f"dvc pull {path}" if remote else f"dvc repro {stage}",))


def note(findings: Findings, state: OutState, remedy: Remedy) -> None:
    """Put the state of one output into the findings."""
    out = state.out
    for path, what in state.files.items():
        findings.problem(path, what, remedy)

    if state.absent and not out.cached:
        findings.problem(out.path, "missing", Remedy(run=(f"dvc repro {shlex.quote(out.stage)}",)))
    elif state.absent and not (state.lacking or state.damaged):
        findings.notes.append(
            f"{out.path} is whole in the cache and not here: 'dvc checkout {out.path}' brings it"
        )
    elif state.lacking:
        place = "here and in the cache" if state.absent else "in the cache"
        what = "" if out.name in state.lacking else f": {len(state.lacking)} of its files"
        findings.problem(out.path, f"missing {place}{what}", remedy)
