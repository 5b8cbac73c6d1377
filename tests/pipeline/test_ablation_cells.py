"""Variants trained at pocket size: each sees what the table says."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages import assess, tabulate
from stages.fit.batches import Pair
from stages.fit.evaluate import logits
from stages.nets.teacher import described_teacher
from stages.settings import common, transfer
from stages.settings.groups import CellName
from stages.settings.read import read_params
from stages.store import maps
from stages.store.prepared import read_train
from stages.store.shards import first_members, read_images, read_logits, shard_path
from stages.store.tensors import read_tensors
from stages.transfer import augmented as augment_epochs
from stages.transfer.epochs import EpochsJob
from stages.transfer.members import load_members
from stages.trials.cell import Cell, set_up
from stages.trials.student_data import Fresh, Stored, feed
from tests.helpers.pocket import run_cell as cell
from tests.helpers.pocket import run_to_labels, table
from tools.pocket import write_params

CPU = torch.device("cpu")
ROWS = {
    "decay": {"of": "conv1", "weight_decay": 0.3},
    "mixed": {
        "of": "conv1",
        "loss": {"temperature": 4.0, "hard_weight": 0.5},
        "space": {"lr": 0.01},
    },
    "dropout": {"of": "conv1", "space": {"DOc1": 0.3, "DOf1": {"low": 0.1, "high": 0.7}}},
    "two": {"of": "conv1", "epochs": 2},
    "one": {"of": "conv1", "members": 1},
    "fresh": {"of": "conv1", "fresh": True},
    "plain": {"of": "conv1", "net": "conv1-plain", "boxes": {"60k": [[3, 9]]}},
}
CHANGES = {
    "label.members": [1],
    "ablations.rows": list(ROWS),
    "ablations.budgets": ["60k"],
    "ablation_rows": ROWS,
}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything up to the labels, and the cells of Table 1 and Table 2."""
    folder = tmp_path_factory.mktemp("ablations")
    write_params(folder, CHANGES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_to_labels()
    return folder


@pytest.fixture
def here(labelled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(labelled)
    return labelled


def whole(pieces: Iterable[Pair]) -> Pair:
    """Images and targets of all pieces of an epoch."""
    images, targets = (torch.cat(each) for each in zip(*pieces, strict=True))
    return images, targets


def made(row: str) -> Cell:
    return set_up(CellName("ablation", row, "60k"))[0]


def test_labels_of_the_first_members_are_theirs(here: Path) -> None:
    nets = load_members(here / "data/ensemble", described_teacher, CPU)
    shard = read_images(here / "data/augmented", 1)
    with torch.inference_mode():
        wanted = logits(nets[0], torch.from_numpy(shard[0]["images"]), 200).numpy()
    found = read_logits(first_members(here / "data/logits", 1), 1, shard[1]["images_sha256"])
    np.testing.assert_array_equal(found, wanted)
    stored = Stored(made("one"), CPU)
    np.testing.assert_array_equal(stored.targets(1, stored.shard(1)), wanted)
    both = read_logits(here / "data/logits", 1, shard[1]["images_sha256"])
    assert np.abs(both - wanted).max() > 1e-4, "the ensemble is more than its first member"


def test_a_variant_of_two_epochs_sees_no_third(here: Path) -> None:
    with feed(made("two"), CPU) as epochs:
        first, _, again = (whole(epochs(epoch)) for epoch in range(3))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    third = read_images(here / "data/augmented", 2)[0]["images"]
    assert not np.array_equal(third, again[0].numpy())


def test_distillation_has_logits_and_labels(here: Path) -> None:
    with feed(made("mixed"), CPU) as epochs:
        _, targets = whole(epochs(1))
    shard, header = read_images(here / "data/augmented", 1)
    np.testing.assert_array_equal(targets[:, -1], shard["labels"])
    np.testing.assert_array_equal(
        targets[:, :-1], read_logits(here / "data/logits", 1, header["images_sha256"])
    )


def test_fresh_epochs_are_those_that_augment_would_make_next(here: Path, tmp_path: Path) -> None:
    params, source = read_params(), Fresh(made("fresh"), CPU)
    section = transfer.augment(params)
    job = EpochsJob(
        tmp_path, here / "data/prepared", params["seed"], section, common.images(params), "cpu"
    )
    augment_epochs.make_shards(job, [section.epochs + 1])
    wanted = read_tensors(shard_path(tmp_path, section.epochs + 1))[0]
    shard = source.shard(1)
    np.testing.assert_array_equal(shard.images, wanted["images"])
    np.testing.assert_array_equal(shard.labels, wanted["labels"])
    nets = load_members(here / "data/ensemble", described_teacher, CPU)
    with torch.inference_mode():
        mean = sum(logits(net, torch.from_numpy(shard.images), 200).double() for net in nets) / len(
            nets
        )
    np.testing.assert_array_equal(source.targets(1, shard), mean.float().numpy())
    assert len(read_train(here / "data/prepared")[1]) == len(shard.labels)
    with feed(made("fresh"), CPU) as epochs:
        seen = [whole(epochs(epoch))[0].numpy().tobytes() for epoch in range(6)]
    assert len(set(seen)) == 6, "an epoch came twice"


def test_fresh_epochs_do_not_depend_on_their_parts(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = made("fresh")
    fresh = replace(plain, numerics=replace(plain.numerics, eval_batch=7))
    with feed(fresh, CPU) as epochs:
        wanted = [whole(epochs(epoch)) for epoch in range(3)]

    monkeypatch.setattr(maps, "PART_BYTES", 1)
    with feed(fresh, CPU) as epochs:
        for epoch in (0, 1, 2, 1):
            pieces = list(epochs(epoch))
            assert [len(images) for images, _ in pieces] == [7] * 8 + [4]
            for found, other in zip(whole(pieces), wanted[epoch], strict=True):
                assert torch.equal(found, other)


@pytest.mark.parametrize("row", ROWS)
def test_a_variant_is_trained(here: Path, row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell("ablation", row, "60k")
    lines, base = (table(here / f"metrics/students/{name}-60k.csv") for name in (row, "conv1"))
    assert len(lines) == len(base) == 3 and all(line["test_sha256"] for line in lines)
    own, others = ({line["test_sha256"] for line in part} for part in (lines, base))
    # a trial whose best epoch is the first or second is the same with two stored epochs and with
    # three
    assert own != others if row == "two" else own.isdisjoint(others), "nothing changed"
    if row not in ("plain", "dropout", "mixed"):
        same = ("lr", "momentum", "init_scale", "C1", "C2", "widths")
        assert [[line[k] for k in same] for line in lines] == [
            [line[k] for k in same] for line in base
        ]
    monkeypatch.setattr("stages.trials.training.train", None)
    before = (here / f"metrics/students/{row}-60k.csv").read_bytes()
    cell("ablation", row, "60k")  # a second run trains nothing
    assert (here / f"metrics/students/{row}-60k.csv").read_bytes() == before


def test_tables_of_the_variants(here: Path) -> None:
    for row in ROWS:
        cell("ablation", row, "60k")
    tabulate.main(), assess.main()
    lines = {line["row"]: line for line in table(here / "metrics/ablations.csv")}
    assert list(lines) == list(ROWS)
    for row, line in lines.items():
        accuracy = json.loads((here / f"metrics/students/{row}-60k.json").read_text())[
            "test_accuracy"
        ]
        assert float(line["accuracy_pct"]) == pytest.approx(100 * accuracy, abs=1e-3)
    assert (lines["two"]["measure"], lines["two"]["number"]) == ("transfer epochs", "2")
    assert lines["plain"]["what"] == "no linear bottleneck"
    shown: dict[str, Any] = json.loads((here / "metrics/tables.json").read_text())
    assert set(ROWS) < set(shown), "experiments with ablations are compared too"
    assert not {line["row"] for line in table(here / "metrics/table2.csv")} & set(ROWS), (
        "Table 2 is the paper's"
    )
    targets = [line["target"] for line in table(here / "metrics/fidelity.csv")]
    assert targets.count("ablation") == len(ROWS)
