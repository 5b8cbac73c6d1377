"""Teachers from elsewhere, through the stages: nets of files, both kinds, logits of another program."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands import teacher, transfer, verify
from stages import assess, augment, draw, ensemble, extra, label, page, prepare, tabulate, teachers
from stages.nets.teacher import described_teacher
from stages.settings import whole
from stages.settings.read import read_params
from stages.store.ensemble_manifest import EnsembleManifest, net_path
from stages.store.manifest import read_manifest
from stages.store.predictions import mean_logits, read_test_logits
from stages.store.prepared import PreparedManifest, read_test, read_validation
from stages.store.shards import images_digests, read_images, read_logits
from stages.store.tensors import read_tensors
from stages.transfer.members import load_member, load_members
from tests.helpers.outside_nets import linear_onnx, needs_onnx, squeezenet
from tests.helpers.pocket import run_cell
from tools.pocket import write_params

CHANGES: dict[str, Any] = {
    "teachers.sweep": {"trials": 2, "start": 2, "lag": 2, "engine": "sobol"},
    "teachers.training.max_epochs": 1,
    "augment.epochs": 2,
    "students.sweep": {"trials": 2, "start": 2, "lag": 2, "engine": "sobol"},
    "students.training.max_epochs": 1,
    "hard.sweep": {"trials": 1, "start": 1, "lag": 1, "engine": "sobol"},
    "hard.training.max_epochs": 1,
    "assess.resamples": 200,
}
FILES = {**CHANGES, "ensemble.source": "files"}
LOGITS = {**CHANGES, "ensemble.source": "logits", "ensemble.members": 1}

Begin = Callable[[dict[str, Any]], Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data and the transfer set."""
    folder = tmp_path_factory.mktemp("outside")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_params(folder, CHANGES)
        prepare.main()
        augment.main()
    return folder


@pytest.fixture
def begin(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """A copy of it with other parameters, as the current folder."""

    def start(changes: dict[str, Any]) -> Path:
        shutil.copytree(made, tmp_path, dirs_exist_ok=True)
        monkeypatch.chdir(tmp_path)
        write_params(tmp_path, changes)
        return tmp_path

    return start


def put_nets(folder: Path) -> tuple[str, ...]:
    """A linear net by onnxruntime and one of torchvision; the classes of the data."""
    classes = PreparedManifest.read(folder / "data/prepared").classes
    weights = np.random.default_rng(0).normal(size=(len(classes), 3)).astype(np.float32)
    linear_onnx(folder / "teachers", weights=weights, bias=np.zeros(len(classes)), classes=classes)
    squeezenet(folder / "teachers", classes=classes[::-1], size_px=40)
    return classes


def finish() -> None:
    """All stages after the labels."""
    run_cell("mimic", "conv1", "60k")
    run_cell("mimic", "mlp2", "60k")
    run_cell("hard", "conv2", "180k")
    for stage in (extra, tabulate, assess, draw, page):
        stage.main()


def ran_verify(monkeypatch: pytest.MonkeyPatch, part: str) -> int:
    monkeypatch.setattr("sys.argv", ["verify", "--only", part, "--all"])
    try:
        verify.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@needs_onnx
def test_nets_of_files_are_teachers_to_the_report(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = begin(FILES)
    put_nets(here)
    for stage in (teachers, ensemble, label):
        stage.main()
    out = capsys.readouterr().out
    assert "teachers: none is searched: ensemble.source is files" in out
    assert "ensemble: linear (onnx): right on" in out
    assert read_manifest(here / "data/teachers")["trials"] == []

    # The members label as they answered the test images, from their copies alone.
    shutil.rmtree(here / "teachers")
    manifest = EnsembleManifest.read(here / "data/ensemble")
    assert manifest.members == (None, None) and manifest.origins is not None
    assert {each.format for each in manifest.origins if each} == {"onnx", "torchvision"}
    nets = load_members(here / "data/ensemble", described_teacher, torch.device("cpu"))
    arrays, header = read_images(here / "data/augmented", 1)
    images = torch.from_numpy(np.array(arrays["images"]))
    with torch.inference_mode():
        peer = torch.stack([net(images).double() for net in nets]).mean(0).float().numpy()
    found = read_logits(here / "data/logits", 1, header["images_sha256"])
    np.testing.assert_allclose(found, peer, atol=1e-4)
    assert ran_verify(monkeypatch, "ensemble") == 0 and ran_verify(monkeypatch, "data") == 0

    # The reports say where they are from.
    finish()
    table = (here / "metrics/table1.md").read_text()
    assert "no teacher was searched" in table and "Teacher CNN" not in table
    assert "Teacher from a file: linear | onnx" in table
    assert "from files:" in (here / "metrics/table2.md").read_text()
    text = (here / "plots/report.html").read_text()
    assert "The members of the ensemble are from files:" in text
    assert "teacher" not in json.loads((here / "metrics/tables.json").read_text())


@needs_onnx
def test_nets_of_files_and_of_the_search_are_mixed(begin: Begin) -> None:
    here = begin({**CHANGES, "ensemble.source": "both", "ensemble.members": 4})
    put_nets(here)
    for stage in (teachers, ensemble, label):
        stage.main()
    manifest = EnsembleManifest.read(here / "data/ensemble")
    assert sorted(map(str, manifest.members)) == ["0", "1", "None", "None"]
    facts = json.loads((here / "metrics/ensemble.json").read_text())
    assert facts["params"] == sum(net["params"] for net in facts["nets"])
    assert len(load_members(here / "data/ensemble", described_teacher, torch.device("cpu"))) == 4


@needs_onnx
@pytest.mark.parametrize("weights", ["found", {"linear": 3.0, "squeezenet": 1.0}])
def test_weighted_members_label_as_the_reports_say(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, weights: str | dict[str, float]
) -> None:
    here = begin({**FILES, "ensemble.weights": weights})
    put_nets(here)
    for stage in (teachers, ensemble, label):
        stage.main()

    manifest = EnsembleManifest.read(here / "data/ensemble")
    assert manifest.weights is not None and manifest.origins is not None
    assert sum(manifest.weights) == pytest.approx(1, abs=1e-5)
    if isinstance(weights, dict):
        names = [each.name for each in manifest.origins if each]
        assert manifest.weights == tuple(weights[name] / 4 for name in names)

    # The labels, by the nets one by one.
    device = torch.device("cpu")
    paths = [net_path(here / "data/ensemble", place, manifest) for place in range(2)]
    nets = [load_member(path, described_teacher, device) for path in paths]
    arrays, header = read_images(here / "data/augmented", 0)
    with torch.inference_mode():
        alone = {
            i: net(torch.from_numpy(np.array(arrays["images"]))).numpy()
            for i, net in enumerate(nets)
        }
    found = read_logits(here / "data/logits", 0, header["images_sha256"])
    np.testing.assert_allclose(found, mean_logits(alone, manifest.weights), atol=1e-4)
    assert ran_verify(monkeypatch, "ensemble") == 0

    # What is reported.
    tests, labels, _ = read_test(here / "data/prepared")
    stored = read_test_logits(here / "data/ensemble/test.safetensors")["members"]
    hits = mean_logits(stored, manifest.weights).argmax(1) == labels
    facts = json.loads((here / "metrics/ensemble.json").read_text())
    assert facts["test_accuracy"] == float(hits.mean())


@needs_onnx
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ensemble.weights": {"a": 1, "b": 1}},
            "ensemble.weights names a, b, the members are lin",
        ),
        ({"ensemble.members": 3}, r"ensemble.members is 3, and teachers/ has 2 nets: lower it"),
        ({"ensemble.at_chance": "refuse"}, r"linear\.yaml describes a net that is at chance here"),
    ],
)
def test_refusals_before_anything_is_labelled(
    begin: Begin, changes: dict[str, Any], message: str
) -> None:
    put_nets(begin({**FILES, **changes}))
    teachers.main()
    with pytest.raises(ValueError, match=message):
        ensemble.main()
    assert not Path("data/ensemble").exists()


@needs_onnx
@pytest.mark.parametrize("lacking", ["all", "the net's own file", "the logits"])
def test_a_copy_for_an_experiment_does_not_take_the_files_of_its_clone(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    """DVC hashes the teachers/ of the copy, so the ensemble of other nets would be restored."""
    here = begin(LOGITS if lacking == "the logits" else FILES)
    put_nets(here)
    if lacking == "the logits":
        transfer.export(here / "lab")
        labelled(here / "lab", answer)
        transfer.bring_in(here / "lab", "theirs", "logits", 1e-4, None)
    teachers.main()

    # What git has of it.
    copy = here / ".dvc/tmp/exps/tmpx1"
    shutil.copytree(here / "data", copy / "data")
    shutil.copy(here / "params.yaml", copy)
    (copy / "teachers").mkdir()
    if lacking == "the net's own file":
        shutil.copy(here / "teachers/linear.yaml", copy / "teachers")

    monkeypatch.chdir(copy)
    with pytest.raises(FileNotFoundError, match=r"teachers.*; this is a copy .* 'git add' or 'dvc"):
        ensemble.main()
    assert not (copy / "data/ensemble").exists()


@needs_onnx
def test_the_command_looks_at_every_net(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = begin(FILES)
    put_nets(here)
    monkeypatch.setattr("sys.argv", ["teacher", "check"])
    teacher.main()
    out = capsys.readouterr().out
    assert "linear (onnx): right on" in out and "squeezenet (torchvision): right on" in out

    write_params(here, {**FILES, "ensemble.at_chance": "refuse"})
    with pytest.raises(ValueError, match="of 2 nets cannot be a teacher"):
        teacher.main()
    assert "error: at chance, and ensemble.at_chance is refuse" in capsys.readouterr().out

    write_params(here, FILES)
    (here / "teachers/linear.onnx").write_bytes(b"no")
    with pytest.raises(ValueError, match="1 of 2 nets cannot be a teacher"):
        teacher.main()
    out = capsys.readouterr().out
    assert "error: " in out and "squeezenet (torchvision): right on" in out


def labelled(folder: Path, made_of: Callable[[np.ndarray], np.ndarray]) -> None:
    """What another program does with an export."""
    for part in json.loads((folder / "images.json").read_text())["parts"]:
        np.save(folder / f"logits-{part}.npy", made_of(np.load(folder / f"{part}.npy")))


def answer(images: np.ndarray) -> np.ndarray:
    """Logits float32 (n, 10) of some linear net."""
    weights = np.random.default_rng(3).normal(size=(images[0].size, 10)) / 99
    return (images.reshape(len(images), -1) @ weights).astype(np.float32)


def test_logits_of_another_program(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = begin(LOGITS)
    lab = here / "lab"
    transfer.export(lab)
    labelled(lab, answer)
    transfer.bring_in(lab, "theirs", "logits", 1e-4, None)
    shutil.rmtree(lab)

    for stage in (teachers, ensemble, label):
        stage.main()
    arrays, header = read_images(here / "data/augmented", 1)
    found = read_logits(here / "data/logits", 1, header["images_sha256"])
    np.testing.assert_array_equal(found, answer(arrays["images"]))

    tests, labels, _ = read_test(here / "data/prepared")
    facts = json.loads((here / "metrics/ensemble.json").read_text())
    assert facts["test_accuracy"] == float((answer(tests).argmax(1) == labels).mean())
    assert ran_verify(monkeypatch, "ensemble") == 0
    assert "2 of 2 epochs have the logits from elsewhere" in capsys.readouterr().out

    finish()
    assert "| Logits from elsewhere: theirs | logits |  |" in Path("metrics/table1.md").read_text()


def test_probabilities_and_another_order_of_columns(
    begin: Begin, capsys: pytest.CaptureFixture[str]
) -> None:
    here = begin(LOGITS)
    lab = here / "lab"
    transfer.export(lab)

    def shares(images: np.ndarray) -> np.ndarray:
        values = np.exp(answer(images) - answer(images).max(1, keepdims=True))
        return (values / values.sum(1, keepdims=True)).astype(np.float32)[:, ::-1]

    labelled(lab, shares)
    classes = PreparedManifest.read(here / "data/prepared").classes
    (lab / "columns.txt").write_text("\n".join(classes[::-1]))
    transfer.bring_in(lab, "theirs", "probabilities", 1e-6, lab / "columns.txt")

    images = read_validation(here / "data/prepared")[0]
    from stages.store.outside_logits import read_part

    found = read_part(here / "teachers/logits", "validation", images)
    np.testing.assert_array_equal(found.argmax(1), answer(images).argmax(1))
    np.testing.assert_allclose(found.mean(1), 0, atol=1e-5)

    # They are called logits.
    teachers.main()
    ensemble.main()
    assert "look like probabilities" not in capsys.readouterr().out
    shutil.rmtree(here / "teachers/logits")
    transfer.bring_in(lab, "theirs", "logits", 1e-4, lab / "columns.txt")
    ensemble.main()
    line = "ensemble:   these look like probabilities: import them with --output probabilities"
    assert line in capsys.readouterr().out


def test_logits_of_other_images_are_refused(begin: Begin) -> None:
    here = begin(LOGITS)
    lab = here / "lab"

    # Nothing says of which images they are.
    lab.mkdir()
    with pytest.raises(FileNotFoundError, match="Logits of the training images themselves do not"):
        transfer.bring_in(lab, "theirs", "logits", 1e-4, None)

    # They are of the training images.
    transfer.export(lab)
    labelled(lab, answer)
    listed = json.loads((lab / "images.json").read_text())
    from stages.store.prepared import read_train
    from stages.store.shards import images_hash

    entry = listed["parts"]["epoch-000"]
    right = entry["images_sha256"]
    entry["images_sha256"] = images_hash(read_train(here / "data/prepared")[0])
    (lab / "images.json").write_text(json.dumps(listed))
    with pytest.raises(ValueError, match="epoch-000 has the training images as they are"):
        transfer.bring_in(lab, "theirs", "logits", 1e-4, None)

    # They are of another transfer set.
    entry["images_sha256"] = images_digests(here / "data/augmented", 1)[1]
    (lab / "images.json").write_text(json.dumps(listed))
    with pytest.raises(ValueError, match="epoch-000 has other images than the transfer set now"):
        transfer.bring_in(lab, "theirs", "logits", 1e-4, None)

    # They have another form.
    entry["images_sha256"] = right
    (lab / "images.json").write_text(json.dumps(listed))
    np.save(lab / "logits-epoch-000.npy", np.zeros((5, 10), np.float32))
    with pytest.raises(
        ValueError, match=r"logits-epoch-000.npy holds float32 \[5, 10\], needed are"
    ):
        transfer.bring_in(lab, "theirs", "logits", 1e-4, None)
    (lab / "logits-epoch-000.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"label epoch-000\.npy first"):
        transfer.bring_in(lab, "theirs", "logits", 1e-4, None)
    assert not (here / "teachers/logits").exists()


def test_columns_are_those_of_the_classes_at_the_export(begin: Begin) -> None:
    here = begin(LOGITS)
    lab = here / "lab"
    transfer.export(lab)
    labelled(lab, answer)
    listed = json.loads((lab / "images.json").read_text())
    classes = listed["classes"]

    # Exported when the classes had another order: the columns go back to their names.
    listed["classes"] = classes[::-1]
    (lab / "images.json").write_text(json.dumps(listed))
    transfer.bring_in(lab, "theirs", "logits", 1e-4, None)
    pixels = np.load(lab / "validation.npy")
    (path,) = (here / "teachers/logits").glob("validation*")
    stored = read_tensors(path)[0]["logits"]
    np.testing.assert_allclose(stored, answer(pixels)[:, ::-1], rtol=1e-6)

    # One of them has had another name since.
    listed["classes"] = ["zebra", *classes[1:]]
    (lab / "images.json").write_text(json.dumps(listed))
    with pytest.raises(ValueError, match=r"images.json: classes has 10 names.*has besides 'zebra'"):
        transfer.bring_in(lab, "theirs", "logits", 1e-4, None)


@pytest.mark.parametrize(
    ("value", "output", "message"),
    [
        (-np.inf, "logits", r"logits-epoch-000.npy: row 2 .*--output log-probabilities"),
        (np.nan, "log-probabilities", r"logits-epoch-000.npy: row 2 holds something else"),
        (1e300, "logits", r"logits-epoch-000.npy: row 2 holds something else"),
    ],
)
def test_logits_that_are_no_numbers_are_refused(
    begin: Begin, value: float, output: str, message: str
) -> None:
    lab = begin(LOGITS) / "lab"
    transfer.export(lab)
    labelled(lab, lambda images: answer(images).astype(np.float64))
    bad = np.load(lab / "logits-epoch-000.npy")
    bad[2, 1] = value
    np.save(lab / "logits-epoch-000.npy", bad)
    if output != "logits":
        for path in lab.glob("logits-*.npy"):
            given = np.load(path)
            shares = given - np.log(np.exp(given).sum(1, keepdims=True))
            np.save(path, np.where(np.isnan(given), np.nan, shares))
    with pytest.raises(ValueError, match=message):
        transfer.bring_in(lab, "theirs", output, 1e-4, None)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"rows": None}, "images.json is not the list of an export"),
        (None, r"logits-epoch-000.npy: no file of numpy"),
    ],
)
def test_damaged_exports_are_named(begin: Begin, damage: Any, message: str) -> None:
    lab = begin(LOGITS) / "lab"
    transfer.export(lab)
    labelled(lab, answer)
    if damage is None:
        whole = (lab / "logits-epoch-000.npy").read_bytes()
        (lab / "logits-epoch-000.npy").write_bytes(whole[: len(whole) // 2])
    else:
        listed = json.loads((lab / "images.json").read_text())
        listed["parts"]["epoch-000"] |= damage
        (lab / "images.json").write_text(json.dumps(listed))
    with pytest.raises(ValueError, match=message):
        transfer.bring_in(lab, "theirs", "logits", 1e-4, None)


def test_a_changed_transfer_set_does_not_take_old_logits(begin: Begin) -> None:
    here = begin(LOGITS)
    transfer.export(here / "lab")
    labelled(here / "lab", answer)
    transfer.bring_in(here / "lab", "theirs", "logits", 1e-4, None)
    for stage in (teachers, ensemble):
        stage.main()

    write_params(here, {**LOGITS, "seed": 5})
    augment.main()
    with pytest.raises(ValueError, match=r"the logits of other images.*import the logits again"):
        label.main()
    assert not (here / "data/logits").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ensemble.source": "files", "ensemble.weights": {"a": 1}, "ensemble.members": 2},
            "has 1 names for ensemble.members 2",
        ),
        (
            {
                "ensemble.source": "files",
                "ensemble.weights": "found",
                "ensemble.members": 2,
                "label.members": [1],
            },
            "label.members asks for the first members alone",
        ),
        ({"ensemble.members": 2}, "there are no nets, and ensemble.members is 2: set it to 1"),
        ({"prepare.extra_tests": {"a": "b"}}, "to ask about prepare.extra_tests: set it to {}"),
        (
            {"ablations": {"rows": ["conv2-fresh"], "budgets": ["60k"]}},
            "to label new images for ablations.rows conv2-fresh",
        ),
    ],
)
def test_what_needs_nets_is_refused_with_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, {**LOGITS, **changes})
    with pytest.raises(ValueError, match=message):
        whole.check(read_params())
