"""What runs on a node of a Ray cluster, around a trial and beside it.

This file travels to the node by value. So nothing of this project is imported here before the
project's root is on the path and its code has been compared with the driver's.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pickle
import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "scipy")
"""With other releases of these a trial has other bits."""


@dataclass(frozen=True)
class Project:
    """What the driver has and each node must have too.

    Attributes:
        root: folder of the code, absolute.
        folder: where the driver runs and trials run, absolute.
        files: digest of each file of `stages`, by its path in the root.
        packages: version of each of PACKAGES, and of Python.
        data: digest of the manifest of each data folder that is read, by its path in the folder.
        scratch: folder on each node's own disk, to be written to, if there is one.
    """

    root: Path
    folder: Path
    files: dict[str, str]
    packages: dict[str, str]
    data: dict[str, str]
    scratch: str | None


def project_here(inputs: Sequence[Path] = (), scratch: str | None = None) -> Project:
    """The project of the running driver, which reads these data folders."""
    root = Path(__file__).resolve().parents[3]
    data = {str(path): manifest_of(path) for path in inputs}
    return Project(root, Path.cwd(), code_of(root), packages_here(), data, scratch)


def manifest_of(folder: Path) -> str:
    """Digest of a data folder's manifest, which has the digest of each file; "none" without one."""
    try:
        return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()[:16]
    except FileNotFoundError:
        return "none"


def code_of(root: Path) -> dict[str, str]:
    """Digest of each Python file of `stages`, by its path."""
    digests = {}
    for path in sorted((root / "stages").rglob("*.py")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        digests[path.relative_to(root).as_posix()] = digest[:16]
    return digests


def packages_here() -> dict[str, str]:
    """Versions of Python and of PACKAGES, without importing anything."""
    versions = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "none"
    return versions


def enter(project: Project, node: str) -> None:
    """Go to the project's folder, its code first on the path.

    Raises:
        ValueError: no such folder, other code, other packages or other data here.
    """
    # Folders
    for place in (project.root / "stages", project.folder):
        if not place.is_dir():
            raise ValueError(
                f"node {node} has no {place}: the project must lie at the same absolute path on every "
                "node, on a file system that all of them share"
            )

    # Code
    here = code_of(project.root)
    there = project.files

    differ = sorted(
        name for name in here.keys() | there.keys() if here.get(name) != there.get(name)
    )
    if differ:
        what = "differs" if differ[0] in here and differ[0] in there else "is on one side only"
        raise ValueError(
            f"node {node} has other code in {project.root} than the driver: "
            f"{differ[0]} {what} ({len(differ)} such files): bring it to the same commit, "
            "or wait with edits until the run is over, and run again"
        )

    # Packages
    packages = packages_here()
    others = sorted(name for name in packages if packages[name] != project.packages[name])
    if others:
        name = others[0]
        raise ValueError(
            f"node {node} has {name} {packages[name]} and the driver {project.packages[name]}: "
            "install the same on every node, since results depend on it"
        )

    # Data
    for name, wanted in project.data.items():
        digest = manifest_of(project.folder / name)
        if digest != wanted:
            raise ValueError(
                f"node {node} has other data in {project.folder / name} than the driver (its manifest's "
                f"digest is {digest} there and {wanted} here): the folder must lie on a file system "
                "that all nodes share, and stay as it is until the run is over"
            )

    os.chdir(project.folder)
    sys.path[:0] = [str(project.root)]


def check(project: Project, node: str, probe: Path) -> str | None:
    """One line on what keeps trials from running here, None if nothing does.

    Args:
        project: what must be here.
        node: name of this node, for the message.
        probe: a file that the driver has written.
    """
    try:
        enter(project, node)
    except (ValueError, OSError) as error:
        return str(error)

    if not probe.is_file():
        return (
            f"node {node} does not see what the driver writes into {project.folder}: "
            "the project must lie on a file system that all nodes share"
        )

    return None if project.scratch is None else scratch_fault(Path(project.scratch), node)


def scratch_fault(folder: Path, node: str) -> str | None:
    """One line if nothing can be written into `execution.scratch` here."""
    why = "it may not be written to"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return None
    except OSError as error:
        why = str(error)

    return (
        f"execution.scratch is {folder}, which node {node} cannot use ({why}): "
        "name a folder on its own disk, or set it to null"
    )


def run_trial(
    project: Project, beats: Path, seconds: float, main: str | None, work: bytes
) -> bytes:
    """(good, value or exception) of a trial, pickled.

    Args:
        project: what must be here.
        beats: folder of this trial's signs of life.
        seconds: between two of them.
        main: name of the driver's main module.
        work: function, arguments and keyword arguments, pickled.
    """
    import ray

    try:
        enter(project, ray.util.get_node_ip_address())
    except (ValueError, OSError) as error:
        return pickle.dumps((False, error))

    # only now: this is the driver's own code
    from stages.runtime.executors import answered

    with beating(beats, ray.get_runtime_context().get_node_id(), seconds):
        return pickle.dumps(answered(lambda: called(*_Unpickler(work, main).load())))


def called(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call `fn`: the one function for all that is asked of a node."""
    return fn(*args, **kwargs)


class _Unpickler(pickle.Unpickler):
    """Finds what the driver's main module defines: stages are run as `python -m`."""

    def __init__(self, data: bytes, main: str | None) -> None:
        super().__init__(io.BytesIO(data))
        self._main = main

    def find_class(self, module: str, name: str) -> Any:
        if module == "__main__" and self._main:
            module = self._main
        return super().find_class(module, name)


@contextlib.contextmanager
def beating(folder: Path, node: str, seconds: float) -> Iterator[None]:
    """Gives signs of life in `folder`: the last process to come owns it, an earlier one ends.

    Ray runs a trial again when a node does not answer, and the trial may still run there: two would
    write the same files. A process that has owned the folder and may live is given the time to
    notice before anything begins.
    """
    folder.mkdir(parents=True, exist_ok=True)
    waits = _may_live(folder, node)

    # Own the folder
    token = uuid.uuid4().hex
    owner = {"token": token, "pid": os.getpid(), "born": born(os.getpid()), "node": node}
    (folder / f"{token}.new").write_text(json.dumps(owner), encoding="utf-8")
    (folder / f"{token}.new").replace(folder / "owner")

    # Beat
    done = threading.Event()
    thread = threading.Thread(target=_beat, args=(folder, token, seconds, done), daemon=True)
    thread.start()

    if waits:
        time.sleep(3 * seconds)

    try:
        yield
    finally:
        done.set()
        thread.join()
        if owner_of(folder).get("token") == token:
            shutil.rmtree(folder, ignore_errors=True)


def owner_of(folder: Path) -> dict[str, Any]:
    """Token, pid, born and node of the process that owns a folder; empty if none does."""
    try:
        return dict(json.loads((folder / "owner").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _may_live(folder: Path, node: str) -> bool:
    """Whether a process that owned the folder may still run."""
    before = owner_of(folder)
    return bool(before) and (before["node"] != node or born(before["pid"]) == before["born"])


def _beat(folder: Path, token: str, seconds: float, done: threading.Event) -> None:
    """In a thread: a sign of life every `seconds`; ends the process if another owns the folder."""
    count = 0

    while True:
        with contextlib.suppress(OSError):
            (folder / token).write_text(str(count), encoding="utf-8")

        count += 1
        if done.wait(seconds):
            return

        try:
            ours = json.loads((folder / "owner").read_text(encoding="utf-8"))["token"] == token
        except FileNotFoundError:
            ours = False
        except (OSError, ValueError):
            continue

        if not ours:
            os.kill(os.getpid(), signal.SIGKILL)


def token_of(owner: dict[str, Any]) -> str:
    """Which process owns a folder; "" if none does."""
    return str(owner.get("token", ""))


def disown(folder: Path) -> None:
    """Let the process that owns a folder end itself, wherever it runs; the next one waits."""
    with contextlib.suppress(OSError):
        nobody = {"token": "", "pid": 0, "born": "", "node": ""}
        (folder / "nobody.new").write_text(json.dumps(nobody), encoding="utf-8")
        (folder / "nobody.new").replace(folder / "owner")


def born(pid: int) -> str | None:
    """When a process began, in ticks since the machine started; None if none runs.

    Tells it from a later process with the same number.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        return None if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return None


def kill(pid: int, since: str, seconds: float) -> bool:
    """Kill the process if it is still the same one; if it is stopped, it cannot be asked to end.

    Returns:
        Whether it is gone, after `seconds` at most: one that waits for a disk may stay.
    """
    deadline = time.monotonic() + seconds
    while born(pid) == since:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
