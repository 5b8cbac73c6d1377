"""assess: what it refuses, and the stage that it names then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages import assess
from stages.settings.groups import CellName
from stages.store.predictions import read_test_logits, write_test_logits
from stages.store.prepared import read_test, write_split
from tests.helpers.page_run import make


@pytest.mark.parametrize("group", ["mimic", "hard", "ablation"])
def test_outputs_of_another_run_are_refused_with_their_own_stage(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ablation's files are beside the students', and the stage ablations makes them."""
    name = CellName(group, "conv2-dropout" if group == "ablation" else "conv2", "180k")
    folder = make(tmp_path, ["a", "b"], (8,), tests=20, again=0)
    monkeypatch.chdir(folder)
    path = Path("data") / name.files / "test.safetensors"
    nets = read_test_logits(path)
    write_test_logits(path, {"trials": {trial: -net for trial, net in nets["trials"].items()}})
    with pytest.raises(ValueError) as caught:
        assess.main()
    stage = {"mimic": "students", "hard": "hard", "ablation": "ablations"}[group]
    message = str(caught.value)
    assert message.startswith(f"{path} does not match metrics/{name.files}.csv: take both from")
    assert f"'dvc repro --force {stage}@{name.row}-180k'" in message


def test_outputs_of_other_images_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are those of the table, and data/prepared has other test images."""
    folder = make(tmp_path, ["a", "b"], (8,), tests=20, again=0)
    monkeypatch.chdir(folder)
    out = Path("data/prepared")
    images, labels, header = read_test(out)
    write_split(out, "test", images[:19], labels[:19].astype(np.uint8), header)

    with pytest.raises(ValueError) as caught:
        assess.main()
    message = str(caught.value)
    assert "has outputs for 20 images, and data/prepared has 19 test images" in message
    assert "'dvc repro --force students@" in message
