"""What one cell of students is: its net, its settings and its search; the part of that door that
reads params.yaml.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stages.nets.budget import plan
from stages.nets.families import Plan, check_row, control_names, dropout_names
from stages.search.space import Space
from stages.settings import common
from stages.settings.budgets import parse_budget
from stages.settings.groups import FOLDER, ROWS, SECTION, Target
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
from stages.store.prepared import PreparedManifest
from stages.store.transfer_manifest import TransferManifest

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
        target, name, budget: which cell it is.
        family: of its nets.
        epochs: of the transfer set.
        ensemble: the nets that label while this cell's nets train, if any do.
        keep: how many of its best nets are kept as an ensemble.
    """

    work: Path
    target: Target
    name: str
    budget: str
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
    def key(self) -> str:
        """Name of the cell's files."""
        return f"{self.name}-{self.budget}"

    @property
    def stage(self) -> str:
        """Name of the stage."""
        return SECTION[self.target]

    @property
    def folder(self) -> str:
        """Where the cell's files are, under data/ and metrics/."""
        return FOLDER[self.target]

    @property
    def hard(self) -> bool:
        """Whether the targets are the true labels."""
        return self.target in ("hard", "teacher_2014")

    @property
    def reads(self) -> list[Path]:
        """Data folders that are read."""
        if self.hard:
            return [self.prepared, self.augmented]
        if self.target == "student_2014":
            return [self.prepared, self.augmented, self.ensemble]
        return [
            self.prepared,
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
        return f"{self.stage}/{self.key}/{trial:03d}{again}"

    @property
    def again(self) -> Cell:
        """The same cell for retrained nets, which have folders of their own."""
        return replace(self, work=self.work / AGAIN)

    @property
    def dropouts(self) -> list[str]:
        """Dropout hyperparameters of this cell's net; empty for a mimic net."""
        searched = {**self.section.space, **self.row.space}
        return [name for name in dropout_names(self.family) if name in searched]

    def plan(self, values: dict[str, Any]) -> Plan:
        """Widths of the net with these hyperparameters (section 6.3)."""
        names = control_names(self.family)
        boxes, ratios = self.row.boxes, self.row.ratios
        return plan(
            self.family,
            parse_budget(self.budget),
            [values[name] for name in names],
            None if boxes is None else boxes[self.budget],
            classes=self.classes,
            inputs=self.inputs,
            ratio_min=1.0 if ratios is None else ratios[0],
            multiple=self.section.width_multiple,
        )


def set_up(
    target: Target,
    row: str,
    budget: str,
    teacher: str | None = None,
    teacher_budget: str | None = None,
) -> tuple[Cell, dict[str, Any], Space]:
    """The cell with an empty work path, what its result depends on, and its search space.

    Args:
        teacher, teacher_budget: the cell of `teachers_2014` that a student of 2014 mimics.
    """
    params = read_params()
    section, entry, other = (
        matrix(params, target),
        row_of(params, target, row),
        variant(params, target, row),
    )
    family = entry.net or row
    check_row(f"params.yaml: {ROWS[target]}.{row}", family, budget, entry.boxes, entry.ratios)
    searched, fixed = split_space(
        cell_space(section, entry, dropout_names(family), control_names(family))
    )
    numerics, execution, images = (
        common.numerics(params),
        common.execution(params),
        common.images(params),
    )
    seed = common.seed(params)
    prepared = PreparedManifest.read(PREPARED)
    augmented = TransferManifest.read(AUGMENTED)
    cell = Cell(
        Path(),
        target,
        row,
        budget,
        family,
        section,
        entry,
        other,
        fixed,
        numerics,
        execution,
        images,
        seed,
        epochs=augmented.epochs,
        classes=len(prepared.classes),
        inputs=prepared.inputs,
    )
    if target == "teacher_2014":
        cell = replace(cell, keep=teachers_2014(params).members)
    if target == "student_2014":
        cell = replace(
            cell, ensemble=Path("data") / FOLDER["teacher_2014"] / f"{teacher}-{teacher_budget}"
        )
    cell.plan(
        {name: 1.0 for name in control_names(family)}
    )  # refuses a box that cannot meet its budget
    settings = {
        "seed": seed,
        "cell": [target, row, budget],
        "sweep": asdict(section.sweep),
        "training": asdict(section.training),
        "width_multiple": section.width_multiple,
        "space": {"searched": searched, "fixed": fixed},
        "row": asdict(entry),
        "numerics": asdict(numerics),
    }
    if (
        target == "ablation"
    ):  # the stream of its base: the same first points and seeds, so that trials are pairs
        settings["stream"] = ["mimic", ablation(params, row).of, budget]
        settings["variant"] = {
            **asdict(other),
            **({"mirror": images.mirror} if other.fresh else {}),
        }
    return cell, settings, Space.from_params(searched)


def seed_of(settings: dict[str, Any]) -> int:
    """Seed of a cell's search: each cell has its own stream of the root seed, a variant that of its
    base.
    """
    return zlib.crc32(
        "/".join([str(settings["seed"]), *settings.get("stream", settings["cell"])]).encode()
    )
