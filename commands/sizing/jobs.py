"""What a params.yaml asks for: operations of every net, bytes of the transfer set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from commands.sizing.cost import UNBOUNDED_EPOCHS, Part, Work, transfer_bytes
from stages.images.sources.labelled import CLASSES
from stages.nets.budget import forward_macs, plan
from stages.nets.families import FAMILIES, check_row
from stages.nets.teacher_layers import teacher_macs, teacher_params, teacher_widths
from stages.runtime.engines import slots_of
from stages.settings import common, prepare, transfer
from stages.settings.budgets import parse_budget
from stages.settings.groups import GROUPS, CellName
from stages.settings.students import cells, matrix, row, variant
from stages.settings.teachers import names_of, teachers
from stages.store.prepared import PreparedManifest, unlabelled_count

PREPARED = Path("data/prepared")
ASSUMED = 10
"""Classes of files that nobody has opened yet."""
PAPER_TRAIN, PAPER_VALIDATION = 40_000, 10_000
"""Images, where nobody has counted them yet."""
UNLABELLED = {"stl10": 100_000}
"""Images without labels that a source has itself."""
OF_ONE_VIEW = 32**2
"""Pixels of the images for which benchmarks.rates measures views."""

Kind = Literal["images", "logits"]


@dataclass(frozen=True)
class CostLine:
    """A line of the estimate: nets of one stage, and what they do with the transfer set.

    Attributes:
        name: as it is printed.
        stage: which computes them.
        work: which of its nets; how their kinds of work begin, "" if there are none.
        images: how many pass: those of all nets together, or the transfer set once.
        augments: whether they are augmented: always, or only where their draws are stored.
        reads, writes: of each image in the transfer set.
    """

    name: str
    stage: str
    work: str = ""
    images: Literal["of nets", "once"] = "of nets"
    augments: Literal["always", "from draws"] = "from draws"
    reads: tuple[Kind, ...] = ()
    writes: tuple[Kind, ...] = ()


LINES = (
    CostLine("teachers", "teachers", "train", augments="always"),
    CostLine("augment", "augment", images="once", augments="always", writes=("images",)),
    CostLine("label", "label", "label", images="once", reads=("images",), writes=("logits",)),
    CostLine("students conv", "students", "train conv", reads=("images", "logits")),
    CostLine("students mlp", "students", "train mlp", reads=("images", "logits")),
    CostLine("hard", "hard", "train", reads=("images",)),
    CostLine("ablations", "ablations", "train", reads=("images", "logits")),
    CostLine("teachers_2014", "teachers_2014", "train", reads=("images",)),
    CostLine("students_2014", "students_2014", "train", reads=("images", "logits")),
)
"""Everything that takes long, in the order in which it runs; a further stage is one more entry."""


@dataclass(frozen=True)
class Counts:
    """Images that nets see.

    Attributes:
        train, validation, unlabelled: of these parts.
        origin: where the numbers are from, in words; "" where params.yaml has them.
    """

    train: int
    validation: int
    unlabelled: int
    origin: str = ""

    def of_cell(self, params: dict[str, Any], name: CellName) -> int:
        """Images of an epoch of a cell: nets on true labels do not see those without."""
        seen = not GROUPS[name.group].hard and variant(params, name.group, name.row).unlabelled
        return self.train + (self.unlabelled if seen else 0)


def counts_of(params: dict[str, Any]) -> Counts:
    """Numbers of images: of params.yaml, of data/prepared if made from it, or the paper's."""
    data = prepare.prepare(params)
    train, validation = data.train, data.validation
    more = UNLABELLED.get(data.source, 0) if isinstance(data.unlabelled, str) else data.unlabelled
    if train is not None and validation is not None and (more or data.unlabelled is None):
        return Counts(train, validation, more or 0)

    manifest = made_from(data)
    if manifest is not None:
        images = manifest.images
        more = unlabelled_count(PREPARED)
        return Counts(images["train"], images["validation"], more, f"those of {PREPARED}")

    return Counts(
        train or PAPER_TRAIN,
        validation or PAPER_VALIDATION,
        more or 0,
        f"assumed where params.yaml has null or a folder, since {PREPARED} is not made from this "
        f"{data.source}",
    )


def made_from(data: prepare.Prepare) -> PreparedManifest | None:
    """The manifest of data/prepared, if that is made from this source."""
    if not (PREPARED / "manifest.json").is_file():
        return None

    manifest = PreparedManifest.read(PREPARED)
    same = manifest.source == data.source and manifest.inputs == data.inputs
    return manifest if same else None


def classes_of(params: dict[str, Any]) -> tuple[int, str]:
    """Number of classes, and its origin: the source, data/prepared if made from it, or assumed."""
    data = prepare.prepare(params)
    if data.source in CLASSES:
        return CLASSES[data.source], f"those of {data.source}"

    manifest = made_from(data)
    if manifest is not None:
        return len(manifest.classes), f"those of {PREPARED}"

    return ASSUMED, (
        f"assumed, since {PREPARED} is not made from this {data.source}: "
        "say how many with --classes"
    )


def jobs(params: dict[str, Any], classes: int | None = None) -> tuple[list[Work], int]:
    """What is to be computed at mid-box widths, and the bytes of the transfer set.

    Args:
        classes: None: those of `classes_of`.
    """
    classes = classes or classes_of(params)[0]
    data = prepare.prepare(params)
    counts = counts_of(params)
    augmented = transfer.augment(params)
    labelled = augmented.epochs * (counts.train + counts.unlabelled)

    # The teacher of middle widths.
    section = teachers(params, data.inputs)
    boxes = section.boxes
    middle = dict.fromkeys(boxes, 0.5)
    names = names_of(data.inputs, section.net).widths
    widths = teacher_widths(middle, boxes, multiple=section.width_multiple, names=names)
    macs = teacher_macs(widths, classes, data.inputs, section.net)
    size = teacher_params(widths, classes, data.inputs, section.net)

    # The sweep of the teachers, and the labels by those of the ensemble; what nets of files cost
    # nobody knows before they run.
    epochs = section.training.max_epochs or UNBOUNDED_EPOCHS
    trials = section.sweep.trials
    validated = epochs * counts.validation
    ensemble = transfer.ensemble(params)
    works = []
    if ensemble.searched:
        works = [
            Work("teachers", macs, size, epochs * counts.train, trials, validated=validated),
            Work("label", macs, size, labelled, ensemble.members, "label"),
        ]

    works += cell_jobs(params, data, classes)
    return works, labelled * transfer_bytes(kept_bytes(data, augmented), classes)


def kept_bytes(data: prepare.Prepare, section: transfer.Augment) -> int:
    """Bytes of one image or vector in the transfer set; 0 where only its draws are stored."""
    return data.inputs.bytes if section.store == "images" else 0


def cell_jobs(params: dict[str, Any], data: prepare.Prepare, classes: int) -> Iterator[Work]:
    """One job for each cell."""
    counts = counts_of(params)
    for name in cells(params):
        # Its row.
        section = matrix(params, name.group)
        entry = row(params, name.group, name.row)
        family = entry.net or name.row
        where = f"params.yaml: {GROUPS[name.group].rows}.{name.row}"
        check_row(where, family, name.budget, entry.boxes, entry.ratios)

        # Its net, at the middle of all boxes.
        net = plan(
            family,
            parse_budget(name.budget),
            [0.5] * FAMILIES[family].controls,
            None if entry.boxes is None else entry.boxes[name.budget],
            classes=classes,
            inputs=data.inputs,
            multiple=section.width_multiple,
        )

        epochs = section.training.max_epochs or UNBOUNDED_EPOCHS
        yield Work(
            f"{name.stage} {name.row} {name.budget}",
            forward_macs(net),
            net.params,
            epochs * counts.of_cell(params, name),
            section.sweep.trials + section.final_seeds,
            "train conv" if FAMILIES[family].layout else "train mlp",
            epochs * counts.validation,
            name,
        )


def parts(params: dict[str, Any], works: list[Work], classes: int | None = None) -> list[Part]:
    """The jobs of `jobs` by LINES, with the views they need, and bytes read and written.

    Every epoch of a trial is read, or made again where only draws are stored: a trial that keeps
    its epochs in memory and has more of them than are stored costs less. A view of a larger image
    counts as so many of 32 px as it has pixels: with 64 px one took as long as 4.3 with jitter and
    6.1 without (one core of an AMD EPYC).
    """
    data = prepare.prepare(params)
    section = transfer.augment(params)
    execution = common.execution(params)
    counts = counts_of(params)
    stored = section.epochs * (counts.train + counts.unlabelled)
    pixels = (data.inputs.size_px or 0) ** 2

    # Bytes of one image in the transfer set.
    sizes: dict[Kind, int] = {
        "images": transfer_bytes(kept_bytes(data, section), 0),
        "logits": 4 * (classes or classes_of(params)[0]),
    }

    # Trials at a time, of the stages that are sweeps.
    lags = {"teachers": teachers(params, data.inputs).sweep.lag}
    lags |= {facts.section: matrix(params, group).sweep.lag for group, facts in GROUPS.items()}

    def part(line: CostLine) -> Part:
        nets = tuple(
            work
            for work in works
            if line.work and work.stage == line.stage and work.work.startswith(line.work)
        )
        images = stored if line.images == "once" else sum(net.images * net.count for net in nets)

        augmented = line.augments == "always" or section.store == "draws"
        slots = execution.slots
        if line.stage in lags:
            slots = min(slots_of(execution), lags[line.stage])

        return Part(
            line.name,
            nets,
            round(images * pixels / OF_ONE_VIEW) if augmented else 0,
            images * sum(sizes[kind] for kind in line.reads),
            images * sum(sizes[kind] for kind in line.writes),
            slots,
        )

    return [each for each in map(part, LINES) if each.amounts]
