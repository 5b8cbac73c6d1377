"""What a scale will cost before it is run: operations, bytes, and hours at measured rates; used by
scale.

Imports no torch. The rates are in rates.json beside this file; `python -m benchmarks.rates --write`
measures them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

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
"""How the name of a CPU begins: its rates are those of one thread, and processes share out the
work.
"""


SMALL = 900_000
SMALL_NETS = (
    "Expect more: the rates are those of 1M nets, and smaller ones ran at 0.1 to 0.7 of them. With the start of\n"
    "processes and all else that is not counted, measured runs on 2 cores took 4 (smoke) and 3 (cpu) times as long."
)
"""Measured in fp32 with torch 2.15: the mid-box nets of 60k to 316k of the scales smoke and cpu, in
batches of 16 and 32, on one core of an AMD EPYC (conv 0.3 to 0.7, mlp 0.1 to 0.5), and whole runs
on two: smoke 5 minutes where 1.2 are said here, cpu 55 where 18 are. No factor is applied: two runs
make none.
"""
LEFT_OUT = "no rate, left out of the times marked with + or ?"


@dataclass(frozen=True)
class Work:
    """One kind of work: `count` repetitions of `images` passes through a net.

    Attributes:
        name: stage or cell.
        macs: multiply-accumulates of one forward pass of one image.
        params: of the net.
        images: images that pass through the net in one repetition.
        count: repetitions (trials or members).
        work: one of `NETS`; gradients are computed unless it is "label".
        validated: images of a repetition that pass forward only, to validate.
    """

    name: str
    macs: int
    params: int
    images: int
    count: int
    work: str = "train conv"
    validated: int = 0

    @property
    def flops(self) -> float:
        """Floating-point operations of all repetitions."""
        passes = 1 if self.work == "label" else TRAINING_PASSES
        return (
            float(self.macs) * FLOPS_PER_MAC * (passes * self.images + self.validated) * self.count
        )


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
        found = defaultdict[str, float](float, data)
        for job in self.jobs:
            found[job.work] += job.flops
        return {work: amount for work, amount in found.items() if amount}


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
        """Amount a second and "", or what stands in for it: the rate of fp32, or None where there
        is none.
        """
        if work in DATA:
            return self.rates.get(work), "" if work in self.rates else LEFT_OUT
        for known in (precision, "fp32"):
            if (key := f"{work} {known}") in self.rates:
                return self.rates[
                    key
                ], "" if known == precision else f"no {precision} rate measured, fp32's is taken"
        return None, LEFT_OUT

    def hours(self, amounts: Mapping[str, float], precision: str) -> tuple[float, bool]:
        """Hours of all that has a rate, one after the other, on a CPU by one process; and whether
        that is all.
        """
        rates = {work: self.rate(work, precision)[0] for work in amounts}
        rated = [amount / rate for work, amount in amounts.items() if (rate := rates[work])]
        return sum(rated) / 3600, len(rated) == len(amounts)


def devices(path: Path = RATES) -> list[Device]:
    """The devices of rates.json.

    Raises:
        ValueError: it is no list of such entries, it is empty, or a rate is not above 0.
    """
    names = {field.name for field in fields(Device)}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        found = [Device(**entry) for entry in entries]
        if found and all(rate > 0 for device in found for rate in device.rates.values()):
            return found
        problem = "there is no device, or a rate is not above 0"
    except (TypeError, AttributeError, json.JSONDecodeError) as error:
        problem = str(error)
    raise ValueError(
        f"{path}: {problem}; it is a list of {sorted(names)}, see python -m benchmarks.rates --write"
    )


def transfer_bytes(kept: int, classes: int) -> int:
    """Bytes of one line of the transfer set: `kept` of the image, int32 index, uint16 label, draws,
    float32 logits.
    """
    return kept + 4 + 2 + 18 + 4 * classes


def lines(
    parts: Sequence[Part], on_disk: int, precision: str, found: Sequence[Device]
) -> list[str]:
    """The estimate as text: a table with a line for each part and their total, then where the rates
    are from.
    """
    head, rows = _table(parts, precision, found)
    widths = [max(len(line[k]) for line in [head, *rows]) for k in range(len(head))]
    out = [f"precision {precision}", ""]
    for first, *others in [head, *rows]:
        right = (text.rjust(width) for text, width in zip(others, widths[1:], strict=True))
        out.append("  ".join([first.ljust(widths[0]), *right]))
    out += ["", f"transfer set on disk: {on_disk / 1e9:.3g} GB"]
    cell = max(
        (job for part in parts for job in part.jobs if " " in job.name),
        key=lambda j: j.flops,
        default=None,
    )
    if cell is not None:
        out.append(f"largest cell: {cell.name}, {cell.flops:.2e} FLOP in {cell.count} trials")
    works = [work for work in (*NETS, *DATA) if any(work in part.amounts for part in parts)]
    for number, device in enumerate(found, start=1):
        out += _origin(number, device, works, precision)
    return [
        *out,
        "not counted: starts of processes, proposals of the searches, DVC's own time, the test set",
    ]


def in_words(parts: Sequence[Part], precision: str, found: Sequence[Device]) -> list[str]:
    """The total in a sentence, and that small nets take longer where there are some."""
    most, said = max(part.slots for part in parts), []
    for device in found:
        hours = [device.hours(part.amounts, precision) for part in parts]
        short = [
            *([] if device.measured else ["assumed"]),
            *([] if all(r for _, r in hours) else ["not all of it"]),
        ]
        note = f" ({', '.join(short)})" if short else ""
        said.append(
            f"{duration(sum(value for value, _ in hours))} on {device.device.partition(' (')[0]}{note}"
        )
        if most > 1 and device.device.startswith(PER_CORE):
            shared = sum(value / part.slots for (value, _), part in zip(hours, parts, strict=True))
            said[-1] += f", {duration(shared)} on up to {most} such cores"
    nets = sum(job.count for part in parts for job in part.jobs if job.work != "label")
    flops = sum(job.flops for part in parts for job in part.jobs)
    small = any(job.params < SMALL for part in parts for job in part.jobs)
    out = [f"In all: {nets:,} nets and {flops:.2e} operations: {'; '.join(said)}."]
    return out + ([SMALL_NETS] if small else [])


def duration(hours: float) -> str:
    """Two digits and a unit: seconds below a minute, minutes below an hour, hours below two days,
    days.
    """
    if hours < 1 / 3600:
        return "< 1 s" if hours else "0 s"
    for size, unit, below in (
        (1 / 3600, "s", 60),
        (1 / 60, "min", 60),
        (1, "h", 48),
        (24, "days", float("inf")),
    ):
        value = max(
            float(f"{hours / size:.2g}") if hours / size < 10 else float(round(hours / size)), 1.0
        )
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
            f"{job.name:{width}}  {job.params:>11,}  {job.count:>6}  {job.images:>12,}  {job.flops:>9.2e}"
        )
    return out


def _table(
    parts: Sequence[Part], precision: str, found: Sequence[Device]
) -> tuple[list[str], list[list[str]]]:
    """Head and lines; a CPU has a second column of times where a part has several processes."""
    head = ["", "nets", "FLOP", "views", "GB read", "GB made"]
    rows = [[part.name, *_amounts([part])] for part in parts] + [["total", *_amounts(parts)]]
    most = max(part.slots for part in parts)
    for number, device in enumerate(found, start=1):
        core = device.device.startswith(PER_CORE)
        hours = [device.hours(part.amounts, precision) for part in parts]
        columns = {f"{'1 core' if core else 'GPU'} [{number}]": [value for value, _ in hours]}
        if most > 1 and core:
            shared = [value / part.slots for (value, _), part in zip(hours, parts, strict=True)]
            columns[f"{most} cores"] = shared
        whole = [all_of_it for _, all_of_it in hours]
        for title, values in columns.items():
            head.append(title)
            pairs = zip([*values, sum(values)], [*whole, all(whole)], strict=True)
            for row, (value, all_of_it) in zip(rows, pairs, strict=True):
                row.append(
                    duration(value) + ("" if all_of_it else " +") if value or all_of_it else "?"
                )
    return head, rows


def _amounts(parts: Sequence[Part]) -> list[str]:
    """Nets trained, operations, views, gigabytes read and written; empty for 0."""
    jobs = [job for part in parts for job in part.jobs]
    nets = sum(job.count for job in jobs if job.work != "label")
    large = sum(job.flops for job in jobs), sum(part.views for part in parts)
    stored = sum(part.read for part in parts), sum(part.written for part in parts)
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
