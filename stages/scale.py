"""scale: write params.yaml for a scale, or say what a scale costs.

`python -m stages.scale smoke` makes smoke the active scale: scales/paper.yaml with what scales/smoke.yaml says
otherwise. params.yaml is then the one truth; edit it, or override single values with `dvc exp run -S`.
An overlay may lie on another one than paper.yaml, which it names as its `base`. `--cost` prints the expected cost and
writes nothing; without NAME it does so for params.yaml as it stands. `--cells` adds a line for every cell, `--classes`
says how many classes files have that are not there yet.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.images.sources.labelled import CLASSES, FEWEST_CLASSES, MOST_CLASSES
from stages.nets.budget import forward_macs, parse_budget, plan
from stages.nets.families import FAMILIES, check_row
from stages.nets.layers import teacher_macs, teacher_params, teacher_widths
from stages.report.cost import UNBOUNDED_EPOCHS, Job, Part, cells, devices, in_words, lines, transfer_bytes
from stages.settings import common, prepare
from stages.settings.read import read_params
from stages.settings.scales import compose, names
from stages.settings.students import ROWS, SECTION, matrix, row
from stages.settings.teachers import names_of, teachers
from stages.store import door
from stages.store.atomic import write_text
from stages.store.shards import input_bytes
from stages.store.work import read_manifest
from stages.workers.engines import slots_of

PARAMS = Path("params.yaml")
PREPARED = Path("data/prepared")
ASSUMED = 10
"""Classes of files that nobody has opened yet."""
OF_ONE_VIEW = 32**2
"""Pixels of the images for which benchmarks.rates measures views."""


def classes_of(params: dict[str, Any]) -> tuple[int, str]:
    """Number of classes, and where it is from: the source, data/prepared if made from such a source, or assumed."""
    data = prepare.prepare(params)
    if data.source in CLASSES:
        return CLASSES[data.source], f"those of {data.source}"
    facts = read_manifest(PREPARED) if (PREPARED / "manifest.json").is_file() else {}
    shape = None if data.shape is None else list(data.shape)
    if [facts.get(name) for name in ("source", "size_px", "shape")] == [data.source, data.size_px, shape]:
        return len(facts["classes"]), f"those of {PREPARED}"
    return ASSUMED, f"assumed, since {PREPARED} is not made from this {data.source}: say how many with --classes"


def jobs(params: dict[str, Any], classes: int | None = None) -> tuple[list[Job], int]:
    """What is to be computed at mid-box widths, and the bytes of the transfer set; `classes` as of `classes_of`."""
    classes = classes or classes_of(params)[0]
    data, transfer = prepare.prepare(params), prepare.augment(params)
    section, boxes = teachers(params, data.shape), teachers(params, data.shape).boxes
    middle, names = dict.fromkeys(boxes, 0.5), names_of(data.shape).widths
    widths = teacher_widths(middle, boxes, multiple=section.width_multiple, names=names)
    macs, size = (count(widths, classes, data.size_px, data.shape) for count in (teacher_macs, teacher_params))
    epochs = section.training.max_epochs or UNBOUNDED_EPOCHS
    members, labelled = prepare.ensemble(params).members, transfer.epochs * data.train
    trials, validated = section.sweep.trials, epochs * data.validation
    found = [
        Job("teachers", macs, size, epochs * data.train, trials, validated=validated),
        Job("label", macs, size, labelled, members, "label"),
    ]
    for target in SECTION:
        found += cell_jobs(params, target, data, classes)
    stored = transfer.epochs * data.train * transfer_bytes(kept_bytes(data, transfer), classes)
    return found, stored


def kept_bytes(data: prepare.Prepare, transfer: prepare.Augment) -> int:
    """Bytes of one image or vector in the transfer set; 0 where only its draws are stored."""
    return input_bytes(data.size_px, data.shape) if transfer.store == "images" else 0


def cell_jobs(params: dict[str, Any], target: Any, data: prepare.Prepare, classes: int) -> list[Job]:
    """One job for each cell of a target."""
    section, found = matrix(params, target), []
    epochs = section.training.max_epochs or UNBOUNDED_EPOCHS
    for name in section.rows:
        entry = row(params, target, name)
        family = entry.net or name
        for budget in section.budgets:
            check_row(f"params.yaml: {ROWS[target]}.{name}", family, budget, entry.boxes, entry.ratios)
            middle = [0.5] * FAMILIES[family].controls
            box = None if entry.boxes is None else entry.boxes[budget]
            made = plan(
                family, parse_budget(budget), middle, box,
                classes=classes, size_px=data.size_px, shape=data.shape, multiple=section.width_multiple,
            )  # fmt: skip
            job = Job(
                f"{SECTION[target]} {name} {budget}",
                forward_macs(made),
                made.params,
                epochs * data.train,
                section.sweep.trials + section.final_seeds,
                "train conv" if FAMILIES[family].layout else "train mlp",
                epochs * data.validation,
            )
            found.append(job)
    return found


def parts(params: dict[str, Any], found: list[Job], classes: int | None = None) -> list[Part]:
    """The jobs of `jobs` by stage, with the views they need, and what they read and write of the transfer set.

    Every epoch of a trial is read, or made again where only draws are stored: a trial that keeps its epochs in
    memory and has more of them than are stored costs less. A view of a larger image counts as so many of 32 px as it
    has pixels: with 64 px one took as long as 4.3 with jitter and 6.1 without (one core of an AMD EPYC).
    """
    data, transfer, execution = prepare.prepare(params), prepare.augment(params), common.execution(params)
    kept, stored = transfer.store == "images", transfer.epochs * data.train
    shard, logits = transfer_bytes(kept_bytes(data, transfer), 0), 4 * (classes or classes_of(params)[0])

    def views(images: int) -> int:
        return round(images * (data.size_px or 0) ** 2 / OF_ONE_VIEW)

    def sweep(name: str, prefix: str, work: str, lag: int, per_image: int, made: bool) -> Part:
        own = tuple(job for job in found if job.name.split()[0] == prefix and job.work.startswith(work))
        images = sum(job.images * job.count for job in own)
        slots = min(slots_of(execution), lag)
        return Part(name, own, views(images) if made else 0, images * per_image, slots=slots)

    mimic, hard = (matrix(params, target).sweep.lag for target in ("mimic", "hard"))
    listed = [
        sweep("teachers", "teachers", "train", teachers(params, data.shape).sweep.lag, 0, True),
        Part("augment", (), views(stored), 0, stored * shard, execution.slots),
        Part("label", tuple(job for job in found if job.name == "label"), 0 if kept else views(stored), stored * shard,
             stored * logits, execution.slots),
        sweep("students conv", "students", "train conv", mimic, shard + logits, not kept),
        sweep("students mlp", "students", "train mlp", mimic, shard + logits, not kept),
        sweep("hard", "hard", "train", hard, shard, not kept),
        *(
            sweep(SECTION[target], SECTION[target], "train", matrix(params, target).sweep.lag,
                  shard + (0 if ROWS[target] == ROWS["hard"] else logits), not kept)
            for target in SECTION if target not in ("mimic", "hard")
        ),
    ]  # fmt: skip
    return [part for part in listed if part.amounts]


def main() -> None:
    """Write params.yaml, or print a cost."""
    parser = argparse.ArgumentParser(prog="python -m stages.scale", description=__doc__.split("\n\n")[0])
    parser.add_argument("name", nargs="?", help=", ".join(names()))
    parser.add_argument("--cost", action="store_true", help="print the expected cost, write nothing")
    parser.add_argument("--cells", action="store_true", help="a line for every cell besides")
    parser.add_argument("--classes", type=int, metavar="N", help="of files that are not there yet, for the cost")
    arguments = parser.parse_args()
    if arguments.classes is not None and not FEWEST_CLASSES <= arguments.classes <= MOST_CLASSES:
        parser.error(f"--classes is {arguments.classes}, allowed are {FEWEST_CLASSES} to {MOST_CLASSES:,}")
    if arguments.name is None and not arguments.cost:
        parser.error(f"which scale? one of {', '.join(names())}")
    text = compose(arguments.name) if arguments.name else None
    params = YAML(typ="safe").load(text) if text else read_params(PARAMS)
    known = (arguments.classes, "--classes") if arguments.classes else classes_of(params)
    found, stored = jobs(params, known[0])
    if text and not arguments.cost:
        write_text(PARAMS, text)
        print(f"{PARAMS} is at scale {arguments.name}; 'dvc repro' runs it")
    listed = parts(params, found, known[0])
    every = [*cells(listed), ""] if arguments.cells else []
    precision, rated = common.numerics(params).precision, devices()
    print("\n".join(every + lines(listed, stored, precision, rated)))
    print(f"classes: {known[0]:,}, {known[1]}\n")
    print("\n".join(in_words(listed, precision, rated)))


if __name__ == "__main__":
    door.run(main)
