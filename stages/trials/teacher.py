"""What all trials of the teachers' search share; without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.settings import common
from stages.settings.inputs import Inputs
from stages.settings.teachers import Names, Teachers, names_of, teachers


@dataclass(frozen=True)
class TeacherJob:
    """What all trials of the teachers' search share; small, since it travels to every process.

    Attributes:
        work: the stage's work folder.
        prepared: the prepared data.
        section: of params.yaml.
        fixed: hyperparameters that are not searched.
        inputs: what the nets see.
    """

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
        return names_of(self.inputs, self.section.net)


def settings_of(params: dict[str, Any], inputs: Inputs) -> dict[str, Any]:
    """All that the results depend on.

    Raises:
        ValueError: a value is not allowed.
    """
    section = teachers(params, inputs)
    return {
        "seed": common.seed(params),
        "section": {**asdict(section), "sweep": section.sweep.of_each},
        "numerics": asdict(common.numerics(params)),
        "images": asdict(common.images(params)),
    }
