"""A run killed and edited every few seconds until it is through: `python -m tests.faults.soak`.

Both run in temporary copies of this repository, at the scale of `--scale`. Kills go at random to
everything at once, to DVC alone (the stage becomes an orphan, which is killed later or ends), to
the stage's launcher, or to the process that serves all stages. With `--edits` a line of code or a
parameter is changed now and then while a stage runs, and put back some time later. Prints the
counts, and exits with 1 if a table, a number or a hash of an output differs. `--reference FOLDER`
is a repository that is finished already.
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
from dataclasses import dataclass, field
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.harness import repro, repro_until_done, results, start  # noqa: E402
from tests.helpers.pocket import WHOLE_RUN, copy_of_the_repository
from tools.pocket import ROOT, write_params

WAYS = ("everything", "DVC alone", "the stage alone", "the server")
ORPHAN = "an orphan"
KILLS = (*WAYS, ORPHAN)
EDITS = ("code edited", "params edited")
BUSY = ("in use by process", "is busy", "Lock")
"""What a run says that comes while another one still ends."""
EDITED = ("while the stage ran", "after the stage code listed it", "while the server ran")
"""What a stage says whose code or parameters have changed meanwhile."""
CODE = ("stages/fit/losses.py", "stages/images/views.py", "stages/nets/stack.py")
"""Files of which a line is added; no result changes, but what it is put down to does."""
NO_RESULTS = ("metrics/environment.json", "metrics/README.md")
"""Where the stages ran, and what git alone has."""
PARAMS = (("students", 1), ("hard", -1), ("teachers", 1))
"""Sections whose `training.max_epochs` is changed by so much."""


def copy(folder: Path, scale: str) -> Path:
    """This repository at that scale with nothing computed, and a checkpoint a second."""
    copy_of_the_repository(folder)
    if scale == "pocket":
        write_params(folder, WHOLE_RUN)
        return folder

    shutil.copytree(ROOT / "scales", folder / "scales")
    command = [sys.executable, "-m", "commands.scale", scale]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)

    params = folder / "params.yaml"
    text = params.read_text()
    changed = text.replace("checkpoint_seconds: 60", "checkpoint_seconds: 1")
    if changed == text:
        raise ValueError("params.yaml has no checkpoint_seconds: 60")
    params.write_text(changed)
    return folder


@dataclass
class Editor:
    """Changes a file of a repository, and puts it back.

    Attributes:
        folder: the repository.
        before: file that is changed now -> its text before.
    """

    folder: Path
    before: dict[Path, str] = field(default_factory=dict)

    def turn(self, kind: str, rng: random.Random) -> None:
        """Change something, or put back what is changed."""
        if self.before:
            self.put_back()
            return

        if kind == "code edited":
            path = self.folder / rng.choice(CODE)
            text = path.read_text()
            self._write(path, text, f"{text}# edited\n")
            return

        section, more = rng.choice(PARAMS)
        path = self.folder / "params.yaml"
        text = path.read_text()
        begin = re.search(rf"^{section}:.*?max_epochs: (\d+)", text, re.M | re.S)
        assert begin is not None
        start_of, end_of = begin.span(1)
        self._write(path, text, f"{text[:start_of]}{int(begin[1]) + more}{text[end_of:]}")

    def put_back(self) -> None:
        """Every file as it was."""
        for path, text in self.before.items():
            path.write_text(text)
        self.before.clear()

    def _write(self, path: Path, old: str, new: str) -> None:
        self.before[path] = old
        path.write_text(new)


def below(process: subprocess.Popen[str], words: str) -> list[psutil.Process]:
    """Processes of this run whose command line has these words; the server has left DVC's tree."""
    found = []
    for each in psutil.process_iter():
        try:
            line = each.cmdline()
            ours = each.cwd() == psutil.Process(process.pid).cwd()
            if ours and words in " ".join(line):
                found.append(each)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def kill(process: subprocess.Popen[str], way: str) -> bool:
    """Kill in that way; whether there was anything to kill."""
    if way == "DVC alone":
        process.kill()
        return True
    if way == "everything":
        os.killpg(process.pid, signal.SIGKILL)
        return True

    words = "commands.stage" if way == "the stage alone" else "commands.running.server"
    victims = below(process, words)
    for each in victims:
        each.kill()
    return bool(victims)


def soak(
    folder: Path, least: int, seconds: tuple[float, float], seed: int, edits: float = 0.0
) -> Counter[str]:
    """Kills and edits by their kind, until there were `least` kills or the pipeline is through.

    Args:
        folder: the repository.
        least: kills after which it may run undisturbed.
        seconds: shortest and longest time between two of them.
        seed: of what happens.
        edits: share of edits among what happens.
    """
    rng, counts = random.Random(seed), Counter[str]()
    editor = Editor(folder)
    begun = time.monotonic()
    try:
        while sum(counts[name] for name in KILLS) < least:
            if not one_run(folder, editor, rng, counts, seconds, edits):
                break
            done = sum(counts[name] for name in KILLS)
            print(f"{time.monotonic() - begun:6.0f} s: {done} kills", file=sys.stderr, end="\r")
    finally:
        editor.put_back()

    repro_until_done(folder)
    return counts


def one_run(
    folder: Path,
    editor: Editor,
    rng: random.Random,
    counts: Counter[str],
    seconds: tuple[float, float],
    edits: float,
) -> bool:
    """One `dvc repro` up to its kill or end; False if the pipeline is through, with nothing edited."""
    process = start(folder)
    while True:
        try:
            output, _ = process.communicate(timeout=rng.uniform(*seconds))
            return not ended(process, output, editor, rng, counts)
        except subprocess.TimeoutExpired:
            pass

        # An edit does not end the run; a kill does.
        if rng.random() < edits:
            kind = "put back" if editor.before else rng.choice(EDITS)
            editor.turn(kind, rng)
            counts[kind] += 1
            continue

        way = rng.choice(WAYS)
        try:
            killed = kill(process, way)
        except (psutil.NoSuchProcess, ProcessLookupError):
            killed = False
        counts[way] += killed

        if killed and way != "the server":  # without it the stage goes on by itself
            if way == "the stage alone":
                process.communicate()
            process.wait()
            return True


def ended(
    process: subprocess.Popen[str],
    output: str,
    editor: Editor,
    rng: random.Random,
    counts: Counter[str],
) -> bool:
    """Whether a run that nobody has killed has made everything.

    Raises:
        AssertionError: it has failed, and neither another run nor an edit was the reason.
    """
    if process.returncode == 0:
        if not editor.before:
            return True
        editor.put_back()
        counts["put back"] += 1
        return False

    if any(words in output for words in EDITED) and any(counts[kind] for kind in EDITS):
        counts["stopped by an edit"] += 1
        return False
    if not any(words in output for words in BUSY):
        raise AssertionError(f"after {dict(counts)}:\n{output}")

    counts["refusals"] += 1
    found = re.search(r"in use by process (\d+)", output)
    if found and rng.random() < 0.5:
        try:
            os.killpg(os.getpgid(int(found[1])), signal.SIGKILL)
            counts[ORPHAN] += 1
        except ProcessLookupError:  # it has ended meanwhile
            pass
    return False


def without_the_page(found: dict[str, bytes]) -> dict[str, bytes]:
    """Without the report page in dvc.lock, which shows metrics/environment.json."""
    lock = json.loads(found["dvc.lock"])
    lock["stages"].pop("page", None)
    return {**found, "dvc.lock": json.dumps(lock, sort_keys=True).encode()}


def differing(one: Path, other: Path) -> list[str]:
    """Files of metrics/, and dvc.lock, that two repositories have differently."""
    ours, theirs = (without_the_page(results(folder)) for folder in (one, other))
    names = ours.keys() | theirs.keys()
    found = sorted(name for name in names if ours.get(name) != theirs.get(name))
    return [name for name in found if name not in NO_RESULTS]


def main() -> None:
    """Run and compare."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.soak", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--scale", default="smoke", help="one of scales/, or pocket")
    parser.add_argument("--kills", type=int, default=50, help="then it may run undisturbed")
    parser.add_argument("--edits", type=float, default=0.0, help="share of edits of what happens")
    parser.add_argument(
        "--seconds", type=float, nargs=2, default=(5.0, 14.0), help="between two of them"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reference", type=Path)
    arguments = parser.parse_args()

    place = Path(tempfile.mkdtemp(prefix="soak-"))
    begun = time.monotonic()
    killed = copy(place / "killed", arguments.scale)
    counts = soak(
        killed, arguments.kills, tuple(arguments.seconds), arguments.seed, arguments.edits
    )
    kills = sum(counts[way] for way in KILLS)
    print(f"{kills} kills in {time.monotonic() - begun:.0f} s: {dict(counts)}")

    reference = arguments.reference
    if reference is None:
        reference = copy(place / "undisturbed", arguments.scale)
        code, output = repro(reference)
        assert code == 0, output

    found = differing(killed, reference)
    print("nothing differs" if not found else f"different: {found}")
    if kills < arguments.kills:
        print(f"it was through after {kills} kills: give a larger --scale or shorter --seconds")
    if not found:
        shutil.rmtree(place)
    raise SystemExit(bool(found) or kills < arguments.kills)


if __name__ == "__main__":
    main()
