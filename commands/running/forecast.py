"""What a `dvc repro` has to do: its stages in DVC's order, which of them are due, seconds of each.

Made once for each `dvc repro`, when its first stage begins; progress.py keeps it. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from commands.pipeline.cache import (
    lock_outs,
    read_lock,
    read_pipeline,
    stage_names,
    without_cell,
)
from commands.pipeline.entries import Records
from commands.pipeline.state import state
from commands.sizing.cost import DATA, PER_CORE, Device, Work, devices
from commands.sizing.jobs import jobs, parts
from stages.settings import common, prepare
from stages.settings.read import read_params
from stages.settings.students import matrix
from stages.settings.teachers import teachers

CODE = "code"
"""The stage that tells which code has changed. It takes no time, and what is due shows after it."""
GPU = Path("/proc/driver/nvidia")
"""There where NVIDIA's driver is."""

STAGE_S = {
    **{"prepare": 3.5, "teachers": 4.5, "ensemble": 3.5, "augment": 3.5, "label": 3.5},
    **{"extra": 0.6, "tabulate": 3.0, "assess": 4.5, "draw": 7.5, "page": 4.5},
}
"""Of these stages, as the small scales have them, all that grows with no net: DVC's bookkeeping,
starts of processes, data, tests, reports, pictures.
"""
CELL_S = 2.5
"""The same of a cell."""
CORE_STEP_S = 0.0015
GPU_STEP_S = 0.0003
"""Of a training step besides its operations; that of a GPU is an assumption."""
REACHED = 0.7
"""Share of the rates of rates.json that small nets reach, once steps are counted apart.

These were measured with torch 2.15 on one core of an AMD EPYC: the trials of the scale smoke took
1.0 ms (mlp) and 2.1 ms (conv) a step, and the rest at 0.76 and 0.71 of the rates.
"""


def plan(words: Sequence[str] = ()) -> dict[str, Any]:
    """The stages that a `dvc repro` may run, as plain JSON data.

    `stages` has, in DVC's order, the seconds of each by their kind: "stage" or "cell" for what
    starts and ends it, "computing" for what grows with data and nets. `due` are those that will
    run, as far as files tell before. `after` has for each stage of dvc.yaml those that need it,
    directly or through others: they are due when it has run.

    Args:
        words: of DVC's command line, which may name stages.

    Raises:
        OSError, ValueError: dvc.yaml, params.yaml or dvc.lock cannot be read, or are damaged.
    """
    params = read_params()
    pipeline = read_pipeline(Path())
    after = downstream(pipeline)

    # The stages, in the order of dvc.yaml, which is DVC's.
    names = [name for name in stage_names(pipeline, params) if name != CODE]
    asked = list(wanted(words, names, after))

    # Their seconds.
    works, _ = jobs(params)
    left = dict(remaining(works))
    computing = seconds(params, works)
    expected = {}
    for name in asked:
        alone = STAGE_S.get(name)
        start = {"cell": CELL_S} if alone is None else {"stage": alone}
        expected[name] = {**start, "computing": computing.get(name, 0.0) * left.get(name, 1.0)}

    due = set(changed(params))
    return {
        "stages": expected,
        "due": [name for name in asked if name in due],
        "after": {name: sorted(others) for name, others in after.items() if name != CODE},
    }


def wanted(
    words: Sequence[str], names: Sequence[str], after: Mapping[str, Iterable[str]]
) -> Iterator[str]:
    """The stages that DVC looks at: all, or those that its command line names and what they need."""
    listed = {word.rpartition(":")[2] for word in words}
    named = {name for name in names if name in listed or without_cell(name) in listed}
    if not named or "--downstream" in words:
        yield from names
        return

    alone = bool({"-s", "--single-item"} & set(words))
    for name in names:
        needed = {without_cell(each) for each in named} & set(after[without_cell(name)])
        if name in named or (needed and not alone):
            yield name


def downstream(pipeline: Mapping[str, Any]) -> dict[str, set[str]]:
    """For each stage of dvc.yaml those that need its outputs, directly or through others."""
    made = {name: [*_paths(stage, "outs", "metrics", "plots")] for name, stage in pipeline.items()}
    read = {name: [*_paths(stage, "deps")] for name, stage in pipeline.items()}
    direct = {
        name: {other for other in pipeline if other != name and _meet(made[name], read[other])}
        for name in pipeline
    }

    after: dict[str, set[str]] = {}
    for name in pipeline:
        found = set[str]()
        queue = list(direct[name])
        while queue:
            other = queue.pop()
            if other not in found:
                found.add(other)
                queue += direct[other]
        after[name] = found

    return after


def _paths(stage: Mapping[str, Any], *keys: str) -> Iterator[str]:
    """Paths of a stage in dvc.yaml; of one with a name of a cell in it, the folder."""
    for key in keys:
        for entry in stage.get(key) or []:
            path = next(iter(entry)) if isinstance(entry, dict) else entry
            fixed, varies, _ = path.partition("${")
            yield fixed.rpartition("/")[0] if varies else path


def _meet(made: Iterable[str], read: Iterable[str]) -> bool:
    """Whether something that is made is read, or lies in or around what is read."""
    return any(
        f"{out}/".startswith(f"{dep}/") or f"{dep}/".startswith(f"{out}/")
        for out in made
        for dep in read
    )


def changed(params: Mapping[str, Any], root: Path = Path()) -> Iterator[str]:
    """Stages that are not done: no entry in dvc.lock, other parameters or inputs, no outputs here.

    What is in DVC's cache alone counts if that is where it is by default.
    """
    lock = read_lock(root) if (root / "dvc.lock").is_file() else {}
    outs = lock_outs(root, lock)[0]
    record_of = Records(root, lock, outs, params, lambda: root / ".dvc" / "cache")

    for name in stage_names(read_pipeline(root), params):
        record = record_of(name)
        if record is None or not record.done:
            yield name


def remaining(works: Iterable[Work], root: Path = Path("work")) -> Iterator[tuple[str, float]]:
    """Of each stage that was stopped, the share of its trials that is left."""
    for job in works:
        now = state(job.cell.work if job.cell else job.name, None, root)
        if now.status == "stopped" and job.work != "label":
            yield name_of(job), max(1 - now.finished / job.count, 0.0)


def seconds(params: dict[str, Any], works: list[Work]) -> dict[str, float]:
    """What every stage computes, in seconds at the measured rates; a stage without nets may lack.

    Trials run as many at a time as `execution` says, and the last ones may leave a place empty.
    """
    device = device_of(common.execution(params).device)
    precision = common.numerics(params).precision

    lasts = dict[str, float]()
    for part in parts(params, works):
        # What the whole part reads, writes and augments.
        data = {work: amount for work, amount in part.amounts.items() if work in DATA}
        data_s = 3600 * device.hours(data, precision)[0]
        if not part.jobs:
            lasts[part.name] = data_s / part.slots

        # Each of its nets, with its share of that.
        images = sum(job.images * job.count for job in part.jobs)
        for job in part.jobs:
            whole = job.work == "label"
            turns = job.count / part.slots if whole else math.ceil(job.count / part.slots)
            once = net_seconds(job, params, device) + data_s * job.images / images
            lasts[name_of(job)] = turns * once

    return lasts


def name_of(job: Work) -> str:
    """The stage or cell that computes it, as DVC calls it."""
    return job.cell.dvc if job.cell else job.name


def net_seconds(job: Work, params: dict[str, Any], device: Device) -> float:
    """One repetition of a job: its operations, and so much for every step."""
    precision = common.numerics(params).precision
    operations = {job.work: job.flops / job.count}
    step_s = CORE_STEP_S if device.device.startswith(PER_CORE) else GPU_STEP_S
    return (
        job.images / batch_of(job, params) * step_s
        + 3600 * device.hours(operations, precision)[0] / REACHED
    )


def batch_of(job: Work, params: dict[str, Any]) -> int:
    """Images of one step."""
    if job.cell is not None:
        return matrix(params, job.cell.group).training.batch_size
    if job.work == "label":
        return common.numerics(params).eval_batch
    return teachers(params, prepare.prepare(params).inputs).training.batch_size


def device_of(asked: str) -> Device:
    """The entry of rates.json for `execution.device`: a core, or else a GPU.

    Args:
        asked: cpu, cuda or auto, which is a GPU where there is a driver for one.
    """
    core = asked == "cpu" or (asked == "auto" and not GPU.exists())
    rated = devices()
    kind = [device for device in rated if device.device.startswith(PER_CORE) == core]
    return (kind or rated)[0]


def command_line(process: int) -> list[str]:
    """Words of a process, after DVC's `repro` or `run`; none where the system does not tell."""
    try:
        text = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return []

    words = text.removesuffix("\0").split("\0")
    for verb in ("repro", "run"):
        if verb in words:
            return words[words.index(verb) + 1 :]
    return []
