"""share: sizes of all outputs, and push or pull without the images that can be made again.

`python -m commands.share` prints the size of every stage's outputs, each file counted once, and
writes nothing. `--push` and `--pull` transfer them with DVC. Both leave out data/augmented, at the
paper's scale nearly all of the bytes: `augment` makes the same again from data/prepared. `--pull`
runs it, and compares the result with dvc.lock. `--all` leaves out nothing. A remote is set up with
`dvc remote add`.
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
    without_cell,
)
from commands.pipeline.clones import register
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
    names = [out.name]
    known = True
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
    """Sizes of every output that DVC caches, in the order of dvc.lock."""
    cache, _ = dvc_settings(root)
    outs, _, lacking = lock_outs(root, read_lock(root))
    if lacking:
        print(f"note: not made yet, and not counted: {', '.join(lacking)}; run 'dvc repro'")
    return [size_of(out, cache) for out in outs if out.cached]


def total(listed: Sequence[Size]) -> int:
    """Bytes of all; an object that several outputs have counts once."""
    lengths: dict[str, int] = {}
    for size in listed:
        lengths |= size.files
    return sum(lengths.values())


def light(listed: Sequence[Size]) -> list[Size]:
    """Without the transfer set's images."""
    return [size for size in listed if size.out.path != AUGMENTED]


def lines(listed: Sequence[Size]) -> list[str]:
    """A line a stage, and what is sent with and without the images."""
    stages: dict[str, list[Size]] = {}
    for size in listed:
        stages.setdefault(without_cell(size.out.stage), []).append(size)

    table = [
        *((stage, total(sized), "") for stage, sized in stages.items()),
        ("all", total(listed), "   each file counted once"),
        ("light", total(light(listed)), f"   without {AUGMENTED}, which augment makes again"),
    ]
    out = [f"{name:14} {text(size):>10}{note}" for name, size, note in table]

    unknown = sum(not size.known for size in listed)
    if unknown:
        out.append(
            f"note: {unknown} outputs are not whole in this cache: their bytes are not counted"
        )

    return out


def text(size: int) -> str:
    """A number of bytes with three digits."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} B"


def dvc(*words: str) -> None:
    """Run DVC in the repository.

    Raises:
        ValueError: it failed; its messages are on the terminal.
    """
    done = subprocess.run([sys.executable, "-m", "dvc", *words])
    if done.returncode:
        raise ValueError(
            f"'dvc {words[0]}' failed, see above; what has been transferred stays, so run it again"
        )


def push(remote: Sequence[str], everything: bool) -> None:
    """Say how much, then push it.

    Raises:
        ValueError: outputs are not whole in the cache, or DVC fails.
    """
    every = sizes()
    missing = [size.out.path for size in every if not size.known]
    if missing:
        raise ValueError(
            f"not whole in this cache: {', '.join(missing[:3])}: run 'dvc repro' or pull them first"
        )

    chosen = every if everything else light(every)
    print(f"pushing at most {text(total(chosen))}: a remote keeps what it has")
    dvc("push", *remote, "--", *(size.out.path for size in chosen))


def pull(remote: Sequence[str], everything: bool) -> None:
    """Pull, and make the images of the transfer set again where they were left out.

    Raises:
        ValueError: they differ from those in dvc.lock, or DVC fails.
    """
    before = _cached_outs()
    if everything:
        dvc("pull", *remote)
        return

    dvc("pull", *remote, "--", *(path for path in before if path != AUGMENTED))
    dvc("repro", "--single-item", "augment")

    pushed = before.get(AUGMENTED)
    remade = _cached_outs().get(AUGMENTED)
    if pushed != remade:
        raise ValueError(
            f"{AUGMENTED} differs from what was pushed ({pushed} is now {remade}): other code, "
            "parameters or library versions; 'git checkout dvc.lock' and "
            "'python -m commands.share --pull --all', if it was pushed"
        )

    print(f"{AUGMENTED} is the same, byte for byte")


def _cached_outs() -> dict[str, str]:
    """Path of each output that DVC caches -> name of its object."""
    outs, _, _ = lock_outs(Path(), read_lock(Path()))
    return {out.path: out.name for out in outs if out.cached}


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

    register(Path())
    remote = ["--remote", arguments.remote] if arguments.remote else []
    if not (arguments.push or arguments.pull):
        print("\n".join(lines(sizes())))
        return

    if not remote and not dvc_settings(Path())[1]:
        raise ValueError(
            "there is no default remote: 'dvc remote add -d NAME URL', or say one with --remote"
        )

    transfer = push if arguments.push else pull
    transfer(remote, arguments.all)


if __name__ == "__main__":
    entry.run(main)
