"""What the report page is made from, and what its sections give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from stages.report.cells import CellResult, families
from stages.report.page import summary
from stages.settings.groups import CellName

TEACHERS = "teachers"
"""Name of the teachers' search, as a cell's words are that of its own."""


@dataclass(frozen=True)
class PagePart:
    """One section, or all of them together.

    Attributes:
        values: of the templates.
        charts: by id, each a list of variants.
    """

    values: dict[str, Any]
    charts: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class PageSettings:
    """What params.yaml says.

    Attributes:
        data, scale: names of the data set and of the scale.
        comparable: whether the data are the paper's.
        members: of the ensemble.
        epochs: of the transfer set.
        training: examples of the training split.
        samples: rows of the picture of augmented images.
        sections: those of params.yaml that are shown.
    """

    data: str
    scale: str
    comparable: bool
    members: int
    epochs: int
    training: int
    samples: int
    sections: Mapping[str, Any]


@dataclass(frozen=True)
class PageExamples:
    """Test images or vectors, with what two nets say of them, and training examples.

    Attributes:
        inputs: uint8 (n, s, s, 3) images or float32 (n, ...) vectors.
        labels: int64 (n,).
        classes: names.
        ensemble, student: logits (n, classes) of the ensemble and of the best mimic net.
        originals, views: of training examples, see `images.samples`.
        of_classes: label -> a few training examples of it, of the first classes.
    """

    inputs: np.ndarray
    labels: np.ndarray
    classes: list[str]
    ensemble: np.ndarray
    student: np.ndarray
    originals: np.ndarray
    views: np.ndarray
    of_classes: Mapping[int, np.ndarray]

    @property
    def vectors(self) -> bool:
        """Whether they are vectors."""
        return self.inputs.dtype == np.float32


@dataclass(frozen=True)
class PageData:
    """Everything that the page shows.

    Attributes:
        settings: what params.yaml says.
        teachers: their search; None where there was none.
        cells: all cells.
        logs: name of a search -> hyperparameters that it draws on a log scale.
        accuracy: of the ensemble on the test images, a fraction.
        tables: of metrics/, by name.
        claims, environment: what these files say.
        look: what metrics/data.json says of the data.
        examples: what data/ holds.
        extra: metrics/extra.csv; empty where there are no further test sets.
        origin: where members of the ensemble are from that no search has made, in words; or empty.
    """

    settings: PageSettings
    teachers: CellResult | None
    cells: Mapping[CellName, CellResult]
    logs: Mapping[str, set[str]]
    accuracy: float
    tables: Mapping[str, pd.DataFrame]
    claims: Mapping[str, Any]
    environment: list[dict[str, Any]]
    look: Mapping[str, Any]
    examples: PageExamples
    extra: pd.DataFrame = field(default_factory=pd.DataFrame)
    origin: str = ""

    @property
    def mimic(self) -> list[CellResult]:
        """The mimic cells."""
        return [cell for name, cell in self.cells.items() if name.group == "mimic"]

    @property
    def searches(self) -> dict[str, CellResult]:
        """Every search by its name: the teachers', then those of all cells."""
        teachers = {} if self.teachers is None else {TEACHERS: self.teachers}
        return {**teachers, **{name.words: cell for name, cell in self.cells.items()}}

    @property
    def best(self) -> CellName:
        """The mimic cell of lowest validation error."""
        cell = summary.best(self.mimic)
        return CellName("mimic", cell.row, cell.budget)

    @property
    def families(self) -> dict[str, str]:
        """Row -> the family of its nets, of mimic nets and of nets on hard labels."""
        return families(
            cell for name, cell in self.cells.items() if name.group in ("mimic", "hard")
        )

    @property
    def current(self) -> list[str]:
        """This run's stages, as metrics/environment.json names them."""
        teachers = [] if self.teachers is None else ["teachers"]
        return [*teachers, "label", *(name.recorded for name in self.cells)]
