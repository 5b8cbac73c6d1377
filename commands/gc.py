"""gc: removes from DVC's cache what no branch, tag, experiment and other clone needs.

`python -m commands.gc` says how much that is, and `--remove` removes it, with `dvc gc`. A branch
counts with its newest commit, a clone with its workspace too. Clones that share the cache are known
if they have run a stage or `commands.share` since; name others: `--clones ../other`. One that is
known and not to be seen stops `--remove`, unless `--forget` says that it is gone for good. What a
queued experiment that runs has made is kept. What is removed can be pulled again if it was pushed,
and is to be trained again if not.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from commands.pipeline.cache import dvc_settings
from commands.pipeline.clones import register, registered
from stages.runtime import entry
from stages.runtime.copies import COPIES

OF_GIT = ("--all-branches", "--all-tags", "--all-experiments")


def others(root: Path, cache: Path, named: Sequence[Path], strict: bool) -> list[Path]:
    """Other repositories whose data stay: clones with this cache, and copies of experiments.

    Args:
        root: of this clone.
        cache: that it uses.
        named: clones that the user names.
        strict: whether a clone that is known and not to be seen is an error.

    Raises:
        ValueError: one that was named is no clone, or uses another cache; or, if `strict`, a clone is
            not to be seen.
    """
    here = root.resolve()
    for path in named:
        if not (path / ".dvc").is_dir():
            raise ValueError(f"--clones {path}: no repository of DVC: name the root of a clone")
        if dvc_settings(path)[0].resolve() != cache.resolve():
            raise ValueError(
                f"--clones {path}: it uses the cache {dvc_settings(path)[0]} and not {cache}: "
                "leave it out, or set the same with 'dvc cache dir'"
            )

    # The cache may be another clone's own.
    found = {path.resolve() for path in named}
    if cache.resolve().parent.name == ".dvc":
        found.add(cache.resolve().parent.parent)

    for path in registered(cache):
        if not (path / ".dvc").is_dir():
            what = f"{path} has used this cache and is not to be seen"
            if strict:
                raise ValueError(
                    f"{what}: mount it, or name its new place with --clones; if it is gone for good, "
                    "--forget removes what it alone needs"
                )
            print(f"note: {what}: what it alone needs is not kept")
        elif dvc_settings(path)[0].resolve() == cache.resolve():
            found.add(path)

    clones = sorted({here, *found})
    copies = [
        copy
        for clone in clones
        for copy in sorted(clone.joinpath(*COPIES).glob("*"))
        if (copy / ".dvc").is_dir()
    ]
    return [path for path in [*clones, *copies] if path != here]


def kept_of_each(root: Path, kept: Sequence[Path]) -> list[str]:
    """Options of `dvc gc` that say what stays of every repository: what git has only where there is git.

    Raises:
        ValueError: some have git and others have not: DVC takes the same options for all.
    """
    without = [path for path in [root, *kept] if not has_git(path)]
    if not without:
        return ["--workspace", *OF_GIT]
    if len(without) > len(kept):
        return ["--workspace"]
    raise ValueError(
        f"{without[0].resolve()} has no git, and other repositories with this cache have: run "
        "'git init' there, and take 'no_scm' out of its .dvc/config"
    )


def has_git(root: Path) -> bool:
    """Whether DVC uses git in a repository."""
    from dvc.config import Config

    here = root.resolve()
    found = any((folder / ".git").exists() for folder in (here, *here.parents))
    return found and not Config(str(here / ".dvc"))["core"].get("no_scm")


def main() -> None:
    """Say what would be removed, or remove it."""
    parser = argparse.ArgumentParser(
        prog="python -m commands.gc",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--remove", action="store_true", help="remove it")
    parser.add_argument(
        "--clones",
        nargs="+",
        type=Path,
        default=[],
        metavar="FOLDER",
        help="others with this cache",
    )
    parser.add_argument("--forget", action="store_true", help="clones that are not to be seen")
    arguments = parser.parse_args()

    root = Path()
    cache, _ = dvc_settings(root)
    if not cache.resolve().is_relative_to(root.resolve()):
        register(root, cache)
    kept = others(root, cache, arguments.clones, arguments.remove and not arguments.forget)
    for path in kept:
        print(f"kept: what {path} needs")

    words = ["gc", *kept_of_each(root, kept), "--force"]
    words += [] if arguments.remove else ["--dry"]
    words += ["--projects", *map(str, kept)] if kept else []
    sys.stdout.flush()
    if subprocess.run([sys.executable, "-m", "dvc", *words]).returncode:
        raise ValueError("'dvc gc' failed, see above; nothing is lost that a clone needs")
    if not arguments.remove:
        print("nothing was removed; with --remove it is")


if __name__ == "__main__":
    entry.run(main)
