"""Further test sets, from the folders to the tables: who is asked, what is asked again, what DVC runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages import assess, extra
from stages.report.extra import read_extra_table
from stages.store.extra_scores import extra_path, read_extra_scores
from stages.store.manifest import read_manifest
from stages.store.prepared import read_test
from stages.store.tensors import read_tensors, write_tensors
from stages.trials.scored import ScoredNet, ScoreJob
from tests.helpers import extra_sets
from tests.helpers.pocket import WHOLE_RUN, dvc, ran
from tools.pocket import write_params

NETS = ("ensemble", "teacher", "mimic mlp2 60k", "mimic conv1 60k", "hard conv2 180k")
SETS: dict[str, Any] = {
    "cifar10-c": "data/raw/c",
    "cifar10.1": "data/raw/v",
    "mine": "data/raw/folder",
    "10": {"path": "data/raw/parquet", "image_column": "img", "label_column": "label"},
}
NAMES = ["cifar10-c", "cifar10.1-v4", "cifar10.1-v6", "mine", "10"]
"""As found: CIFAR-10.1 has two versions."""


def changed(sets: dict[str, Any] | None, **more: Any) -> None:
    """Other test sets in params.yaml, in this folder."""
    serial = {"execution.engine": "serial", "assess.resamples": 200}
    write_params(Path(), {**WHOLE_RUN, **serial, "prepare.extra_tests": sets, **more})


@pytest.fixture
def here(undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In a finished pocket pipeline, with a folder of each kind made of its test images."""
    folder = tmp_path / "run"
    for name in ("data", "metrics"):
        shutil.copytree(undisturbed / name, folder / name)
    monkeypatch.chdir(folder)

    images, labels, header = read_test(Path("data/prepared"))
    raw = Path("data/raw")
    extra_sets.corrupted(raw / "c", images, labels)
    extra_sets.versions(raw / "v", images, labels)
    extra_sets.image_folder(raw / "folder", images, labels, header["classes"])
    reverse = header["classes"][::-1]
    extra_sets.parquet(raw / "parquet", images, len(reverse) - 1 - labels, reverse)

    changed(SETS)
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Set and net of every question that is asked."""
    from stages.trials import extra_trial

    questions = []
    real = extra_trial.classes_named
    names: dict[int, str] = {}

    def load(net: ScoredNet, device: Any) -> Any:
        nets = real_load(net, device)
        names[id(nets[0])] = net.name
        return nets

    def ask(job: ScoreJob, nets: Any, part: Any) -> Any:
        questions.append((part.corruption, names[id(nets[0])]))
        return real(job, nets, part)

    real_load = extra_trial.load
    monkeypatch.setattr(extra_trial, "load", load)
    monkeypatch.setattr(extra_trial, "classes_named", ask)
    return questions


def remote_score(job: ScoreJob, places: list[int], on_part: Any = None) -> None:
    """That of the stage; it leaves a file with the process, and one for each of its places."""
    from stages.trials.extra_trial import score_parts

    Path("work", f"share-{places[0]}").write_text(str(os.getpid()))
    for place in places:
        Path("work", f"asked-{job.parts[place].fingerprint}-{place}").touch()
    score_parts(job, places, on_part)


def overall(frame: pd.DataFrame, name: str) -> dict[str, float]:
    """Net -> accuracy on a set."""
    lines = frame[(frame["set"] == name) & (frame.corruption == "") & frame.severity.isna()]
    return dict(zip(lines.net, lines.accuracy, strict=True))


def test_every_net_is_asked_and_the_own_images_give_the_own_accuracy(here: Path) -> None:
    extra.main(), assess.main()
    assert read_manifest(Path("data/extra"))["sets"] == NAMES

    frame = read_extra_table(Path("metrics"))
    own = overall(frame, "test")
    assert tuple(own) == NETS and list(dict.fromkeys(frame["set"])) == ["test", *NAMES]
    assert own["ensemble"] == json.loads(Path("metrics/ensemble.json").read_text())["test_accuracy"]
    mimic = json.loads(Path("metrics/students/conv1-60k.json").read_text())
    assert own["mimic conv1 60k"] == mimic["test_accuracy"]

    # The same images, whatever the files: in folders by class, and under other numbers.
    for name in ("cifar10.1-v6", "mine", "10"):
        assert overall(frame, name) == own
    assert overall(frame, "cifar10-c") != own

    text = Path("metrics/extra.md").read_text()
    assert "| Net | test | cifar10-c | cifar10.1-v4 |" in text and "without spatter" in text


def test_classes_are_those_that_the_nets_name(here: Path) -> None:
    """Of the corrupted images too, block by block as one net gives them alone."""
    import torch

    from stages.fit.evaluate import logits
    from stages.nets.stored import load_net
    from stages.nets.student import described_student

    extra.main()
    scores = read_extra_scores(extra_path(Path("data/extra"), "cifar10-c"))
    assert scores.nets == NETS and scores.corruptions == extra_sets.CORRUPTIONS
    images = torch.from_numpy(np.load("data/raw/c/gaussian_noise.npy"))
    net = load_net(
        Path("data/students/conv1-60k/weights.safetensors"), described_student, torch.device("cpu")
    )
    wanted = logits(net, images, 7).argmax(1).numpy()
    assert (scores.named[3, 1] == wanted).all() and len(set(wanted.tolist())) > 1


def test_only_what_is_new_is_asked(here: Path, asked: list[tuple[str, str]]) -> None:
    changed({"mine": SETS["mine"]})
    extra.main()
    assert sorted(asked) == sorted(("", net) for net in NETS)

    # The same again, under another name and beside another: nothing of the old is asked.
    asked.clear()
    changed({"other": SETS["mine"], "c": SETS["cifar10-c"]})
    before = extra_path(Path("data/extra"), "mine").read_bytes()
    extra.main()
    assert sorted(asked) == sorted((name, net) for name in extra_sets.CORRUPTIONS for net in NETS)
    assert read_manifest(Path("data/extra"))["sets"] == ["other", "c"]
    assert extra_path(Path("data/extra"), "other").read_bytes() == before

    # Images that have changed are asked about again.
    asked.clear()
    fog = np.load("data/raw/c/fog.npy")
    fog[0, 0, 0, 0] ^= 1
    np.save("data/raw/c/fog.npy", fog)
    extra.main()
    assert sorted(asked) == sorted(("fog", net) for net in NETS)


def test_a_stopped_run_goes_on_where_it_was(
    here: Path, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    extra.main()
    whole = {path.name: path.read_bytes() for path in Path("data/extra").iterdir()}
    count = len(asked)
    shutil.rmtree("work/extra")
    asked.clear()

    def write_three(path: Path, *more: Any) -> str:
        if len(asked) > 3:
            raise KeyboardInterrupt
        return write_tensors(path, *more)

    with monkeypatch.context() as patch:
        patch.setattr("stages.trials.extra_trial.write_tensors", write_three)
        with pytest.raises(KeyboardInterrupt):
            extra.main()
    assert len(asked) == 4

    extra.main()
    assert len(asked) == count + 1, "the fourth was asked twice, and no other"
    assert {path.name: path.read_bytes() for path in Path("data/extra").iterdir()} == whole


def test_damaged_answers_are_asked_for_again(here: Path, asked: list[tuple[str, str]]) -> None:
    changed({"mine": SETS["mine"]})
    extra.main()
    whole = extra_path(Path("data/extra"), "mine").read_bytes()
    flipped, cut, shorter, *others = sorted(Path("work/extra").glob("*/*.safetensors"))
    assert len(others) == len(NETS) - 3

    data = bytearray(flipped.read_bytes())
    data[-5] ^= 1
    flipped.write_bytes(data)
    os.truncate(cut, cut.stat().st_size // 2)
    arrays, header = read_tensors(shorter)
    write_tensors(shorter, {"named": arrays["named"][:-1]}, header)

    asked.clear()
    extra.main()
    assert len(asked) == 3 and extra_path(Path("data/extra"), "mine").read_bytes() == whole


@pytest.mark.middle
def test_several_processes_give_the_same_bytes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extra.main()
    whole = {path.name: path.read_bytes() for path in Path("data/extra").iterdir()}
    shutil.rmtree("work/extra")

    changed(SETS, **{"execution.engine": "local", "execution.slots": 2})
    monkeypatch.setattr(extra, "IMAGES_PER_PROCESS", 1)
    monkeypatch.setattr(extra, "remote_score", remote_score)
    extra.main()
    assert {path.name: path.read_bytes() for path in Path("data/extra").iterdir()} == whole
    processes = {path.read_text() for path in Path("work").glob("share-*")}
    assert len(processes) == 2 and str(os.getpid()) not in processes

    # The last of the two versions and the parquet files have the same images: one process has them.
    places = [path.name.split("-") for path in Path("work").glob("asked-*")]
    assert len(places) == len({images for _, images, _ in places}) == 6


@pytest.mark.parametrize("sets", [{}, None])
def test_without_sets_nothing_is_asked(
    here: Path, asked: list[tuple[str, str]], sets: dict[str, str] | None
) -> None:
    changed(sets)
    extra.main(), assess.main()
    assert asked == [] and read_manifest(Path("data/extra"))["sets"] == []
    assert len(Path("metrics/extra.csv").read_text().splitlines()) == 1
    assert not Path("work/extra").exists()


def test_columns_of_the_training_data_are_those_of_further_sets(here: Path) -> None:
    images, labels, header = read_test(Path("data/prepared"))
    folder = extra_sets.parquet(Path("data/raw/named"), images, labels, header["classes"])
    (file,) = folder.iterdir()
    names = [header["classes"][label] for label in labels]
    pq.write_table(pa.table({"photo": pq.read_table(file)["img"], "kind": names}), file)

    columns = {"prepare.image_column": "photo", "prepare.label_column": "kind"}
    changed({"named": str(folder)}, **{"prepare.source": "parquet", **columns})
    extra.main()
    scores = read_extra_scores(extra_path(Path("data/extra"), "named"))
    assert scores.labels.tolist() == labels.tolist()


def other_weights() -> None:
    """Those of another net: the same sizes, other numbers."""
    path = Path("data/students/conv1-60k/weights.safetensors")
    arrays, header = read_tensors(path)
    write_tensors(path, {name: -array for name, array in arrays.items()}, header)


def twice_one_name() -> None:
    changed({"a": SETS["cifar10.1"], "a-v4": SETS["mine"]})


def a_class_too_many() -> None:
    shutil.copytree("data/raw/folder/3", "data/raw/folder/cat")


WRONG: list[tuple[str, Callable[[], object], str]] = [
    (
        "no folder",
        lambda: shutil.rmtree("data/raw/c"),
        "no folder data/raw/c: change prepare.extra",
    ),
    ("other weights", other_weights, "weights.safetensors gives other outputs than those stored"),
    (
        "no weights",
        lambda: Path("data/hard/conv2-180k/weights.safetensors").unlink(),
        "dvc pull data/hard/conv2-180k",
    ),
    (
        "other outputs",
        lambda: shutil.copy("data/hard/conv2-180k/test.safetensors", "data/students/mlp2-60k/"),
        "does not match metrics/students/mlp2-60k.csv",
    ),
    ("one name twice", twice_one_name, "has two sets called a-v4"),
    ("unknown class", a_class_too_many, "no class of the nets is called cat"),
]


@pytest.mark.parametrize(("break_it", "words"), [pytest.param(*e[1:], id=e[0]) for e in WRONG])
def test_what_is_wrong_is_one_line(here: Path, break_it: Callable[[], object], words: str) -> None:
    break_it()
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        extra.main()
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_set_without_some_classes_is_noted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree("data/raw/folder/4")
    changed({"mine": SETS["mine"]})
    extra.main()
    assert "extra: note: mine has no image of 4\n" in capsys.readouterr().out


@pytest.fixture
def repository(undisturbed: Path, tmp_path: Path) -> Path:
    """A finished pocket pipeline in which DVC may run."""
    return shutil.copytree(undisturbed, tmp_path / "repository", symlinks=True)


@pytest.mark.middle
def test_an_edit_of_the_sets_trains_nothing(repository: Path) -> None:
    """By DVC: only `extra` and the report run, with the sets, with one less and without."""
    images, labels, _ = read_test(repository / "data/prepared")
    extra_sets.corrupted(repository / "data/raw/c", images, labels)
    extra_sets.versions(repository / "data/raw/v", images, labels)
    prepared = read_manifest(repository / "data/prepared")
    sets = {name: SETS[name] for name in ("cifar10-c", "cifar10.1")}

    # Without sets DVC has run all of it before, and its run cache has all but assess.
    due = {"prepare", "extra", "assess", "draw", "page"}
    column = {"prepare.image_column": "photo"}  # that of sets without their own, if they have any
    steps = (
        (list(sets), {}, due),
        (["cifar10.1"], {}, due),
        (["cifar10.1"], column, {"prepare", "extra", "page"}),
        ([], {}, {"assess"}),
    )

    for names, changes, wanted in steps:
        chosen = {name: sets[name] for name in names}
        write_params(repository, {**WHOLE_RUN, "prepare.extra_tests": chosen, **changes})
        assert ran(dvc(repository, "repro")) == wanted
        assert read_manifest(repository / "data/prepared") == prepared

        frame = read_extra_table(repository / "metrics")
        assert ("cifar10-c" in set(frame["set"])) == ("cifar10-c" in names)
        page = (repository / "plots/report.html").read_text()
        assert ('id="further"' in page) == bool(names)
        assert (repository / "plots/extra.png").stat().st_size > 5_000
        assert "up to date" in dvc(repository, "status")
