"""Where the time of a whole `dvc repro` goes: `python -m benchmarks.everyday --parts`.

A fresh clone of this commit runs at the scale of its params.yaml. Which process DVC waits for is
looked up every few milliseconds, and every line that it prints has a time. So DVC's own work is the
time in which it waits for nothing. The rest is told apart in each stage: `training` are the seconds
that trials have noted since the stage began, divided by the trials at a time; `testing` is measured
again afterwards, net by net; `imports` are what python says with PYTHONPROFILEIMPORTTIME, of all
processes, at most what is left of the stage. What remains of a search is starting processes,
proposals and writing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.everyday import ENVIRONMENT, clone
from benchmarks.measure import ROOT, environment
from commands.pipeline.cache import without_cell
from stages.runtime.engines import slots_of
from stages.settings import common
from stages.settings.read import read_params
from stages.settings.sweeps import REPORTED_TRIALS
from stages.store.atomic import read_json, write_json

PAGE = ROOT / "docs/everyday.md"
FACTS = ROOT / "docs/results/everyday/parts.json"
PICTURE = ROOT / "docs/results/everyday/parts.png"
TABLE = re.compile(r"<!-- parts -->\n.*?<!-- /parts -->", re.DOTALL)

COLORS = {
    "training": "#0173b2",
    "testing": "#56b4e9",
    "data and labels": "#029e73",
    "tables, pictures": "#ca9161",
    "imports": "#d55e00",
    "processes, searches": "#ece133",
    "DVC": "#949494",
}
"""The parts, in the order of the bars; seaborn's colours for the colour-blind."""
REPORT = ("extra", "tabulate", "assess", "draw", "page")
GROUPS = {
    "prepare": "data",
    "augment": "data",
    "ensemble": "ensemble, labels",
    "label": "ensemble, labels",
    **dict.fromkeys(REPORT, "report"),
}
"""Bars of several stages; each other stage of dvc.yaml has one of its own."""

LOOK_S = 0.004
LATE_S = 0.1
"""After a command its last lines may still come; later ones are DVC's."""
BEGINS = re.compile(r"Running stage '(?:.*:)?(.+)':")
IMPORTED = re.compile(r"import time:\s+(\d+) \|")


@dataclass
class Ran:
    """A command that DVC has run.

    Attributes:
        stage: as DVC calls it.
        began, ended: seconds since DVC was started.
        imports_s: of all its processes, added up.
    """

    stage: str
    began: float
    ended: float
    imports_s: float = 0.0


class Watch:
    """What is seen of a `dvc repro`, event by event; in the order of time."""

    def __init__(self) -> None:
        self.ran: list[Ran] = []
        self._announced = ""
        self._busy = False

    def line(self, at: float, text: str) -> None:
        """A line that DVC or a command has printed."""
        begins = BEGINS.match(text)
        imported = IMPORTED.match(text)
        if begins:
            self._announced = begins[1]
        elif imported and self.ran and at - self.ran[-1].ended < LATE_S:
            self.ran[-1].imports_s += int(imported[1]) / 1e6

    def look(self, at: float, child: bool) -> None:
        """Whether DVC has a child at this moment. Before a stage is announced it is no command."""
        if child and self._announced:
            self.ran.append(Ran(self._announced, at, at))
            self._announced = ""
            self._busy = True
        elif child and self._busy:
            self.ran[-1].ended = at
        elif not child:
            self._busy = False


def watched(words: Sequence[str], folder: Path) -> tuple[list[Ran], float]:
    """The commands that `dvc repro` runs, and the seconds of all.

    Raises:
        RuntimeError: it fails.
    """
    watch = Watch()
    lock = threading.Lock()
    last: list[str] = []
    started = time.perf_counter()
    process = subprocess.Popen(
        words,
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONPROFILEIMPORTTIME": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def read() -> None:
        for text in process.stdout or ():
            with lock:
                watch.line(time.perf_counter() - started, text)
            if not IMPORTED.match(text):
                last.append(text)

    # A daemon: a process that outlives DVC may keep the pipe open.
    threading.Thread(target=read, daemon=True).start()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        child = bool(_read(children))
        with lock:
            watch.look(time.perf_counter() - started, child)
        time.sleep(LOOK_S)

    if process.returncode:
        raise RuntimeError("".join([f"{' '.join(words)} failed:\n", *last[-15:]]))
    return watch.ran, time.perf_counter() - started


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the process has ended
        return ""


def split(
    ran: Sequence[Ran], whole_s: float, trained: Mapping[str, float], tested: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """Group of stages -> part -> seconds; all together are `whole_s`.

    Args:
        ran: what DVC has run, in order.
        trained, tested: seconds of the stages that search.
    """
    found: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(COLORS, 0.0))
    free = 0.0
    for command in ran:
        name = without_cell(command.stage)
        group = found[GROUPS.get(name, name)]

        # DVC's own work since the command before.
        group["DVC"] += command.began - free
        free = command.ended

        # What is known of the command, never more than it took.
        left = command.ended - command.began
        for part, known in (
            ("training", trained.get(command.stage, 0.0)),
            ("testing", tested.get(command.stage, 0.0)),
            ("imports", command.imports_s),
        ):
            seconds = min(known, left)
            group[part] += seconds
            left -= seconds

        rest = "tables, pictures" if name in REPORT else "data and labels"
        group["processes, searches" if command.stage in trained else rest] += left

    if ran:
        found[GROUPS.get(name, name)]["DVC"] += whole_s - free
    return dict(found)


def training(folder: Path, ran: Sequence[Ran], started: float) -> dict[str, float]:
    """Stage -> seconds of its trials on the clock, of those stages that have trials.

    What was trained before the stage began does not count: it ran beside other stages.

    Args:
        started: when DVC was started, as `time.time` has it.
    """
    slots = slots_of(common.execution(read_params(folder / "params.yaml")))
    found = {}
    for command in ran:
        key = command.stage.replace("@", "/")
        lasted = [
            max(min(float(read_json(path)), path.stat().st_mtime - started - command.began), 0.0)
            for path in folder.glob(f"work/{key}/*/trials/*/seconds.json")
        ]
        if lasted:
            found[command.stage] = sum(lasted) / min(slots, len(lasted))
    return found


def testing(folder: Path, names: Sequence[str]) -> dict[str, float]:
    """Stage -> seconds to load its nets and to test them, one after the other."""
    import torch

    from stages.fit.evaluate import logits
    from stages.nets.stored import load_net
    from stages.nets.student import described_student
    from stages.nets.teacher import described_teacher
    from stages.store.prepared import read_test

    numerics = common.numerics(read_params(folder / "params.yaml"))
    torch.set_num_threads(numerics.threads)
    pixels = torch.from_numpy(read_test(folder / "data/prepared")[0])
    device = torch.device("cpu")

    found = {}
    for name in names:
        build = described_teacher if name == "teachers" else described_student
        trials = [*folder.glob(f"work/{name.replace('@', '/')}/*/trials/*/weights.safetensors")]
        trials = trials[:REPORTED_TRIALS]
        for again in (True, False):  # the first pass warms up
            begun = time.perf_counter()
            for path in trials[:1] if again else trials:
                logits(load_net(path, build, device), pixels, numerics.eval_batch)
            found[name] = time.perf_counter() - begun
    return found


def table(groups: Mapping[str, Mapping[str, float]]) -> str:
    """Parts by groups of stages, in seconds, and the share of each part."""
    whole = sum(sum(parts.values()) for parts in groups.values())
    lines = [
        "| part | " + " | ".join(groups) + " | all, s | share |",
        "| --- |" + " ---: |" * (len(groups) + 2),
    ]
    for part in COLORS:
        seconds = [parts[part] for parts in groups.values()]
        cells = [f"{each:.1f}" if each >= 0.05 else "" for each in seconds]
        total = sum(seconds)
        lines.append(
            f"| {part} | {' | '.join(cells)} | {total:.1f} | {100 * total / whole:.0f} % |"
        )

    totals = [sum(parts.values()) for parts in groups.values()]
    lines.append(f"| all | {' | '.join(f'{each:.1f}' for each in totals)} | {whole:.1f} | 100 % |")
    return "\n".join(lines)


def draw(groups: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """A bar for each group of stages and, above them, one for all."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    whole = {part: sum(parts[part] for parts in groups.values()) for part in COLORS}
    total = sum(whole.values())
    figure, (top, below) = plt.subplots(
        2,
        1,
        figsize=(9, 1.6 + 0.42 * len(groups)),
        height_ratios=[1.2, len(groups)],
        sharex=True,
        layout="constrained",
    )

    # All of it, each part with its seconds where there is room.
    _bar(top, 0, whole, lambda seconds: f"{seconds:.0f} s" if seconds > 0.04 * total else "")
    top.set(xlim=(0, total), yticks=[0], yticklabels=[f"all, {total:.0f} s"])

    # The groups, on the same scale.
    for place, parts in enumerate(groups.values()):
        _bar(below, place, parts, lambda seconds: "")
        below.text(sum(parts.values()), place, f" {sum(parts.values()):.0f} s", va="center")
    below.set(yticks=range(len(groups)), yticklabels=list(groups), xlabel="seconds on the clock")
    below.invert_yaxis()

    for axis in (top, below):
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(left=False)
    top.spines["bottom"].set_visible(False)
    top.tick_params(bottom=False, labelbottom=False)

    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in COLORS.values()]
    labels = [f"{part}, {100 * whole[part] / total:.0f} %" for part in COLORS]
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=9)

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None} if path.suffix == ".png" else None)
    plt.close(figure)


def _bar(axis: Any, place: int, parts: Mapping[str, float], words: Any) -> None:
    left = 0.0
    for part, color in COLORS.items():
        axis.barh(place, parts[part], 0.7, left, color=color)
        dark = part in ("training", "data and labels", "imports")
        centre = left + parts[part] / 2
        axis.text(
            centre,
            place,
            words(parts[part]),
            color="white" if dark else "black",
            ha="center",
            va="center",
            fontsize=9,
        )
        left += parts[part]


def measure(quick: bool, where: Path | None) -> dict[str, Any]:
    """Run and take apart; seconds by groups of stages, and where they were measured.

    Args:
        quick: at pocket size.
        where: for the clone.
    """
    facts = environment()
    with tempfile.TemporaryDirectory(dir=where) as folder:
        copy = clone("HEAD", Path(folder) / "clone", quick)
        started = time.time()
        ran, whole_s = watched([sys.executable, "-m", "dvc", "repro"], copy)
        trained = training(copy, ran, started)
        groups = split(ran, whole_s, trained, testing(copy, list(trained)))
        scale = str(read_params(copy / "params.yaml")["scale"])

    return {"environment": {**facts, "scale": scale, "quick": quick}, "seconds": groups}


def main(quick: bool, where: Path | None) -> None:
    """Measure; print the table, and unless `quick` keep it with its picture and page."""
    found = measure(quick, where)
    shown = table(found["seconds"])
    print(shown)
    if quick:
        return

    write_json(FACTS, found)
    draw(found["seconds"], PICTURE)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    print(f"written: {', '.join(os.path.relpath(path) for path in (FACTS, PICTURE, PAGE))}")


def filled(text: str, found: Mapping[str, Any]) -> str:
    """The page with the table and where it was measured.

    Raises:
        ValueError: it has no place for it.
    """
    facts = found["environment"]
    where = (
        f"Scale `{facts['scale']}` at commit {facts['commit']}, {facts['processor']}, "
        f"{facts['cores']} cores, load before the run {facts['load_before']:.1f}; n = 1."
    )
    block = f"<!-- parts -->\n{where}\n\n{table(found['seconds'])}\n<!-- /parts -->"
    if not TABLE.search(text):
        raise ValueError("docs/everyday.md has no <!-- parts --> ... <!-- /parts -->")
    return TABLE.sub(lambda _: block, text)
