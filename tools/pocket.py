"""A pocket-sized copy of this repository to try things in: `python -m tools.pocket FOLDER`.

The whole pipeline with a few dozen images, three rows and a few epochs, in a git repository of its
own: it runs in a minute or two on a CPU, and nothing that is done there touches this one. Its
numbers mean nothing.
"""

from __future__ import annotations

import argparse
import copy
import functools
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from commands.sizing.scales import compose

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = ("metrics/", "docs/results/", "dvc.lock")
"""What runs have written: the copy's own take their place."""


POCKET: dict[str, Any] = {
    "prepare.train": 60,
    "prepare.validation": 50,
    "prepare.test": 40,
    "teachers.sweep": {"trials": 4, "start": 3, "lag": 2, "engine": "gpyopt"},
    "teachers.net": "paper",
    "teachers.training.max_epochs": 2,
    "teachers.training.schedule": "paper",
    "teachers.boxes": {"C1": [3, 5], "C2": [4, 6], "C3": [5, 8], "H1": [8, 12]},
    "teachers.space": {
        "lr": {"low": 0.005, "high": 0.008, "log": True},
        "momentum": {"low": 0.89, "high": 0.91, "log": True},
        "weight_decay": {"low": 0.00005, "high": 0.0004},
        "init_scale": {"low": 1.3, "high": 1.4},
        **dict.fromkeys(("C1", "C2", "C3", "H1"), {"low": 0, "high": 1}),
        **dict.fromkeys(("DOc1", "DOc2"), 0.0),
        "DOc3": {"low": 0.0, "high": 0.1},
        **dict.fromkeys(("DOf1", "DOf2"), {"low": 0.0, "high": 0.2}),
        **dict.fromkeys(("D_h", "D_s", "D_v", "A_s", "A_v"), 0.0),
    },
    "augment.epochs": 3,
    "augment.hsv": {"D_h": 0.06, "D_s": 0.26, "D_v": 0.20, "A_s": 0.21, "A_v": 0.13},
    "ensemble.members": 2,
    "ensemble.at_chance": "allow",
    "students.rows": ["mlp2", "conv1"],
    "students.budgets": ["60k"],
    "students.sweep": {"trials": 3, "start": 2, "lag": 2, "engine": "sobol"},
    "students.training.max_epochs": 3,
    "students.training.schedule": "paper",
    "students.space.lr": {"low": 0.00012, "high": 0.0003, "log": True},
    "hard.rows": ["conv2"],
    "hard.budgets": ["180k"],
    "hard.sweep": {"trials": 2, "start": 2, "lag": 1, "engine": "sobol"},
    "hard.training.max_epochs": 2,
    "hard.training.schedule": "paper",
    "hard.space.lr": {"low": 0.004, "high": 0.012, "log": True},
    "hard_rows.conv2.boxes": {"180k": [[4, 6], [6, 8]]},
    "execution.engine": "serial",
}


def composed(name: str) -> dict[str, Any]:
    """The parameters of a scale, from any folder; the caller may change them."""
    return copy.deepcopy(_composed(name))


@functools.cache
def _composed(name: str) -> dict[str, Any]:
    """Read once in a process, since hundreds of tests ask for it."""
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        return YAML(typ="safe").load(compose(name))
    finally:
        os.chdir(before)


def pocket_params(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The composed smoke scale with POCKET and `changes` ('section.key': value) laid over it."""
    params = composed("smoke")
    for path, value in copy.deepcopy({**POCKET, **(changes or {})}).items():
        *parents, last = path.split(".")
        node = params
        for name in parents:
            node = node[name]
        node[last] = value
    return params


def write_params(folder: Path, changes: dict[str, Any] | None = None) -> None:
    """Write params.yaml of the pocket pipeline into `folder`."""
    yaml = YAML()
    text = io.StringIO()
    yaml.dump(pocket_params(changes), text)
    (folder / "params.yaml").write_text(text.getvalue())


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
    for key, value in (
        ("user.name", "pocket"),
        ("user.email", "pocket@localhost"),
        ("gc.auto", "0"),
    ):
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
    parser = argparse.ArgumentParser(
        prog="python -m tools.pocket", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("folder", type=Path, help="a new one")
    folder = parser.parse_args().folder

    try:
        make(folder)
    except OSError as error:
        sys.exit(f"error: {error}")

    print(f"cd {folder} && dvc repro")


if __name__ == "__main__":
    main()
