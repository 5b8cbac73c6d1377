"""Data other than CIFAR-10: the whole pipeline, refusals, and their scales."""

from __future__ import annotations

import hashlib
import itertools
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML
from scipy.io import savemat
from torchvision import datasets

from commands import scale
from commands.sizing import scales
from stages import assess, augment, draw, ensemble, label, page, prepare, tabulate, teachers
from stages.images.sources.checks import check_mirror, class_names
from stages.images.sources.labelled import CLASSES
from stages.nets.budget import plan
from stages.nets.families import FAMILIES
from stages.nets.fitting import check_cells
from stages.nets.teacher_layers import teacher_params, teacher_widths
from stages.report import outputs
from stages.report.figures.outputs import confusions
from stages.settings.budgets import parse_budget
from stages.settings.inputs import Inputs
from stages.store.manifest import read_manifest
from stages.store.prepared import read_test, read_train
from stages.store.tensors import read_tensors
from tests.helpers.pocket import run_cell
from tools.pocket import ROOT, pocket_params, write_params

SMALLEST: dict[str, Any] = {
    "teachers.sweep": {"trials": 2, "start": 2, "lag": 2, "engine": "sobol"},
    "teachers.training.max_epochs": 1,
    "augment.epochs": 2,
    "students.sweep": {"trials": 2, "start": 2, "lag": 2, "engine": "sobol"},
    "students.training.max_epochs": 1,
    "hard.rows": ["conv4"],
    "hard.sweep": {"trials": 1, "start": 1, "lag": 1, "engine": "sobol"},
    "hard.training.max_epochs": 1,
    "hard_rows.conv4.boxes": {"180k": [[4, 6], [6, 8]]},
    "assess.resamples": 200,
}
SCALES = {"cifar100": (100, 32), "svhn": (10, 32), "imagenet64": (1000, 64)}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMICNETS_OFFLINE", "1")
    monkeypatch.delenv("MIMICNETS_DATA", raising=False)


def pixels(count: int, size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


def image_folder(folder: Path, size: int, names: list[str]) -> None:
    """110 training and 40 test images of these classes in turn; each class has training images."""
    for part, count in (("train", max(110, len(names))), ("test", 40)):
        for i, image in enumerate(pixels(count, size, len(part))):
            file = folder / part / names[i % len(names)] / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)


def fake_cifar100(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """CIFAR-100's files with 110 and 40 images, and their checksums as the published ones."""
    dataset, inside = datasets.CIFAR100, folder / datasets.CIFAR100.base_folder
    inside.mkdir(parents=True)
    for which, count in (("train_list", 110), ("test_list", 40)):
        ((name, _),) = getattr(dataset, which)
        flat = pixels(count, 32, count).transpose(0, 3, 1, 2).reshape(count, -1)
        (inside / name).write_bytes(
            pickle.dumps({"data": flat, "fine_labels": [i % 100 for i in range(count)]})
        )
        patch.setattr(dataset, which, [[name, md5(inside / name)]])
    names = inside / dataset.meta["filename"]
    names.write_bytes(pickle.dumps({dataset.meta["key"]: [f"class {i}" for i in range(100)]}))
    patch.setattr(dataset, "meta", {**dataset.meta, "md5": md5(names)})


def fake_svhn(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """SVHN's files with 110 and 40 images; 10 stands for the digit 0."""
    made = dict(datasets.SVHN.split_list)
    folder.mkdir()
    for split, count in (("train", 110), ("test", 40)):
        file = folder / f"{split}_32x32.mat"
        labels = np.arange(count, dtype=np.uint8)[:, None] % 10 + 1
        savemat(file, {"X": pixels(count, 32, count).transpose(1, 2, 3, 0), "y": labels})
        made[split] = [made[split][0], file.name, md5(file)]
    patch.setattr(datasets.SVHN, "split_list", made)


# the whole pipeline

CASES = [
    ("image-folder", 64, 20),
    ("cifar100", 32, 100),
    ("svhn", 32, 10),
    ("image-folder", 20, 3),
    ("image-folder", 8, 300),
]
EXTREMES = (("image-folder", 64, 20), ("image-folder", 8, 300))
"""The largest images, and the smallest ones with the most classes."""
DRAWN = (20, 300)
"""Numbers of classes for which figures are drawn, which takes three times as long as all the rest:
few, and many.
"""


@pytest.mark.parametrize(
    ("source", "size", "classes"),
    [
        pytest.param(
            *case, marks=[pytest.mark.middle] * (case in EXTREMES), id="{}-{}px-{}".format(*case)
        )
        for case in CASES
    ],
)
def test_the_whole_pipeline_runs(
    source: str, size: int, classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "raw"
    if source == "image-folder":
        image_folder(
            folder, size, [f"${i:03d}$" for i in range(classes)]
        )  # no formula, whatever matplotlib thinks
    else:
        {"cifar100": fake_cifar100, "svhn": fake_svhn}[source](folder, monkeypatch)
    data = {"prepare.source": source, "prepare.path": "raw", "prepare.size_px": size}
    write_params(tmp_path, {**SMALLEST, **data, "images.crop_min_px": 3 * size // 4})
    monkeypatch.chdir(tmp_path)
    for stage in (prepare, teachers, ensemble, augment, label):
        stage.main()
    for words in (("mimic", "mlp2", "60k"), ("mimic", "conv1", "60k"), ("hard", "conv4", "180k")):
        run_cell(*words)
    for stage in (tabulate, assess, *([draw, page] if classes in DRAWN else [])):
        stage.main()
    images, labels, header = read_train(Path("data/prepared"))
    assert (
        images.shape == (60, size, size, 3)
        and len(header["classes"]) == classes
        and labels.max() < classes
    )
    stored = read_tensors(Path("data/prepared/train.safetensors"))[0]["labels"]
    assert stored.dtype == (np.uint16 if classes > 256 else np.uint8)
    views = read_tensors(Path("data/augmented/epoch-000.safetensors"))[0]
    assert views["images"].shape == images.shape
    np.testing.assert_array_equal(views["labels"], labels[views["index"]])
    assert read_tensors(Path("data/logits/epoch-001.safetensors"))[0]["logits"].shape == (
        60,
        classes,
    )
    table = pd.read_csv("metrics/confusion.csv", dtype={"true": str, "predicted": str})
    own = table[table.net == "ensemble"]
    assert list(dict.fromkeys(own.true)) == header["classes"] and own["count"].sum() == 40
    mine = read_test(Path("data/prepared"))[1]
    assert (
        own.groupby("true", sort=False)["count"].sum().tolist()
        == np.bincount(mine, minlength=classes).tolist()
    )
    drawn = [
        Path(f"plots/{name}").is_file()
        for name in ("augmentation.png", "confusion.png", "report.html")
    ]
    assert drawn == [classes in DRAWN] * 3
    trials = pd.read_csv("metrics/students/conv1-60k.csv")
    assert (trials["params"] / 60_000 - 1).abs().max() < 0.04


# refusals

REFUSED = [
    (
        {"prepare.size_px": 64, "students.rows": ["mlp1"]},
        [
            "students.rows has mlp1, at 60k, 64 px",
            "too small",
            "smallest net has 122,",
            "raise students.budgets",
        ],
    ),
    (
        {
            "prepare.size_px": 8,
            "hard.rows": ["cnn-2014"],
            "hard.budgets": ["60k"],
            "images.crop_min_px": 6,
        },
        [
            "hard.rows has cnn-2014, at 60k, 8 px",
            "at least 15 px",
            "take cnn-2014 out of hard.rows",
        ],
    ),
    (
        {"prepare.size_px": 256, "students.rows": ["conv1"]},
        [
            "students.rows has conv1, at 60k, 256 px",
            "too small for conv1",
            "raise students.budgets",
        ],
    ),
    (
        {
            "prepare.size_px": 256,
            "hard_rows.conv2.boxes": {"20k": [[4, 6], [6, 8]]},
            "hard.budgets": ["20k"],
            "students.rows": ["conv3"],
        },
        ["hard.rows has conv2, at 20k, 256 px", "raise hard.budgets"],
    ),
    (
        {"prepare.size_px": 20, "images.crop_min_px": 21},
        ["images.crop_min_px is 21", "prepare.size_px 20"],
    ),
    (
        {"prepare.source": "svhn", "images.mirror": True},
        ["images.mirror is true", "svhn", "set images.mirror to f"],
    ),
    ({"prepare.source": "cluttered-digits", "images.mirror": True}, ["images.mirror is true"]),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED, ids=[words[0] for _, words in REFUSED])
def test_what_does_not_fit_is_refused_before_any_file_is_opened(
    changes: dict[str, Any], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(tmp_path, {"prepare.source": "image-folder", "prepare.path": "nowhere", **changes})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:
        prepare.main()
    assert "\n" not in str(caught.value) and str(caught.value).startswith("params.yaml: ")
    assert [word for word in words if word not in str(caught.value)] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml"]


def test_what_only_the_files_tell_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 classes leave too few weights to two hidden layers; one class teaches nothing."""
    monkeypatch.chdir(tmp_path)
    data = {
        "prepare.source": "image-folder",
        "prepare.path": "raw",
        "prepare.size_px": 8,
        "images.crop_min_px": 6,
    }
    small = {**data, "students.rows": ["mlp2"], "students.budgets": ["400"]}
    image_folder(tmp_path / "raw", 8, [str(i) for i in range(300)])
    write_params(tmp_path, small)
    with pytest.raises(
        ValueError, match=r"students.rows has mlp2, at 400, 8 px and 300 classes: .*raise students"
    ):
        prepare.main()
    image_folder(tmp_path / "one", 8, ["only"])
    write_params(tmp_path, {**data, "prepare.path": "one"})
    with pytest.raises(
        ValueError, match=r"has 1 class, allowed are 2 to 65,536: change prepare.path"
    ):
        prepare.main()
    assert not (tmp_path / "data").exists()


def test_a_teacher_needs_eight_pixels_and_a_fast_one_sixteen() -> None:
    params = YAML(typ="safe").load(scale.compose("smoke"))
    with pytest.raises(ValueError, match="'fast' takes images of at least 16 px, got 15 px"):
        check_cells(params, 10, Inputs.images(15))

    params = pocket_params()
    check_cells(params, 10, Inputs.images(8))
    with pytest.raises(
        ValueError,
        match="images of 7 px are too small for 3 pools of 2x2: use images of at least 8",
    ):
        check_cells(params, 10, Inputs.images(7))


def test_classes_of_one_name_are_told_apart() -> None:
    assert class_names(("crane", "maillot", "crane"), "x") == [
        "crane (0)",
        "maillot",
        "crane (2)",
    ]
    with pytest.raises(ValueError, match="has 65,537 class"):
        class_names(tuple(map(str, range(65_537))), "x")


# confusions of many classes


def test_mistakes_that_were_never_made_have_no_line() -> None:
    labels = np.array([0, 1, 1, 3])
    logits = {"net": np.eye(5)[[0, 4, 1, 1]]}
    table = outputs.confusions(logits, labels, list("abcde"))
    lines = list(table.drop(columns="net").itertuples(index=False, name=None))
    assert lines == [
        ("a", "a", 1),
        ("b", "b", 1),
        ("b", "e", 1),
        ("c", "c", 0),
        ("d", "b", 1),
        ("d", "d", 0),
        ("e", "e", 0),
    ]
    whole = table.pivot(index="true", columns="predicted", values="count").fillna(0).to_numpy()
    np.testing.assert_array_equal(whole[[0, 1, 3]].sum(1), [1, 2, 1])
    axes = confusions(table, list("abcde"), "w").axes[0]
    share = axes.collections[0].get_array().reshape(5, 5)
    assert np.ma.getmaskarray(share)[[2, 4]].all() and share[1].tolist() == [0, 0.5, 0, 0, 0.5]


# scales


def composed(name: str) -> dict[str, Any]:
    return YAML(typ="safe").load(scale.compose(name))


@pytest.mark.parametrize("name", SCALES)
def test_every_net_of_a_box_meets_its_budget_at_other_data(name: str) -> None:
    """Over the whole box: within 1 %, with the widths that were asked for."""
    params, (classes, size) = composed(name), SCALES[name]
    assert params["prepare"]["size_px"] == size
    inputs = Inputs.images(size)
    check_cells(params, classes, inputs)
    for section, rows in (("students", "rows"), ("hard", "hard_rows")):
        for row, budget in itertools.product(params[section]["rows"], params[section]["budgets"]):
            box, (low, high) = (
                params[rows][row].get("boxes", {}).get(budget),
                params[rows][row].get("ratios", (0, 1)),
            )
            ends = (low, high) if FAMILIES[row].controls > 3 else np.linspace(low, high, 7)
            for controls in itertools.product(ends, repeat=FAMILIES[row].controls):
                made = plan(
                    row, parse_budget(budget), controls, box, classes=classes, inputs=inputs
                )
                assert abs(made.rel_err) < 0.01, (row, budget, controls)
                if box:
                    asked = [
                        box[g][0] + (box[g][1] - box[g][0]) * controls[g]
                        for g in FAMILIES[row].groups
                    ]
                    np.testing.assert_allclose(
                        made.widths, asked, atol=0.51, err_msg=f"{row} {budget}"
                    )


def test_parameters_of_the_teachers_at_64_px() -> None:
    """As in scales/imagenet64.yaml; by hand: 3x3 filters, 8 * 8 * C3 into H1, H1, 1,000."""
    boxes, found = composed("imagenet64")["teachers"]["boxes"], []
    for control in (0.0, 0.5, 1.0):
        c1, c2, c3, h1 = widths = teacher_widths(dict.fromkeys(boxes, control), boxes)
        convs = [(3, c1), (c1, c1), (c1, c2), (c2, c2), (c2, c3), (c3, c3), (c3, c3), (c3, c3)]
        full = [(64 * c3, h1), (h1, h1), (h1, 1000)]
        count = sum(9 * i * o + o for i, o in convs) + sum(i * o + o for i, o in full)
        assert teacher_params(widths, 1000, Inputs.images(64)) == count
        found.append(f"{count / 1e6:.1f}M")
    assert (
        "{}, {} and {} parameters".format(*found) in (ROOT / "scales/imagenet64.yaml").read_text()
    )


def test_an_overlay_lies_on_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, other = composed("gpu"), composed("cifar100")
    assert (
        other["prepare"]["source"] == "cifar100"
        and other["scale"] == "cifar100"
        and "base" not in other
    )
    assert other["students"]["space"].pop("lr") != gpu["students"]["space"].pop("lr")
    same = ("teachers", "students", "hard", "rows", "hard_rows", "augment", "ensemble", "numerics")
    assert {name: gpu[name] for name in same} == {name: other[name] for name in same}
    (tmp_path / "a.yaml").write_text("base: b")
    (tmp_path / "b.yaml").write_text("base: a")
    (tmp_path / "c.yaml").write_text("base: gqu")
    for name in ("paper", "gpu"):
        (tmp_path / f"{name}.yaml").write_text((ROOT / f"scales/{name}.yaml").read_text())
    monkeypatch.setattr(scales, "SCALES", tmp_path)
    assert scale.names() == ["gpu", "paper", "a", "b", "c"]
    with pytest.raises(ValueError, match=r"a.yaml lies on itself: change `base` in a or b.yaml"):
        scale.compose("a")
    with pytest.raises(ValueError, match="no scale 'gqu'; did you mean 'gpu'"):
        scale.compose("c")


def test_digits_are_not_mirrored_at_any_scale() -> None:
    for name in scale.names():
        params = composed(name)
        check_mirror(prepare.prepare(params), params["images"]["mirror"])


# costs


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["scale", *words])
        scale.main()
    return capsys.readouterr().out


def test_costs_are_those_of_the_classes(capsys: pytest.CaptureFixture[str]) -> None:
    assert CLASSES["cifar100"] == 100 and "classes: 100, those of cifar100" in printed(
        capsys, "cifar100", "--cost"
    )
    assert "classes: 10, those of svhn" in printed(capsys, "svhn", "--cost")
    told = printed(capsys, "imagenet64", "--cost", "--cells", "--classes", "1000")
    assert "classes: 1,000, --classes" in told and "21,178,408" in told, "a teacher's parameters"
    found, stored = scale.jobs(composed("imagenet64"), 1000)
    assert stored == 10 * 1_231_167 * (4 + 2 + 18 + 4 * 1000)
    assert all(abs(job.params / parse_budget(job.name.split()[-1]) - 1) < 0.01 for job in found[2:])
    with pytest.raises(SystemExit):
        printed(capsys, "imagenet64", "--cost", "--classes", "1")


def test_costs_of_a_folder_ask_data_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {
        "prepare.source": "image-folder",
        "prepare.path": "raw",
        "prepare.size_px": 8,
        "images.crop_min_px": 6,
    }
    write_params(tmp_path, data)
    image_folder(tmp_path / "raw", 8, [str(i) for i in range(30)])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scales, "SCALES", ROOT / "scales")
    assert "classes: 10, assumed" in printed(capsys, "--cost") and "--classes" in printed(
        capsys, "--cost"
    )
    prepare.main()
    assert len(read_manifest(Path("data/prepared"))["classes"]) == 30
    assert "classes: 30, those of data/prepared" in printed(capsys, "--cost")
    write_params(tmp_path, {**data, "prepare.size_px": 16})
    assert "classes: 10, assumed" in printed(capsys, "--cost"), "another folder"


def test_views_of_larger_images_cost_more() -> None:
    params = composed("imagenet64")
    found, _ = scale.jobs(params, 1000)
    small = {
        part.name: part.views
        for part in scale.parts(
            {**params, "prepare": {**params["prepare"], "size_px": 32}}, found, 1000
        )
    }
    assert {part.name: part.views for part in scale.parts(params, found, 1000)} == {
        k: 4 * v for k, v in small.items()
    }
    assert small["augment"] == 10 * 1_231_167
