"""Groups of cells, and the one spelling of a cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["mimic", "hard", "ablation", "teacher_2014", "student_2014"]


@dataclass(frozen=True)
class GroupFacts:
    """What the cells of a group have in common.

    Attributes:
        section: section of params.yaml that lists their rows and budgets, and name of their stage.
        rows: section of params.yaml with the settings of their rows.
        folder: where their files lie under data/ and metrics/, beside the cells that they are
            compared with.
        base: the group whose search and training they share; None for a group with its own.
        hard: whether they are trained on the true labels.
    """

    section: str
    rows: str
    folder: str
    base: Group | None = None
    hard: bool = False


GROUPS: dict[Group, GroupFacts] = {
    "mimic": GroupFacts("students", "rows", "students"),
    "hard": GroupFacts("hard", "hard_rows", "hard", hard=True),
    "ablation": GroupFacts("ablations", "ablation_rows", "students", base="mimic"),
    "teacher_2014": GroupFacts("teachers_2014", "hard_rows", "hard", base="hard", hard=True),
    "student_2014": GroupFacts("students_2014", "rows", "students", base="mimic"),
}


@dataclass(frozen=True)
class CellName:
    """One cell of the experiment: a group's row at one budget. Knows how everybody spells it.

    Attributes:
        group: what its nets are trained on, and with which settings.
        row, budget: as in params.yaml.
        teacher: the cell of `teacher_2014` whose ensemble a cell of `student_2014` mimics.

    >>> cell = CellName("ablation", "no-decay", "60k")
    >>> cell.dvc, cell.work, cell.files
    ('ablations@no-decay-60k', 'ablations/no-decay-60k', 'students/no-decay-60k')
    >>> cell.title, cell.words
    ('ablations no-decay-60k', 'ablation no-decay 60k')
    >>> CellName("student_2014", "snn", "1M", CellName("teacher_2014", "cnn", "3M")).dvc
    'students_2014@snn-1M-cnn-3M'
    """

    group: Group
    row: str
    budget: str
    teacher: CellName | None = None

    @property
    def stage(self) -> str:
        """Its stage in dvc.yaml, which is also the section of params.yaml that lists it."""
        return GROUPS[self.group].section

    @property
    def hard(self) -> bool:
        """Whether its nets are trained on the true labels."""
        return GROUPS[self.group].hard

    @property
    def key(self) -> str:
        """Name among the cells of its stage."""
        return f"{self.row}-{self.budget}"

    @property
    def dvc(self) -> str:
        """As DVC and dvc.lock call it."""
        return f"{self.recorded}-{self.teacher.key}" if self.teacher else self.recorded

    @property
    def recorded(self) -> str:
        """As metrics/environment.json calls it: as DVC does, but without the teacher."""
        return f"{self.stage}@{self.key}"

    @property
    def work(self) -> str:
        """Name of its folder under work/ and live/."""
        return f"{self.stage}/{self.key}"

    @property
    def files(self) -> str:
        """Name of its folder under data/, and of its files under metrics/ without their ends."""
        return f"{GROUPS[self.group].folder}/{self.key}"

    @property
    def title(self) -> str:
        """Its stage and key, as tables and progress bars on the terminal show it."""
        return f"{self.stage} {self.key}"

    @property
    def words(self) -> str:
        """Its group, row and budget, as tables and figures of the report show it."""
        return f"{self.group} {self.row} {self.budget}"

    @classmethod
    def from_files(cls, files: str) -> CellName:
        """The mimic or hard cell at "students/conv2-180k" and the like.

        Raises:
            ValueError: no cell can lie there.
        """
        folder, _, key = files.partition("/")
        row, _, budget = key.rpartition("-")  # no budget has a hyphen
        for group, facts in GROUPS.items():
            if facts.folder == folder and facts.base is None and row and budget:
                return cls(group, row, budget)
        raise ValueError(
            f"{files!r} is not a cell: allowed are students/ROW-BUDGET, hard/ROW-BUDGET"
        )
