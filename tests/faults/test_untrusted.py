"""Files from elsewhere run no code and name no command: pickles, YAML tags, names in params.yaml.

Every payload makes a marker file if anything runs it; `test_the_payloads_work` shows that they
would.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.fit.checkpoint import Checkpoint
from stages.images.pictures import PictureRule
from stages.images.sources import archives
from stages.images.sources.folder import image_folder
from stages.images.sources.house_numbers import house_numbers
from stages.images.sources.idx import idx
from stages.images.sources.images_npz import images_npz
from stages.images.sources.parquet import parquet
from stages.images.sources.speech import speech
from stages.images.sources.stl10 import stl10
from stages.images.sources.vectors import vectors
from stages.images.sources.webdataset import webdataset
from stages.report.cells import read_sweep
from stages.search.journal import Journal
from stages.settings import whole
from stages.settings.read import read_params
from stages.store.atomic import read_json
from stages.store.manifest import read_manifest
from stages.store.prepared import read_test, read_train, read_validation
from stages.store.shards import read_images, read_logits
from stages.store.tensors import read_header, read_tensors
from stages.store.weights import load_weights
from stages.trials.folder import TrialFolder
from tests.faults.file_readers import small_cifar, write_parquet
from tests.helpers.pocket import copy_of_the_repository, dvc
from tools.pocket import pocket_params, write_params


class Payload:
    """Unpickled, it makes the file `marker`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mknod, (str(self.marker),)


def pickles(marker: Path) -> dict[str, bytes]:
    """The payload as everything that reads pickles would take it."""
    saved, array = io.BytesIO(), io.BytesIO()
    torch.save({"weight": Payload(marker)}, saved)
    np.save(array, np.array([Payload(marker)], dtype=object), allow_pickle=True)
    text, binary = (pickle.dumps(Payload(marker), protocol) for protocol in (0, 4))
    return {"text": text, "binary": binary, "torch": saved.getvalue(), "numpy": array.getvalue()}


KINDS = ("text", "binary", "torch", "numpy")


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A file that must not be there at the end."""
    yield tmp_path / "marker"
    assert not (tmp_path / "marker").exists(), "code of the file was run"


def test_the_payloads_work(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    loads: dict[str, Callable[[bytes], Any]] = {
        "text": pickle.loads,
        "binary": pickle.loads,
        "torch": lambda data: torch.load(io.BytesIO(data), weights_only=False),
        "numpy": lambda data: np.load(io.BytesIO(data), allow_pickle=True),
    }
    for kind, data in pickles(marker).items():
        loads[kind](data)
        assert marker.exists()
        marker.unlink()


# -------------------------------------------------------------------------- a pickle in each place


def _read_source(name: str) -> Callable[[Path], Any]:
    return {
        "image-folder": lambda root: image_folder(root, PictureRule(8)),
        "parquet": parquet,
        "cifar10": lambda root: archives.cifar10(root, download=False),
        "cifar100": lambda root: archives.cifar100(root, download=False),
        "svhn": lambda root: archives.svhn(root, download=False),
        "stl10": lambda root: stl10(root, PictureRule(8, "crop"), download=False),
        "idx": lambda root: idx(root, PictureRule(8, "crop")),
        "images npz": lambda root: images_npz(root, PictureRule(8, "crop")),
        "npz": lambda root: vectors(root, (2,)),
        "HTK": lambda root: speech(root, (2,)),
        "house numbers": lambda root: house_numbers(root, PictureRule(8, "crop")),
        "webdataset": lambda root: webdataset(root, PictureRule(8, "crop")),
    }[name]


PLACES: dict[str, Callable[[Path], Any]] = {
    "weights.safetensors": lambda root: load_weights(root / "weights.safetensors"),
    "header.safetensors": lambda root: read_header(root / "header.safetensors"),
    "augmented.safetensors": lambda root: read_tensors(root / "augmented.safetensors"),
    "epoch-000.safetensors": lambda root: read_images(root, 0),
    "epoch-001.safetensors": lambda root: read_logits(root, 1, "ab"),
    "train.safetensors": read_train,
    "validation.safetensors": read_validation,
    "test.safetensors": read_test,
    "journal.jsonl": lambda root: Journal.open(root / "journal.jsonl", {}),
    "manifest.json": read_manifest,
    "seconds.json": lambda root: read_json(root / "seconds.json"),
    "params.yaml": lambda root: read_params(root / "params.yaml"),
    "train/a/0.png": _read_source("image-folder"),
    "train-00000-of-00001.parquet": _read_source("parquet"),
    "cifar-10-python.tar.gz": _read_source("cifar10"),
    "cifar-10-batches-py/data_batch_1": _read_source("cifar10"),
    "cifar-10-batches-py/batches.meta": _read_source("cifar10"),
    "cifar-100-python/train": _read_source("cifar100"),
    "train_32x32.mat": _read_source("svhn"),
    "cifar-10-batches-bin/data_batch_1.bin": _read_source("cifar10"),
    "stl10_binary/train_X.bin": _read_source("stl10"),
    "stl10_binary.tar.gz": _read_source("stl10"),
    "pathmnist.npz": _read_source("images npz"),
    "train.npz": _read_source("npz"),
    "train/a.mfc": _read_source("HTK"),
    "train/digitStruct.mat": _read_source("house numbers"),
    "train-0.tar": _read_source("webdataset"),
    "train-0.tar.gz": _read_source("webdataset"),
    "train-images-idx3-ubyte": _read_source("idx"),
    "train-images-idx3-ubyte.gz": _read_source("idx"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_a_pickle_in_the_place_of_a_file_is_refused(
    tmp_path: Path, marker: Path, place: str, kind: str
) -> None:
    beside = (
        "train/a/1.png",
        "test/a/1.png",
        "test-00000-of-00001.parquet",
        "cifar-10-batches-bin/batches.meta.txt",
        "train-labels-idx1-ubyte",
        place,
    )
    for name in beside:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(pickles(marker)[kind])
    try:
        PLACES[place](tmp_path)
    except ValueError:
        return
    assert place == "journal.jsonl", (
        "taken for a file of its kind"
    )  # without a newline it is a torn first line
    assert Journal.open(tmp_path / place, {}).events == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_inside_a_parquet_file_is_no_image(
    tmp_path: Path, marker: Path, kind: str
) -> None:
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}-0.parquet", [pickles(marker)[kind]], [0])
    with pytest.raises(ValueError, match="row 0: not a readable picture"):
        parquet(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("both", [False, True])
def test_a_pickle_for_a_checkpoint_falls_back_and_for_a_result_is_none(
    tmp_path: Path, marker: Path, kind: str, both: bool
) -> None:
    data = pickles(marker)[kind]
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors")
    for errors in ([0.5], [0.5, 0.25]):
        checkpoint.save(errors, errors, {"weight": torch.ones(2)})
    for path in (checkpoint.path, checkpoint.previous)[: 1 + both]:
        path.write_bytes(data)
    saved = checkpoint.load()
    assert saved is None if both else saved is not None and saved.errors == [0.5]
    trial = TrialFolder(tmp_path, 0)
    trial.finish({}, 1, {"value": 0.5}, 1.0)
    (trial.folder / "result.json").write_bytes(data)
    assert trial.finished({}, 1) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["csv", "json"])
def test_a_pickle_for_metrics_is_refused(
    tmp_path: Path, marker: Path, kind: str, which: str
) -> None:
    (tmp_path / "a.csv").write_text(
        "trial,validation_error,best_so_far,test_accuracy,params\n0,0.5,0.5,0.5,9\n"
    )
    (tmp_path / "a.json").write_text('{"test_accuracy": 0.5}')
    read_sweep(tmp_path / "a")
    (tmp_path / f"a.{which}").write_bytes(pickles(marker)[kind])
    with pytest.raises(ValueError):
        read_sweep(tmp_path / "a")


def test_a_cifar_batch_is_unpickled_only_if_its_checksum_is_the_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The format is a pickle, and only its checksum protects."""
    (tmp_path / "small").mkdir()
    batches, _, kind = small_cifar(tmp_path / "small")
    evil, marker = batches / "small/train_batch", tmp_path / "marker"
    assert len(archives._read_cifar(kind, batches).train.labels) == 2
    evil.write_bytes(pickle.dumps({"data": Payload(marker), "labels": [0]}))
    with pytest.raises(ValueError, match="corrupt"):
        archives._read_cifar(kind, batches)
    assert not marker.exists()
    monkeypatch.setattr(
        kind, "train_list", [["train_batch", hashlib.md5(evil.read_bytes()).hexdigest()]]
    )
    with pytest.raises(Exception):  # noqa: B017
        archives._read_cifar(kind, batches)
    assert marker.exists(), "the payload does not work in this place: the test shows nothing"


TAGS = (
    *(
        "!!python/object/apply:os.mknod [{0}]",
        "!!python/object/new:os.mknod [{0}]",
        "!!python/name:os.mknod",
    ),
    *(
        "!!python/object/apply:subprocess.check_call [[touch, {0}]]",
        "!<tag:yaml.org,2002:python/module:os> ''",
    ),
)


@pytest.mark.parametrize("tag", TAGS)
def test_python_tags_in_params_are_refused(tmp_path: Path, marker: Path, tag: str) -> None:
    write_params(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text(path.read_text().replace("scale: smoke", "scale: " + tag.format(marker)))
    with pytest.raises(ValueError, match="not valid YAML"):
        read_params(path)


# --------------------------------------------------------------------------------- names in params

NAMES = (
    "x; touch marker #",
    "$(touch marker)",
    "`touch marker`",
    "a b",
    "x\ntouch marker",
    "--help x\ntouch marker",
    "x'\ntouch marker\n'",
    "'; touch marker; '",
    "x && touch marker #",
    "../../x",
    "/tmp/x",
    "-x",
    "~",
    "x|y",
    "${item}",
    "$HOME",
    "*",
    "",
    ".",
    "..",
    "x\0",
    "conv2\n",
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["students.rows", "students.budgets", "hard.rows", "hard.budgets"])
def test_names_that_a_shell_or_a_path_takes_apart_are_refused(key: str, name: str) -> None:
    section, last = key.split(".")
    params = {**pocket_params(), section: {**pocket_params()[section], last: [name]}}
    params["rows"] = {**params["rows"], name: {"net": "conv2", "boxes": {name: [[4, 8], [4, 8]]}}}
    with pytest.raises(ValueError, match=rf"{section}\.{last}\.0 is "):
        whole.check(params)


@pytest.fixture(scope="module")
def pocket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository after `prepare`, with something in place of the other data."""
    folder = copy_of_the_repository(tmp_path_factory.mktemp("untrusted"))
    write_params(folder)
    dvc(folder, "repro", "prepare")
    shutil.copytree(folder / "data/prepared", folder / "data/augmented")
    return folder


def repro(folder: Path, name: str, *words: str) -> str:
    """`dvc repro` of the cell hard@name-180k with that row; the marker must not be made."""
    rows = {name: {"net": "conv2", "boxes": {"180k": [[4, 6], [6, 8]]}}}
    write_params(folder, {"hard.rows": [name], "hard.budgets": ["180k"], "hard_rows": rows})
    output = dvc(folder, "repro", *words, check=False)
    made = (folder / "marker").exists()
    (folder / "marker").unlink(missing_ok=True)
    assert not made, f"the shell ran a part of the row name {name!r}: {output[-500:]}"
    return output


def test_dvc_refuses_a_hostile_row_before_its_cell_is_touched(pocket: Path) -> None:
    """`dvc repro` runs `prepare` for every new list of names, and its refusal ends the run."""
    outside = pocket.parent / "outside-180k"
    outside.mkdir()
    for name in ("../../../outside", "$(touch marker)"):
        output = repro(pocket, name)
        assert outside.is_dir(), "dvc removed a folder outside the repository"
        assert "Running stage 'prepare'" in output and "Running stage 'hard" not in output
        assert "error: params.yaml: hard.rows.0 is " in output and "Traceback" not in output


@pytest.mark.parametrize("name", [NAMES[0], NAMES[1], NAMES[5], NAMES[6]])
def test_the_shell_gets_a_hostile_row_as_one_word(pocket: Path, name: str) -> None:
    """Also where `-s` passes over `prepare`: DVC quotes what it puts into the command."""
    for data in (
        "prepared",
        "unlabelled",
        "augmented",
    ):  # what the cell reads, so that DVC gets as far as its command
        (pocket / "data" / data).mkdir(exist_ok=True)
    output = repro(pocket, name, "-s", "hard")
    assert "--row '" in output and "failed to reproduce" in output
