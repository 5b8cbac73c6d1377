"""What a params.yaml asks for: operations of every net, bytes of the transfer set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from commands.sizing.cost import UNBOUNDED_EPOCHS, Part, Work, transfer_bytes
from stages.images.sources.labelled import CLASSES
from stages.nets.budget import forward_macs, plan
from stages.nets.families import FAMILIES, check_row
from stages.nets.layers import teacher_macs, teacher_params, teacher_widths
from stages.runtime.engines import slots_of
from stages.settings import common, prepare, transfer
from stages.settings.budgets import parse_budget
from stages.settings.groups import ROWS, SECTION
from stages.settings.inputs import Inputs
from stages.settings.students import matrix, row
from stages.settings.teachers import names_of, teachers
from stages.store.manifest import read_manifest

PREPARED = Path("data/prepared")


ASSUMED = 10
"""Classes of files that nobody has opened yet."""


OF_ONE_VIEW = 32**2
"""Pixels of the images for which benchmarks.rates measures views."""


def classes_of(params: dict[str, Any]) -> tuple[int, str]:
    """Number of classes, and where it is from: the source, data/prepared if made from such a
    source, or assumed.
    """
    data = prepare.prepare(params)
    if data.source in CLASSES:
        return CLASSES[data.source], f"those of {data.source}"

    if (PREPARED / "manifest.json").is_file():
        manifest = read_manifest(PREPARED)
        if manifest["source"] == data.source and Inputs.from_json(manifest) == data.inputs:
            return len(manifest["classes"]), f"those of {PREPARED}"

    return (
        ASSUMED,
        f"assumed, since {PREPARED} is not made from this {data.source}: say how many with --classes",
    )


def jobs(params: dict[str, Any], classes: int | None = None) -> tuple[list[Work], int]:
    """What is to be computed at mid-box widths, and the bytes of the transfer set; `classes` as of
    `classes_of`.
    """
    classes = classes or classes_of(params)[0]
    data, augmented = prepare.prepare(params), transfer.augment(params)
    section, boxes = teachers(params, data.inputs), teachers(params, data.inputs).boxes
    middle, names = dict.fromkeys(boxes, 0.5), names_of(data.inputs).widths
    widths = teacher_widths(middle, boxes, multiple=section.width_multiple, names=names)
    macs = teacher_macs(widths, classes, data.inputs)
    size = teacher_params(widths, classes, data.inputs)
    epochs = section.training.max_epochs or UNBOUNDED_EPOCHS
    members, labelled = transfer.ensemble(params).members, augmented.epochs * data.train
    trials, validated = section.sweep.trials, epochs * data.validation
    found = [
        Work("teachers", macs, size, epochs * data.train, trials, validated=validated),
        Work("label", macs, size, labelled, members, "label"),
    ]
    for target in SECTION:
        found += cell_jobs(params, target, data, classes)
    stored = augmented.epochs * data.train * transfer_bytes(kept_bytes(data, augmented), classes)
    return found, stored


def kept_bytes(data: prepare.Prepare, section: transfer.Augment) -> int:
    """Bytes of one image or vector in the transfer set; 0 where only its draws are stored."""
    return data.inputs.bytes if section.store == "images" else 0


def cell_jobs(
    params: dict[str, Any], target: Any, data: prepare.Prepare, classes: int
) -> list[Work]:
    """One job for each cell of a target."""
    section, found = matrix(params, target), []
    epochs = section.training.max_epochs or UNBOUNDED_EPOCHS
    for name in section.rows:
        entry = row(params, target, name)
        family = entry.net or name
        for budget in section.budgets:
            check_row(
                f"params.yaml: {ROWS[target]}.{name}", family, budget, entry.boxes, entry.ratios
            )
            middle = [0.5] * FAMILIES[family].controls
            box = None if entry.boxes is None else entry.boxes[budget]
            made = plan(
                family,
                parse_budget(budget),
                middle,
                box,
                classes=classes,
                inputs=data.inputs,
                multiple=section.width_multiple,
            )
            job = Work(
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


def parts(params: dict[str, Any], found: list[Work], classes: int | None = None) -> list[Part]:
    """The jobs of `jobs` by stage, with the views they need, and what they read and write of the
    transfer set.

    Every epoch of a trial is read, or made again where only draws are stored: a trial that keeps
    its epochs in memory and has more of them than are stored costs less. A view of a larger image
    counts as so many of 32 px as it has pixels: with 64 px one took as long as 4.3 with jitter and
    6.1 without (one core of an AMD EPYC).
    """
    data, section, execution = (
        prepare.prepare(params),
        transfer.augment(params),
        common.execution(params),
    )
    kept, stored = section.store == "images", section.epochs * data.train
    shard, logits = (
        transfer_bytes(kept_bytes(data, section), 0),
        4 * (classes or classes_of(params)[0]),
    )

    def views(images: int) -> int:
        return round(images * (data.inputs.size_px or 0) ** 2 / OF_ONE_VIEW)

    def sweep(name: str, prefix: str, work: str, lag: int, per_image: int, made: bool) -> Part:
        own = tuple(
            job for job in found if job.name.split()[0] == prefix and job.work.startswith(work)
        )
        images = sum(job.images * job.count for job in own)
        slots = min(slots_of(execution), lag)
        return Part(name, own, views(images) if made else 0, images * per_image, slots=slots)

    mimic, hard = (matrix(params, target).sweep.lag for target in ("mimic", "hard"))
    listed = [
        sweep("teachers", "teachers", "train", teachers(params, data.inputs).sweep.lag, 0, True),
        Part("augment", (), views(stored), 0, stored * shard, execution.slots),
        Part(
            "label",
            tuple(job for job in found if job.name == "label"),
            0 if kept else views(stored),
            stored * shard,
            stored * logits,
            execution.slots,
        ),
        sweep("students conv", "students", "train conv", mimic, shard + logits, not kept),
        sweep("students mlp", "students", "train mlp", mimic, shard + logits, not kept),
        sweep("hard", "hard", "train", hard, shard, not kept),
        *(
            sweep(
                SECTION[target],
                SECTION[target],
                "train",
                matrix(params, target).sweep.lag,
                shard + (0 if ROWS[target] == ROWS["hard"] else logits),
                not kept,
            )
            for target in SECTION
            if target not in ("mimic", "hard")
        ),
    ]
    return [part for part in listed if part.amounts]
