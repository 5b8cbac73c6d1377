"""share: how large is what a remote would hold? And push or pull it, without the images that can be
made again.

`python -m commands.share` prints the size of every stage's outputs, each file counted once, and
writes nothing. `--push` and `--pull` do it with DVC. Both leave out data/augmented, at the paper's
scale nearly all of the bytes: `augment` makes the same again from data/prepared, which `--pull`
does, and compares with dvc.lock. `--all` leaves out nothing. A remote is set up with `dvc remote
add`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from commands.pipeline.cache import (
    Out,
    dvc_settings,
    lock_outs,
    object_path,
    read_listing,
    read_lock,
)
from stages.runtime import entry

AUGMENTED = "data/augmented"


@dataclass(frozen=True)
class Size:
    """Bytes of an output in the cache.

    Attributes:
        files: object of DVC's cache -> its bytes.
        known: whether all of them are in this cache; else `files` is what is here.
    """

    out: Out
    files: dict[str, int]
    known: bool


def size_of(out: Out, cache: Path) -> Size:
    """Sizes of an output's objects, from the cache itself."""
    names, known = [out.name], True
    if out.folder:
        try:
            names += read_listing(object_path(cache, out.name)).values()
        except (OSError, ValueError):
            known = False
    files = {}
    for name in names:
        try:
            files[name] = object_path(cache, name).stat().st_size
        except OSError:
            known = False
    return Size(out, files, known)


def sizes(root: Path = Path()) -> list[Size]:
    """Of every output that DVC caches, in the order of dvc.lock."""
    cache, _ = dvc_settings(root)
    outs, _, lacking = lock_outs(root, read_lock(root))
    if lacking:
        print(f"note: not made yet, and not counted: {', '.join(lacking)}; run 'dvc repro'")
    return [size_of(out, cache) for out in outs if out.cached]


def total(found: Sequence[Size]) -> int:
    """Bytes of all, an object that several outputs have counted once."""
    return sum({name: length for size in found for name, length in size.files.items()}.values())


def light(found: Sequence[Size]) -> list[Size]:
    """Without the transfer set's images."""
    return [size for size in found if size.out.path != AUGMENTED]


def lines(found: Sequence[Size]) -> list[str]:
    """A line a stage, and what is sent with and without the images."""
    stages: dict[str, list[Size]] = {}
    for size in found:
        stages.setdefault(size.out.stage.partition("@")[0], []).append(size)
    out = [f"{stage:14} {text(total(group)):>10}" for stage, group in stages.items()]
    unknown = sum(not size.known for size in found)
    out.append(f"{'all':14} {text(total(found)):>10}   each file counted once")
    out.append(
        f"{'light':14} {text(total(light(found))):>10}   without {AUGMENTED}, which augment makes again"
    )
    if unknown:
        out.append(
            f"note: {unknown} outputs are not whole in this cache: their bytes are not counted"
        )
    return out


def text(size: int) -> str:
    """With three digits."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} B"


def dvc(*words: str) -> None:
    """Run DVC in the repository.

    Raises:
        ValueError: it failed; what it said is on the terminal.
    """
    if subprocess.run([sys.executable, "-m", "dvc", *words]).returncode:
        raise ValueError(
            f"'dvc {words[0]}' failed, see above; what has been transferred stays, so run it again"
        )


def push(remote: Sequence[str], everything: bool) -> None:
    """Say how much, then push it."""
    found = sizes()
    if missing := [item.out.path for item in found if not item.known]:
        raise ValueError(
            f"not whole in this cache: {', '.join(missing[:3])}: run 'dvc repro' or pull them first"
        )
    chosen = found if everything else light(found)
    print(f"pushing at most {text(total(chosen))}: a remote keeps what it has")
    dvc("push", *remote, "--", *(item.out.path for item in chosen))


def pull(remote: Sequence[str], everything: bool) -> None:
    """Pull, and make the images of the transfer set again where they were left out.

    Raises:
        ValueError: they come out otherwise than dvc.lock says.
    """
    outs = [out for out in lock_outs(Path(), read_lock(Path()))[0] if out.cached]
    if everything:
        dvc("pull", *remote)
        return
    dvc("pull", *remote, "--", *(out.path for out in outs if out.path != AUGMENTED))
    before = [out.name for out in outs if out.path == AUGMENTED]
    dvc("repro", "--single-item", "augment")
    after = [out.name for out in lock_outs(Path(), read_lock(Path()))[0] if out.path == AUGMENTED]
    if before != after:
        raise ValueError(
            f"{AUGMENTED} came out otherwise than it was pushed ({before} is now {after}): other code, parameters or "
            f"library versions; 'git checkout dvc.lock' and 'python -m commands.share --pull --all', if it was pushed"
        )
    print(f"{AUGMENTED} is the same, byte for byte")


def main() -> None:
    """Print sizes, push or pull."""
    parser = argparse.ArgumentParser(
        prog="python -m commands.share",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--push", action="store_true", help="send to the remote")
    which.add_argument("--pull", action="store_true", help="fetch from the remote")
    parser.add_argument("--all", action="store_true", help="with the images of the transfer set")
    parser.add_argument("-r", "--remote", help="another remote than the default one")
    arguments = parser.parse_args()
    remote = ["--remote", arguments.remote] if arguments.remote else []
    if not (arguments.push or arguments.pull):
        print("\n".join(lines(sizes())))
        return
    if not remote and not dvc_settings(Path())[1]:
        raise ValueError(
            "there is no default remote: 'dvc remote add -d NAME URL', or say one with --remote"
        )
    (push if arguments.push else pull)(remote, arguments.all)


if __name__ == "__main__":
    entry.run(main)
