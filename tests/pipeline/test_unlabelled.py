"""Pictures without labels join the transfer set: mimic nets see them, nets on true labels do not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stages import augment, ensemble, label, prepare, teachers
from stages.fit import feed as feed_file
from stages.settings.groups import CellName
from stages.settings.read import read_params
from stages.settings.whole import check
from stages.store import maps
from stages.store.epoch import read_epoch
from stages.store.prepared import read_train, read_transfer
from stages.store.shards import read_logits
from stages.store.transfer_manifest import TransferManifest
from stages.transfer.rebuild import rebuilder
from stages.trials.cell import set_up
from stages.trials.student_data import epoch_images, feed
from tests.helpers.pocket import run_cell
from tools.pocket import write_params

CPU = torch.device("cpu")
AUGMENTED = Path("data/augmented")
PREPARED = Path("data/prepared")
TRAIN, WITHOUT = 60, 25
VARIED = {
    "students.rows": ["mlp2", "conv2"],
    "ablations.rows": ["conv2-labelled"],
    "ablations.budgets": ["60k"],
}


def pictures(folder: Path, count: int, seed: int) -> None:
    """Random pictures of two classes in turn."""
    rng = np.random.default_rng(seed)
    for place in range(count):
        file = folder / "ab"[place % 2] / f"{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with labelled and other pictures, and params for them."""
    pictures(tmp_path / "raw", 200, 0)
    pictures(tmp_path / "more", WITHOUT, 1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def params(folder: Path, **changes: Any) -> dict[str, Any]:
    """Written to the folder, and read."""
    data = {
        "prepare.source": "image-folder",
        "prepare.path": "raw",
        "prepare.unlabelled": "more",
        "prepare.size_px": 8,
        "images.crop_min_px": 6,
        "students.rows": ["mlp2"],
        "hard.rows": ["conv2"],
        "ablations.rows": [],
    }
    write_params(folder, {**data, **changes})
    return read_params(folder / "params.yaml")


def seen(name: CellName) -> tuple[np.ndarray, np.ndarray]:
    """Images and targets of the first epoch of a cell."""
    cell = set_up(name)[0]
    with feed(cell, torch.device("cpu")) as data:
        pieces = [(images.numpy(), targets.numpy()) for images, targets in data(0)]
    images, targets = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    assert len(images) == epoch_images(cell), "by which a budget's rate falls"
    return images, targets


@pytest.mark.parametrize("store", ["images", "draws"])
def test_mimic_nets_alone_see_them(here: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    params(here, **{"augment.store": store}, **VARIED)
    for stage in (prepare, teachers, ensemble, augment, label):
        stage.main()

    originals, labels = read_transfer(PREPARED)
    assert len(originals) == TRAIN + WITHOUT and (labels[TRAIN:] == -1).all()
    np.testing.assert_array_equal(originals[:TRAIN], read_train(PREPARED)[0])
    assert TransferManifest.read(AUGMENTED).images == TRAIN + WITHOUT

    # An epoch has all of them, those without a label marked.
    rebuild = rebuilder(PREPARED, AUGMENTED, torch.device("cpu"))
    shard = read_epoch(AUGMENTED, 0, rebuild)
    assert (shard.labels == -1).sum() == WITHOUT
    kept = shard.labels >= 0
    answers = read_logits(Path("data/logits"), 0, shard.images_sha256)

    images, targets = seen(CellName("mimic", "mlp2", "60k"))
    np.testing.assert_array_equal(images, shard.images)
    np.testing.assert_array_equal(targets, answers)

    images, targets = seen(CellName("hard", "conv2", "180k"))
    np.testing.assert_array_equal(images, np.asarray(shard.images)[kept])
    np.testing.assert_array_equal(targets, shard.labels[kept])

    images, targets = seen(CellName("ablation", "conv2-labelled", "60k"))
    np.testing.assert_array_equal(images, np.asarray(shard.images)[kept])
    np.testing.assert_array_equal(targets, answers[kept])

    for cell in (("mimic", "mlp2", "60k"), ("hard", "conv2", "180k")):
        run_cell(*cell)

    # In pieces, as if there were many: the same nets.
    trained = {path: path.read_bytes() for path in Path("data").glob("*/*-*k/*.safetensors")}
    monkeypatch.setattr(maps, "PART_BYTES", 7 * 8 * 8 * 3)
    monkeypatch.setattr(feed_file, "CPU_RESIDENT_BYTES", 0)
    cell = set_up(CellName("hard", "conv2", "180k"))[0]
    with feed(replace(cell, numerics=replace(cell.numerics, eval_batch=5)), CPU) as data:
        pieces = list(data(0))
    assert len(pieces) > 5 and max(len(images) for images, _ in pieces) <= 7
    np.testing.assert_array_equal(
        np.concatenate([piece.numpy() for piece, _ in pieces]), np.asarray(shard.images)[kept]
    )
    shutil.rmtree("work")
    run_cell("hard", "conv2", "180k")
    assert {path: path.read_bytes() for path in trained} == trained


def test_without_them_the_bytes_are_those_of_before(here: Path) -> None:
    """No header, file or manifest mentions what is not there."""
    params(here, **{"prepare.unlabelled": None})
    for stage in (prepare, augment):
        stage.main()
    assert not list(Path("data").rglob("transfer*"))
    assert b"labelled" not in (AUGMENTED / "epoch-000.safetensors").read_bytes()
    assert read_transfer(PREPARED)[1].min() == 0


def test_variants_that_cannot_be_are_refused(here: Path) -> None:
    """True labels of images without, and leaving out what is not there."""
    lists = {
        "students.rows": ["conv2"],
        "ablations.rows": ["conv2-labelled"],
        "ablations.budgets": ["60k"],
    }
    with pytest.raises(ValueError, match=r"conv2-labelled.unlabelled is false: .* is null"):
        check(params(here, **{"prepare.unlabelled": None}, **lists))
    lists["ablations.rows"] = ["conv2-distillation"]
    with pytest.raises(ValueError, match="conv2-distillation.loss needs true labels"):
        check(params(here, **lists))
