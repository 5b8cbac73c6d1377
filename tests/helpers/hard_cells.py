"""Two cells that need no teachers, with their data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages import augment, prepare
from stages.settings.groups import CellName
from tools.pocket import write_params

CHANGES: dict[str, Any] = {
    "hard.rows": ["conv2", "conv1"],
    "hard.sweep": {"trials": 4, "start": 3, "lag": 3, "engine": "sobol"},
}
FIRST, SECOND = CellName("hard", "conv2", "180k"), CellName("hard", "conv1", "180k")


def make_data(folder: Path, changes: dict[str, Any]) -> None:
    """Parameters, prepared and augmented images in the working folder, which is `folder`."""
    write_params(folder, changes)
    prepare.main()
    augment.main()
