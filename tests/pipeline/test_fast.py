"""Fast teachers and the budget schedule, from the search to the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from stages import assess, augment, draw, ensemble, label, page, prepare, tabulate, teachers
from stages.fit.evaluate import accuracy
from stages.nets.stored import load_net
from stages.nets.teacher import described_teacher
from stages.settings import whole
from stages.settings.inputs import Inputs
from stages.settings.teachers import OF_FAST, OF_IMAGES
from stages.settings.teachers import teachers as section_of
from stages.store.epoch import read_epoch
from stages.store.prepared import read_validation
from stages.store.shards import read_logits
from stages.store.tensors import read_tensors
from stages.transfer.members import load_members
from tests.helpers.pocket import run_cell as cell
from tools.pocket import pocket_params, write_params

CPU = torch.device("cpu")
SPACE = {
    "lr": {"low": 0.02, "high": 0.1, "log": True},
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "init_scale": 1.0,
    **{name: {"low": 0, "high": 1} for name in OF_FAST.widths},
    "DOg": {"low": 0.0, "high": 0.2},
    **dict.fromkeys(OF_FAST.jitter, 0.0),
}
FAST: dict[str, Any] = {
    "teachers.net": "fast",
    "teachers.space": SPACE,
    "teachers.boxes": {"C1": [3, 5], "C2": [4, 6], "C3": [5, 8]},
    "teachers.training": {"batch_size": 16, "max_epochs": 4, "schedule": "budget"},
    "students.training.schedule": "budget",
    "hard.training.schedule": "budget",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the pocket pipeline has run with fast teachers, in this process."""
    folder = tmp_path_factory.mktemp("fast")
    write_params(folder, FAST)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare.main()
        for stage in (teachers, ensemble, augment, label):
            stage.main()
        for name in (
            ("mimic", "mlp2", "60k"),
            ("mimic", "conv1", "60k"),
            ("hard", "conv2", "180k"),
        ):
            cell(*name)
        for stage in (tabulate, assess, draw, page):
            stage.main()
    return folder


def test_every_training_lasts_for_its_budget(finished: Path) -> None:
    for table, epochs in (
        ("teachers", 4),
        ("students/mlp2-60k", 3),
        ("students/conv1-60k", 3),
        ("hard/conv2-180k", 2),
    ):
        trials = pd.read_csv(finished / f"metrics/{table}.csv")
        assert (trials["epochs"] == epochs).all() and (trials["why"] == "end").all(), table


def test_fast_teachers_are_stored_and_label(finished: Path) -> None:
    """A stored net is that of the search: same error, same logits of the transfer set."""
    trials = pd.read_csv(finished / "metrics/teachers.csv").dropna(subset=["validation_error"])
    images, labels, _ = read_validation(finished / "data/prepared")
    classes = torch.from_numpy(labels)

    for _, trial in trials.iterrows():
        path = finished / f"data/teachers/{trial['trial']:03.0f}.safetensors"
        net = load_net(path, described_teacher, CPU)
        assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in net) == 6
        assert int(net.norm_conv6.num_batches_tracked) == 4 * (trial["best_epoch"] + 1)
        assert 1 - accuracy(net, images, classes, 200) == pytest.approx(trial["validation_error"])

    nets = load_members(finished / "data/ensemble", described_teacher, CPU)
    shard = read_epoch(finished / "data/augmented", 0, None)
    stored = read_logits(finished / "data/logits", 0, shard.images_sha256)
    with torch.inference_mode():
        pixels = torch.from_numpy(np.array(shard.images))
        means = np.mean([net.eval()(pixels).numpy() for net in nets], axis=0)
    np.testing.assert_allclose(stored, means, rtol=1e-4, atol=1e-5)


def test_the_report_names_fast_teachers_and_compares_them_with_nothing(finished: Path) -> None:
    table = pd.read_csv(finished / "metrics/table1.csv").set_index("model")
    best = table.loc["Fast teacher CNN 1st"]
    assert "gmp, bn" in best["architecture"] and pd.isna(best["paper_pct"])
    ensemble_row = table.loc["Ensemble of 2 CNNs"]
    assert ensemble_row["architecture"] == "(c-mp-c)³-gmp, bn" and pd.isna(
        ensemble_row["paper_pct"]
    )
    assert "Fast teacher CNN 1st" in (finished / "plots/report.html").read_text()

    weights, _ = read_tensors(finished / "data/ensemble/member-00.safetensors")
    params = json.loads((finished / "metrics/ensemble.json").read_text())["params"]
    assert any(name.startswith("norm_conv") for name in weights) and params > 0


def test_settings_of_fast_teachers_are_their_own() -> None:
    params = pocket_params(FAST)
    whole.check(params)
    assert set(section_of(params, Inputs.images(32)).space) == set(OF_FAST.space)

    with pytest.raises(ValueError, match=r"'teachers.boxes.H1' is missing"):
        whole.check(pocket_params({**FAST, "teachers.net": "paper"}))
    with pytest.raises(ValueError, match=r"unknown key 'teachers.space.DOf1'"):
        whole.check(pocket_params({**FAST, "teachers.space": {**SPACE, "DOf1": 0.1}}))
    with pytest.raises(ValueError, match=r"teachers.net is 'fast', which takes images"):
        section_of(params, Inputs.vectors((40,)))
    assert len(OF_IMAGES.space) == 18


@pytest.mark.parametrize("section", ["teachers", "students", "hard"])
def test_a_budget_without_an_end_is_refused(section: str) -> None:
    bad = {f"{section}.training.schedule": "budget", f"{section}.training.max_epochs": None}
    with pytest.raises(ValueError, match=rf"{section}.training.*say how many; or take schedule"):
        whole.check(pocket_params(bad))
    with pytest.raises(ValueError, match=rf"{section}.training.schedule"):
        whole.check(pocket_params({f"{section}.training.schedule": "cosine"}))
