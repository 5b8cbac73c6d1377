"""What one cell is: its net, its settings and its search, read from params.yaml."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stages.nets.budget import plan
from stages.nets.families import Plan, check_row, control_names, dropout_names
from stages.search.ask_tell import TrialRow, top
from stages.search.space import Space
from stages.settings import common
from stages.settings.budgets import parse_budget
from stages.settings.groups import GROUPS, CellName
from stages.settings.inputs import Inputs
from stages.settings.read import read_params
from stages.settings.students import (
    Matrix,
    RowSettings,
    Variant,
    ablation,
    cell_space,
    matrix,
    teachers_2014,
    variant,
)
from stages.settings.students import row as row_of
from stages.settings.sweeps import split_space
from stages.store.ensemble_manifest import member_name
from stages.store.prepared import PreparedManifest, data_folders
from stages.store.transfer_manifest import TransferManifest
from stages.trials.folder import WEIGHTS

PREPARED = Path("data/prepared")
AUGMENTED = Path("data/augmented")
LOGITS = Path("data/logits")
ENSEMBLE = Path("data/ensemble")
AGAIN = "retrained"


@dataclass(frozen=True)
class Cell:
    """What all trials of one cell share; small, since it travels to every trial's process.

    Attributes:
        work: the cell's work folder.
        name: which cell it is.
        family: of its nets.
        epochs: of the transfer set.
        ensemble: the nets that label while this cell's nets train, if any do.
        keep: how many of its best nets are kept as an ensemble.
    """

    work: Path
    name: CellName
    family: str
    section: Matrix
    row: RowSettings
    variant: Variant
    fixed: dict[str, float]
    numerics: common.Numerics
    execution: common.Execution
    images: common.Images
    seed: int
    epochs: int
    classes: int
    inputs: Inputs
    prepared: Path = PREPARED
    augmented: Path = AUGMENTED
    logits: Path = LOGITS
    ensemble: Path = ENSEMBLE
    keep: int = 0

    @property
    def hard(self) -> bool:
        """Whether the targets are the true labels."""
        return self.name.hard

    @property
    def reads(self) -> list[Path]:
        """Data folders that are read."""
        if self.hard:
            return [*data_folders(self.prepared), self.augmented]

        if self.name.group == "student_2014":
            return [*data_folders(self.prepared), self.augmented, self.ensemble]

        return [
            *data_folders(self.prepared),
            self.augmented,
            *([self.ensemble] if self.variant.fresh else []),
            self.logits,
        ]

    @property
    def tests(self) -> Path:
        """Outputs of the reported nets on the test images."""
        return self.work / "test.safetensors"

    @property
    def labels(self) -> Path:
        """Logits that the trials of this cell compute for each other."""
        root = self.work.parent if self.work.name == AGAIN else self.work
        return root / "labels"

    def curve(self, trial: int) -> str:
        """Under which name the curve of a trial grows, if `execution.log` wants one."""
        again = "-again" if self.work.name == AGAIN else ""
        return f"{self.name.work}/{trial:03d}{again}"

    @property
    def again(self) -> Cell:
        """The same cell for retrained nets, which have folders of their own."""
        return replace(self, work=self.work / AGAIN)

    @property
    def dropouts(self) -> list[str]:
        """Dropout hyperparameters of this cell's net; empty for a mimic net."""
        searched = {**self.section.space, **self.row.space}
        return [name for name in dropout_names(self.family) if name in searched]

    def kept(self, rows: list[TrialRow]) -> dict[int, dict[str, str]]:
        """Files of trials in this cell's outputs: the best net, and the best ones as an ensemble."""
        files: dict[int, dict[str, str]] = {}
        for row in top(rows, 1):
            files.setdefault(row.trial, {})["weights.safetensors"] = WEIGHTS
        for place, row in enumerate(top(rows, self.keep)):
            files.setdefault(row.trial, {})[member_name(place)] = WEIGHTS
        return files

    def plan(self, values: dict[str, Any]) -> Plan:
        """Widths of the net with these hyperparameters (section 6.3)."""
        names = control_names(self.family)
        boxes = self.row.boxes
        ratios = self.row.ratios

        return plan(
            self.family,
            parse_budget(self.name.budget),
            [values[name] for name in names],
            None if boxes is None else boxes[self.name.budget],
            classes=self.classes,
            inputs=self.inputs,
            ratio_min=1.0 if ratios is None else ratios[0],
            multiple=self.section.width_multiple,
        )


def set_up(name: CellName) -> tuple[Cell, dict[str, Any], Space]:
    """The cell with an empty work path, what its result depends on, and its search space.

    Raises:
        ValueError: params.yaml has no such cell, or one that cannot be trained; or a student of
            2014 has no teacher.
    """
    if name.group == "student_2014" and name.teacher is None:
        raise ValueError(
            "student_2014 mimics a cell of teacher_2014: say which with --teacher and "
            "--teacher_budget"
        )

    # The sections of params.yaml.
    params = read_params()
    section = matrix(params, name.group)
    row = row_of(params, name.group, name.row)
    varied = variant(params, name.group, name.row)

    # Refuses rows whose boxes or ratios do not belong to their net.
    family = row.net or name.row
    where = f"params.yaml: {GROUPS[name.group].rows}.{name.row}"
    check_row(where, family, name.budget, row.boxes, row.ratios)

    space = cell_space(section, row, dropout_names(family), control_names(family))
    searched, fixed = split_space(space)

    # What else a trial needs.
    numerics = common.numerics(params)
    execution = common.execution(params)
    images = common.images(params)
    seed = common.seed(params)

    prepared = PreparedManifest.read(PREPARED)
    augmented = TransferManifest.read(AUGMENTED)

    # The cell.
    cell = Cell(
        Path(),
        name,
        family,
        section,
        row,
        varied,
        fixed,
        numerics,
        execution,
        images,
        seed,
        epochs=augmented.epochs,
        classes=len(prepared.classes),
        inputs=prepared.inputs,
    )

    if name.group == "teacher_2014":
        cell = replace(cell, keep=teachers_2014(params).members)

    if name.teacher is not None:
        cell = replace(cell, ensemble=Path("data") / name.teacher.files)

    # Refuses a box that cannot meet its budget.
    cell.plan({control: 1.0 for control in control_names(family)})

    # What its result depends on; an ablation has the stream of its base: the same first points and
    # seeds, so that trials are pairs.
    settings = {
        "seed": seed,
        "cell": [name.group, name.row, name.budget],
        "sweep": section.sweep.of_each,
        "training": asdict(section.training),
        "width_multiple": section.width_multiple,
        "space": {"searched": searched, "fixed": fixed},
        "row": {**asdict(row), "boxes": row.boxes and {name.budget: row.boxes[name.budget]}},
        "numerics": asdict(numerics),
    }

    if name.group == "ablation":
        mirror = {"mirror": images.mirror} if varied.fresh else {}
        settings["stream"] = ["mimic", ablation(params, name.row).of, name.budget]
        settings["variant"] = {**asdict(varied), **mirror}

    return cell, settings, Space.from_params(searched)


def seed_of(settings: dict[str, Any]) -> int:
    """Seed of a cell's search: each cell has its own stream of the root seed, a variant its base's."""
    stream = settings.get("stream", settings["cell"])
    return zlib.crc32("/".join([str(settings["seed"]), *stream]).encode())
