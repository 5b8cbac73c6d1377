"""What all trials of the teachers' search share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stages.settings import common
from stages.settings.inputs import Inputs
from stages.settings.teachers import Names, Teachers, names_of


@dataclass(frozen=True)
class TeacherJob:
    """What all trials of the sweep share; small, since it travels to every trial's process."""

    work: Path
    prepared: Path
    section: Teachers
    fixed: dict[str, float]
    numerics: common.Numerics
    execution: common.Execution
    images: common.Images
    inputs: Inputs

    @property
    def names(self) -> Names:
        """Hyperparameters of this teacher."""
        return names_of(self.inputs)
