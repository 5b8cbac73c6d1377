"""Teachers are built as their section says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.settings import common, teachers
from stages.settings.inputs import Inputs
from stages.store.manifest import write_manifest
from stages.store.prepared import write_split
from stages.trials import teacher_trial as teachers_trial
from stages.trials.teacher import TeacherJob
from tests.helpers.params import changed


class Built(Exception):
    """Ends a trial where its net would be built."""


def test_teachers_are_built_with_their_sections_multiple(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = changed("teachers/width_multiple", 8)
    for split in ("train", "validation"):
        pixels, labels = np.zeros((2, 32, 32, 3), np.uint8), np.zeros(2, np.uint8)
        write_split(tmp_path, split, pixels, labels, {"classes": ["a", "b"]})
    images = {"train": 2, "validation": 2}
    facts = {"classes": ["a", "b"], "source": "npz", "size_px": 32, "images": images}
    write_manifest(tmp_path, facts)

    def build(description: dict[str, Any]) -> None:
        raise Built(description["widths"])

    monkeypatch.setattr(teachers_trial, "described_teacher", build)
    section, images = teachers.teachers(params), common.images(params)
    numerics, execution = common.numerics(params), common.execution(params)
    inputs = Inputs.images(32)
    job = TeacherJob(tmp_path, tmp_path, section, {}, numerics, execution, images, inputs)
    values = dict.fromkeys(section.space, 0.1) | {"C1": 1.0, "C2": 0.0, "C3": 0.5}
    with pytest.raises(Built) as caught:
        teachers_trial.train_teacher(job, 0, values, 1)
    assert caught.value.args[0] == [16, 16, 32]  # 18, 20 (half to even) and 32
