"""A run killed every few seconds until it is through: `python -m tests.faults.soak`.

Both run in temporary copies of this repository, at the scale of `--scale`. Kills go at random to
everything at once, to DVC alone (the stage becomes an orphan, which is killed later or ends) or to
the stage's processes alone. Prints the counts, and exits with 1 if a table, a number or a hash of
an output differs. `--reference FOLDER` is a repository that is finished already.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.harness import repro, repro_until_done, results, start  # noqa: E402
from tests.helpers.pocket import copy_of_the_repository
from tools.pocket import ROOT

WAYS = ("everything", "DVC alone", "the stage alone")
ORPHAN = "an orphan"
ALL = (*WAYS, ORPHAN)


def copy(folder: Path, scale: str) -> Path:
    """This repository at that scale with nothing computed, and a checkpoint a second."""
    copy_of_the_repository(folder)
    shutil.copytree(ROOT / "scales", folder / "scales")
    subprocess.run(
        [sys.executable, "-m", "commands.scale", scale], cwd=folder, check=True, capture_output=True
    )
    params = folder / "params.yaml"
    text = params.read_text()
    changed = text.replace("checkpoint_seconds: 60", "checkpoint_seconds: 1")
    if changed == text:
        raise ValueError("params.yaml has no checkpoint_seconds: 60")
    params.write_text(changed)
    return folder


def kill(process: subprocess.Popen[str], way: str) -> bool:
    """Kill in that way; whether there was anything to kill."""
    if way == "DVC alone":
        process.kill()
        return True
    if way == "everything":
        os.killpg(process.pid, signal.SIGKILL)
        return True
    below = [
        p
        for p in psutil.Process(process.pid).children(recursive=True)
        if "stages." in " ".join(p.cmdline())
    ]
    for each in below:
        each.kill()
    return bool(below)


def soak(folder: Path, least: int, seconds: tuple[float, float], seed: int) -> Counter[str]:
    """Kills by way, until the pipeline is through; at least `least` if it takes that long."""
    rng, kills = random.Random(seed), Counter[str]()
    begun = time.monotonic()
    while True:
        process = start(folder)
        try:
            output, _ = process.communicate(timeout=rng.uniform(*seconds))
            if process.returncode == 0:
                return kills
            if (
                "in use by process" not in output
                and "is busy" not in output
                and "Lock" not in output
            ):
                raise AssertionError(f"after {sum(kills.values())} kills:\n{output}")
            kills["refusals"] += 1
            if (found := re.search(r"in use by process (\d+)", output)) and rng.random() < 0.5:
                os.killpg(os.getpgid(int(found[1])), signal.SIGKILL)
                kills[ORPHAN] += 1
            continue
        except ProcessLookupError:  # the orphan has ended meanwhile
            continue
        except subprocess.TimeoutExpired:
            pass
        way = rng.choice(WAYS)
        try:
            kills[way] += kill(process, way)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
        if way != "the stage alone":
            process.wait()
        else:
            process.communicate()
        done = sum(kills[name] for name in ALL)
        print(f"{time.monotonic() - begun:6.0f} s: {done} kills", file=sys.stderr, end="\r")
        if done >= least:
            repro_until_done(folder, tries=600)
            return kills


def without_the_page(found: dict[str, bytes]) -> dict[str, bytes]:
    """Without the report page in dvc.lock, which shows metrics/environment.json."""
    lock = json.loads(found["dvc.lock"])
    lock["stages"].pop("page", None)
    return {**found, "dvc.lock": json.dumps(lock, sort_keys=True).encode()}


def main() -> None:
    """Run and compare."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.soak", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--scale", default="smoke")
    parser.add_argument("--kills", type=int, default=50, help="then it may run undisturbed")
    parser.add_argument(
        "--seconds", type=float, nargs=2, default=(5.0, 14.0), help="between two kills"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reference", type=Path)
    arguments = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="soak-"))
    begun = time.monotonic()
    kills = soak(
        copy(place / "killed", arguments.scale),
        arguments.kills,
        tuple(arguments.seconds),
        arguments.seed,
    )
    print(
        f"{sum(kills[way] for way in ALL)} kills in {time.monotonic() - begun:.0f} s: {dict(kills)}"
    )
    reference = arguments.reference
    if reference is None:
        reference = copy(place / "undisturbed", arguments.scale)
        code, output = repro(reference)
        assert code == 0, output
    ours, theirs = (without_the_page(results(folder)) for folder in (place / "killed", reference))
    differing = sorted(
        name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
    )
    differing = [name for name in differing if name != "metrics/environment.json"]
    print("nothing differs" if not differing else f"different: {differing}")
    if not differing:
        shutil.rmtree(place)
    raise SystemExit(bool(differing))


if __name__ == "__main__":
    main()
