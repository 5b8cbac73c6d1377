"""A pocket-sized copy of this repository to try things in: `python -m tools.pocket FOLDER`; used by the guide's tests.

The whole pipeline with a few dozen images, three rows and a few epochs, in a git repository of its own: it runs in a
minute or two on a CPU, and nothing that is done there touches this one. Its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from tests.pocket import write_params

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = ("metrics/", "docs/results/", "dvc.lock")
"""What runs have written: the copy's own take their place."""


def make(folder: Path, root: Path = ROOT) -> Path:
    """Copy what git would clone, with pocket parameters, into a new git repository with one commit.

    Args:
        folder: made if it is not there.

    Raises:
        FileExistsError: something is in the folder.
        OSError: git fails.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: give the name of a new folder")
    for name in git(root, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if not name.startswith(LEFT_OUT) and (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name)
    write_params(folder)
    git(folder, "init", "-q")
    for key, value in (("user.name", "pocket"), ("user.email", "pocket@localhost"), ("gc.auto", "0")):
        git(folder, "config", key, value)
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "A pocket-sized pipeline")
    return folder


def git(folder: Path, *words: str) -> str:
    """Output of `git WORDS` in a folder.

    Raises:
        OSError: it ends with an error.
    """
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"git {words[0]} in {folder}: {done.stderr.strip()}")
    return done.stdout


def main() -> None:
    """Make the copy and say what to do there."""
    parser = argparse.ArgumentParser(prog="python -m tools.pocket", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="a new one")
    folder = parser.parse_args().folder
    try:
        make(folder)
    except OSError as error:
        sys.exit(f"error: {error}")
    print(f"cd {folder} && dvc repro")


if __name__ == "__main__":
    main()
