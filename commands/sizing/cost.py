"""What a scale will cost before it is run: operations, bytes, and hours at measured rates.

Imports no torch. What is to be computed is counted in jobs.py. The rates are in rates.json beside
this file; `python -m benchmarks.rates --write` measures them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from stages.settings.groups import CellName

FLOPS_PER_MAC = 2
TRAINING_PASSES = 3
"""A training step costs about three forward passes: one forward, two backward."""

UNBOUNDED_EPOCHS = 160
"""Assumption for trials without max_epochs: the paper's number of stored epochs."""

RATES = Path(__file__).with_name("rates.json")
NETS = ("train conv", "train mlp", "label")
"""Work of nets, in operations; its rates depend on the precision."""
DATA = ("views", "store read", "store write")
"""Views are counted in images, what is read and written in bytes."""
PER_CORE = "1 core of "
"""How the name of a CPU begins: its rates are those of one thread, and processes share the work."""
SMALL = 900_000
SMALL_NETS = (
    "Expect more: the rates are those of 1M nets, and smaller ones ran at 0.1 to 0.7 of them. "
    "With the start of\nprocesses and all else that is not counted, measured runs on 2 cores took "
    "4 (smoke) and 3 (cpu) times as long."
)
"""Measured in fp32 with torch 2.15: the mid-box nets of 60k to 316k of the scales smoke and cpu, in
batches of 16 and 32, on one core of an AMD EPYC (conv 0.3 to 0.7, mlp 0.1 to 0.5), and whole runs
on two cores: smoke took 5 minutes, predicted 1.2; cpu took 55, predicted 18. No factor is applied:
two runs are too few for one.
"""
LEFT_OUT = "no rate, left out of the times marked with + or ?"


@dataclass(frozen=True)
class Work:
    """One kind of work: `count` repetitions of `images` passes through a net.

    Attributes:
        name: stage, or a cell's stage, row and budget.
        macs: multiply-accumulates of one forward pass of one image.
        params: of the net.
        images: images that pass through the net in one repetition.
        count: repetitions (trials or members).
        work: one of `NETS`; gradients are computed unless it is "label".
        validated: images of a repetition that pass forward only, to validate.
        cell: whose nets they are, if they are those of a cell.
    """

    name: str
    macs: int
    params: int
    images: int
    count: int
    work: str = "train conv"
    validated: int = 0
    cell: CellName | None = None

    @property
    def stage(self) -> str:
        """The stage that computes it."""
        return self.cell.stage if self.cell else self.name

    @property
    def flops(self) -> float:
        """Floating-point operations of all repetitions."""
        passes = 1 if self.work == "label" else TRAINING_PASSES
        images = passes * self.images + self.validated
        return float(self.macs) * FLOPS_PER_MAC * images * self.count


@dataclass(frozen=True)
class Part:
    """A stage of the pipeline, or those of its nets that train at one rate; a line of the estimate.

    Attributes:
        name: e.g. "students conv".
        jobs: what its nets compute.
        views: images that are augmented.
        read, written: bytes of the transfer set.
        slots: processes at a time.
    """

    name: str
    jobs: tuple[Work, ...] = ()
    views: int = 0
    read: int = 0
    written: int = 0
    slots: int = 1

    @property
    def amounts(self) -> dict[str, float]:
        """How much of each kind of work of `NETS` and `DATA` there is; none of them 0."""
        data = {"views": self.views, "store read": self.read, "store write": self.written}
        amounts = defaultdict[str, float](float, data)
        for job in self.jobs:
            amounts[job.work] += job.flops
        return {work: amount for work, amount in amounts.items() if amount}


@dataclass(frozen=True)
class Device:
    """One entry of rates.json.

    Attributes:
        device: its name; "1 core of ..." for a CPU.
        torch: version it was measured with; "" where it was not.
        how: the command that measured it, or what is assumed.
        n: measurements, of which each rate is the median.
        measured: or assumed.
        rates: operations a second for "train conv fp32" and the like, images or bytes a second for
            `DATA`.
    """

    device: str
    torch: str
    how: str
    n: int
    measured: bool
    rates: Mapping[str, float]

    def rate(self, work: str, precision: str) -> tuple[float | None, str]:
        """Amount a second, or None where no rate was measured, and a note; "" if all is well.

        Where there is no rate at this precision, that of fp32 is taken.
        """
        measured = work if work in DATA else f"{work} {precision}"
        if measured in self.rates:
            return self.rates[measured], ""
        if work not in DATA and f"{work} fp32" in self.rates:
            return self.rates[f"{work} fp32"], f"no {precision} rate measured, fp32's is taken"
        return None, LEFT_OUT

    def hours(self, amounts: Mapping[str, float], precision: str) -> tuple[float, bool]:
        """Hours of all that has a rate, one after the other, and whether that is everything.

        On a CPU they are those of one process.
        """
        rates = {work: self.rate(work, precision)[0] for work in amounts}
        rated = [amounts[work] / rate for work, rate in rates.items() if rate]
        return sum(rated) / 3600, len(rated) == len(amounts)


def devices(path: Path = RATES) -> list[Device]:
    """The devices of rates.json.

    Raises:
        ValueError: it is not a list of such entries, it is empty, or a rate is not above 0.
    """
    names = {field.name for field in fields(Device)}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        listed = [Device(**entry) for entry in entries]
        if listed and all(rate > 0 for device in listed for rate in device.rates.values()):
            return listed
        problem = "there is no device, or a rate is not above 0"
    except (TypeError, AttributeError, json.JSONDecodeError) as error:
        problem = str(error)

    raise ValueError(
        f"{path}: {problem}; it is a list of {sorted(names)}, "
        "see python -m benchmarks.rates --write"
    )


def transfer_bytes(kept: int, classes: int) -> int:
    """Bytes of one line of the transfer set.

    They are `kept` of the image, an int32 index, a uint16 label, the draws and float32 logits.
    """
    return kept + 4 + 2 + 18 + 4 * classes


def lines(
    parts: Sequence[Part], on_disk: int, precision: str, rated: Sequence[Device]
) -> list[str]:
    """The estimate as text: a line for each part, their total, then where the rates are from."""
    head, rows = _table(parts, precision, rated)

    # The table.
    widths = [max(len(line[k]) for line in [head, *rows]) for k in range(len(head))]
    out = [f"precision {precision}", ""]
    for first, *others in [head, *rows]:
        right = (text.rjust(width) for text, width in zip(others, widths[1:], strict=True))
        out.append("  ".join([first.ljust(widths[0]), *right]))

    # The largest amounts.
    out += ["", f"transfer set on disk: {on_disk / 1e9:.3g} GB"]
    cells = [job for part in parts for job in part.jobs if job.cell]
    if cells:
        largest = max(cells, key=lambda job: job.flops)
        out.append(
            f"largest cell: {largest.name}, {largest.flops:.2e} FLOP in {largest.count} trials"
        )

    # The rates.
    works = [work for work in (*NETS, *DATA) if any(work in part.amounts for part in parts)]
    for number, device in enumerate(rated, start=1):
        out += _origin(number, device, works, precision)
    return [
        *out,
        "not counted: starts of processes, proposals of the searches, DVC's own time, the test set",
    ]


def in_words(parts: Sequence[Part], precision: str, rated: Sequence[Device]) -> list[str]:
    """The total in a sentence, and that small nets take longer where there are some."""
    most = max(part.slots for part in parts)

    # The time on each device.
    said = []
    for device in rated:
        hours = [device.hours(part.amounts, precision) for part in parts]
        remarks = [] if device.measured else ["assumed"]
        if not all(complete for _, complete in hours):
            remarks.append("not all of it")
        note = f" ({', '.join(remarks)})" if remarks else ""
        name = device.device.partition(" (")[0]
        time = f"{duration(sum(value for value, _ in hours))} on {name}{note}"
        if most > 1 and device.device.startswith(PER_CORE):
            shared = sum(value / part.slots for (value, _), part in zip(hours, parts, strict=True))
            time += f", {duration(shared)} on up to {most} such cores"

        said.append(time)

    # The sentence.
    jobs = [job for part in parts for job in part.jobs]
    nets = sum(job.count for job in jobs if job.work != "label")
    flops = sum(job.flops for job in jobs)
    small = any(job.params < SMALL for job in jobs)
    out = [f"In all: {nets:,} nets and {flops:.2e} operations: {'; '.join(said)}."]

    return [*out, SMALL_NETS] if small else out


def duration(hours: float) -> str:
    """Two digits and a unit: seconds to a minute, minutes to an hour, hours to two days, days."""
    if hours < 1 / 3600:
        return "< 1 s" if hours else "0 s"

    for size, unit, below in (
        (1 / 3600, "s", 60),
        (1 / 60, "min", 60),
        (1, "h", 48),
        (24, "days", float("inf")),
    ):
        exact = hours / size
        value = max(float(f"{exact:.2g}") if exact < 10 else float(round(exact)), 1.0)
        if value < below:
            return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.2g} {unit}"

    raise AssertionError(hours)


def cells(parts: Sequence[Part]) -> list[str]:
    """Every job of every part: its name, parameters, repetitions, images of each and operations."""
    jobs = [job for part in parts for job in part.jobs]
    width = max(len(job.name) for job in jobs)
    out = [f"{'':{width}}  {'params':>11}  {'trials':>6}  {'images each':>12}  {'FLOP':>9}"]
    for job in jobs:
        out.append(
            f"{job.name:{width}}  {job.params:>11,}  {job.count:>6}  {job.images:>12,}  "
            f"{job.flops:>9.2e}"
        )

    return out


def _table(
    parts: Sequence[Part], precision: str, rated: Sequence[Device]
) -> tuple[list[str], list[list[str]]]:
    """Head and lines; a CPU has a second column of times where a part has several processes."""
    head = ["", "nets", "FLOP", "views", "GB read", "GB made"]
    rows = [[part.name, *_amounts([part])] for part in parts] + [["total", *_amounts(parts)]]
    most = max(part.slots for part in parts)

    for number, device in enumerate(rated, start=1):
        core = device.device.startswith(PER_CORE)
        hours = [device.hours(part.amounts, precision) for part in parts]

        # Hours by the title of their column.
        columns = {f"{'1 core' if core else 'GPU'} [{number}]": [value for value, _ in hours]}
        if most > 1 and core:
            shared = [value / part.slots for (value, _), part in zip(hours, parts, strict=True)]
            columns[f"{most} cores"] = shared

        # The columns, with a mark where they lack something.
        whole = [complete for _, complete in hours]
        for title, values in columns.items():
            head.append(title)
            pairs = zip([*values, sum(values)], [*whole, all(whole)], strict=True)
            for row, (value, complete) in zip(rows, pairs, strict=True):
                if complete:
                    row.append(duration(value))
                else:
                    row.append(f"{duration(value)} +" if value else "?")

    return head, rows


def _amounts(parts: Sequence[Part]) -> list[str]:
    """Nets trained, operations, views, gigabytes read and written; empty for 0."""
    jobs = [job for part in parts for job in part.jobs]
    nets = sum(job.count for job in jobs if job.work != "label")
    large = [sum(job.flops for job in jobs), sum(part.views for part in parts)]
    stored = [sum(part.read for part in parts), sum(part.written for part in parts)]
    return [
        str(nets or ""),
        *(f"{amount:.1e}" if amount else "" for amount in large),
        *(_short(size / 1e9) if size else "" for size in stored),
    ]


def _short(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _origin(number: int, device: Device, works: Sequence[str], precision: str) -> list[str]:
    """Where a device's hours come from, and what they lack."""
    origin = f"assumed, not measured: {device.how}"
    if device.measured:
        origin = f"measured by {device.how}; median of {device.n}, torch {device.torch}"

    lacking: dict[str, list[str]] = {}
    for work in works:
        lacking.setdefault(device.rate(work, precision)[1], []).append(work)
    notes = [f"    {', '.join(names)}: {note}" for note, names in lacking.items() if note]
    return [f"[{number}] {device.device}: {origin}", *notes]
