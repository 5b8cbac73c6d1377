"""The model card says what the run's tables say."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from scipy.special import softmax

from commands import export, predict
from commands.models import card as cards
from commands.models.absorb import absorb
from commands.models.exported import outline
from commands.models.licences import UNKNOWN, licence
from commands.models.made_up import made_up
from stages.nets.families import Plan
from stages.report.fidelity import calibration_error
from stages.settings.inputs import Inputs
from stages.store.prepared import read_test
from stages.store.tensors import read_tensors
from stages.store.weights import load_weights
from tests.helpers.exports import CELL, OUT, Run, needs_onnx, stored, trained
from tests.helpers.pocket import table
from tools.pocket import write_params


def lines_of(card: str) -> dict[str, str]:
    """First and second column of all tables of a card."""
    return dict(re.findall(r"^\| (.*?) \| (.*?) \|", card, re.M))


def head_of(card: str) -> dict[str, Any]:
    """What the YAML in front of a card says."""
    empty, head, _ = card.split("---\n", 2)
    assert empty == ""
    return YAML(typ="safe").load(head)


def test_the_card_is_true(here: Path) -> None:
    card = (Path(OUT) / "README.md").read_text()
    lines = lines_of(card)
    facts = json.loads(Path("metrics/students/conv1-60k.json").read_text())
    rows = table(Path("metrics/students/conv1-60k.csv"))
    best = min(rows, key=lambda row: (float(row["validation_error"]), int(row["trial"])))
    plan = Plan.from_json(load_weights(Path("data") / CELL / "weights.safetensors")[1]["plan"])

    assert "\n---\n\n# conv1 at 60k: a mimic net for cluttered digits\n" in card
    assert lines["validation accuracy"] == f"{facts['validation_accuracy']:.4f}"
    assert lines["test accuracy"] == f"{facts['test_accuracy']:.4f}"
    assert lines["parameters as trained"] == f"{int(best['params']):,}" == f"{plan.params:,}"

    absorbed = absorb(trained(Path("data") / CELL))
    here = sum(weights.numel() for weights in absorbed.parameters())
    assert lines["parameters here"] == f"{here:,}: the bottleneck is multiplied into the next layer"
    assert (
        lines["widths"]
        == f"{plan.widths[0]} {plan.widths[1]}, and {plan.dependent} that fills the budget"
    )
    assert (
        lines["layers"] == outline(absorbed)
        and f"conv1 5x5, {plan.widths[0]} filters; pool1 3x3; fc1" in card
    )

    for name in ("lr", "momentum", "input_scale", "init_scale", "C1", "C2"):
        assert float(lines[name]) == pytest.approx(float(best[name]), rel=1e-5)
    assert set(lines) & set(best) - {"widths"} == {
        "lr",
        "momentum",
        "input_scale",
        "init_scale",
        "C1",
        "C2",
    }
    assert lines["data set"].endswith(
        "(source `cluttered-digits`): 60 training, 50 validation, 40 test images"
    )

    crowd = json.loads(Path("metrics/ensemble.json").read_text())
    assert (
        "on 3 stored epochs of augmented training images to give the mean logits of an ensemble of "
        "2 nets" in card
    )
    assert (
        f"{crowd['params']:,} parameters, validation accuracy {crowd['validation_accuracy']:.4f}"
        in card
    )

    by = "the one of lowest validation error"
    assert f"Trial {best['trial']} of a search over 3 finished trials, {by}" in card
    assert f"epoch {best['best_epoch']} of {best['epochs']}" in card
    assert (
        "first is 0: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9." in card and licence("cluttered-digits") in card
    )
    assert "`(n, 32, 32, 3)`" in card and "`(n, 10)`" in card
    assert (
        f"torch {torch.__version__} in fp32" in card
        and f"torch {torch.__version__}" in card.splitlines()[-3]
    )

    labels = read_test(Path("data/prepared"))[1]
    error = calibration_error(softmax(stored(Path("data") / CELL), axis=1), labels)
    assert f"expected calibration error {error:.3f} on the test set" in card

    for path in (*Path(OUT).glob("model.*"), Path(OUT) / "labels.json"):
        assert f"`{hashlib.sha256(path.read_bytes()).hexdigest()}`" in card


def test_cards_say_on_what_a_net_was_trained(
    copied: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(export, "source", lambda: {"commit": "abc123", "changed": True})
    cards = {}
    for cell in ("hard/conv2-180k", "teachers/001", "ensemble/01"):
        status, out, _ = run(
            export, cell, "--format", "safetensors", "--out", str(tmp_path / "out")
        )
        assert status == 0 and "largest difference 0 on 40 test images" in out
        cards[cell] = (tmp_path / "out/README.md").read_text()

    assert "# conv2 at 180k: a net on true labels" in cards["hard/conv2-180k"]
    assert (
        "Trained on the true labels, on 3 stored epochs of augmented training images."
        in cards["hard/conv2-180k"]
    )
    assert (
        "parameters here" not in cards["hard/conv2-180k"]
        and "ensemble" not in cards["hard/conv2-180k"]
    )
    assert ", at commit abc123, with changes." in cards["hard/conv2-180k"]

    rows = table(Path("metrics/teachers.csv"))
    member = json.loads(Path("data/ensemble/manifest.json").read_text())
    second = rows[member["members"][1]]
    for cell, row in (("teachers/001", rows[1]), ("ensemble/01", second)):
        lines = lines_of(cards[cell])
        assert (
            "A teacher: trained on the true labels" in cards[cell]
            and lines["parameters as trained"].replace(",", "") == row["params"]
        )
        assert lines["validation accuracy"] == f"{1 - float(row['validation_error']):.4f}"
        assert lines["test accuracy"] == f"{float(row['test_accuracy']):.4f}"

    csv = Path("metrics/teachers.csv")
    csv.write_text(csv.read_text().replace(f",{rows[1]['test_accuracy']},", ",,"))
    assert (
        run(export, "teachers/001", "--format", "safetensors", "--out", str(tmp_path / "out"))[0]
        == 0
    )
    assert (
        lines_of((tmp_path / "out/README.md").read_text())["test accuracy"]
        == "not measured by the run"
    )


def test_cards_of_variants_and_of_the_nets_of_2014(copied: Path, run: Run, tmp_path: Path) -> None:
    listed = {
        "ablations": {"rows": ["conv2-weight-decay"], "budgets": ["60k"]},
        "students_2014": {"rows": ["snn-2014"], "budgets": ["60k"]},
        "teachers_2014": {"rows": ["cnn-2014"], "budgets": ["60k"], "members": 2},
    }
    write_params(copied, listed)
    words = {
        "students/conv2-weight-decay": "That is the row conv2; this net is a variant of it, with "
        '`{"weight_decay": 0.0002}` instead.',
        "students/snn-2014": "A mimic net of Ba and Caruana (2014): trained on 3 stored epochs of augmented",
        "hard/cnn-2014": "Trained on the true labels, on 3 stored epochs of augmented training images.",
    }

    for name, said in words.items():
        for folder in ("data", "metrics"):
            for path in Path(folder, "students").glob("conv1-60k*"):
                target = Path(folder) / f"{name}{path.name.removeprefix('conv1')}"
                target.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target)

        status, _, error = run(
            export, f"{name}-60k", "--format", "safetensors", "--out", str(tmp_path / "out")
        )
        assert status == 0, error

        card = (tmp_path / "out/README.md").read_text()
        assert said in card and "Commit and machine of the training are not recorded." in card


def test_the_card_and_the_statistics_of_vectors(
    framed: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(framed)
    out = Path("exports/students/mlp1-3k")
    card = (out / "README.md").read_text()
    assert (
        "float32 `(n, 8, 8)`, **standardised**" in card
        and UNKNOWN in card
        and "augmented" not in card
    )

    again = json.loads(Path("metrics/students/mlp1-3k.json").read_text())
    assert lines_of(card)["test accuracy"] == f"{again['test_accuracy']:.4f}"

    mean = np.mean(
        [
            float(row["test_accuracy"])
            for row in table(Path("metrics/students/mlp1-3k.retrained.csv"))
        ]
    )

    assert f"from 1 other seeds gave a test accuracy of {mean:.4f} on average" in card

    held = read_tensors(out / "statistics.safetensors")[0]
    inputs = np.load("data/raw/frames/train.npz")["inputs"][:60].astype(np.float32)
    np.testing.assert_allclose(held["mean"], inputs.mean(0), atol=1e-5)
    shutil.copyfile(out / "model.safetensors", tmp_path / "model.safetensors")
    status, _, error = run(predict, str(tmp_path), "data/raw/frames/test.npz")

    assert status == 1 and "statistics.safetensors not found" in error


@needs_onnx
def test_the_head_and_the_versions_of_a_card_are_those_of_the_files(here: Path) -> None:
    import onnx

    card = (Path(OUT) / "README.md").read_text()
    facts = json.loads(Path("metrics/students/conv1-60k.json").read_text())
    head = head_of(card)
    (index,) = head.pop("model-index")
    assert head == {
        "license": "unknown",
        "library_name": "mimicnets",
        "pipeline_tag": "image-classification",
        "tags": ["mimicnets", "images", "safetensors", "onnx", "pt2"],
        "metrics": ["accuracy"],
    }

    assert index["name"] == "conv1 at 60k: a mimic net for cluttered digits"
    for result, split in zip(index["results"], ("validation", "test"), strict=True):
        assert result["task"]["type"] == "image-classification"
        assert result["dataset"] == {
            "type": "cluttered-digits",
            "name": "cluttered digits",
            "split": split,
        }
        (metric,) = result["metrics"]
        assert metric["type"] == "accuracy"
        assert metric["value"] == pytest.approx(facts[f"{split}_accuracy"], abs=1e-6)

    model = onnx.load(Path(OUT) / "model.onnx")
    (opset,) = model.opset_import
    wanted = f"opset {opset.version}, IR version {model.ir_version}"
    assert lines_of(card)["model.onnx"] == wanted and opset.version > 10

    made = made_up(Inputs.images(32))
    assert f"net's answers to {len(made)} made-up images: one colour, 0; " in card


def test_the_head_says_only_what_was_measured_and_written(
    framed: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(framed)
    words = ("--format", "safetensors", "--out", str(tmp_path))
    assert run(export, "students/mlp1-3k", *words)[0] == 0
    text = (tmp_path / "README.md").read_text()
    head = head_of(text)
    assert "pipeline_tag" not in head and head["tags"] == ["mimicnets", "vectors", "safetensors"]
    assert {each["task"]["type"] for each in head["model-index"][0]["results"]} == {"other"}
    assert "opset" not in text


def facts(**changes: Any) -> cards.Facts:
    """Of a net that no run has made."""
    names = changes.pop("classes", ["a", "b"])
    described = {"data": "some data", "source": "parquet", "classes": names, "size_px": 8}
    values: dict[str, Any] = {
        "title": "a net",
        "description": {**described, **changes.pop("described", {})},
        "counts": {"train": 3},
        "table": {},
        "training": ["Trained."],
        "hyperparameters": {"lr": "0.1"},
        "measured": {"validation": 0.5, "test": None},
        "limits": [],
        "differences": {"model.onnx": 0.0},
        "sample": 3,
        "made": ["one colour, 0"],
        "files": {"model.onnx": "00"},
        "versions": {"torch": "2"},
        "commit": "commit 1",
    }
    return cards.Facts(**{**values, **changes})


@pytest.mark.parametrize(
    "odd",
    ["a: b", "- x", "# y", "'", '"', "---", "\n---\n", "yes", "é ☃", "\t", "{}", "\x00"],
)
def test_odd_names_leave_the_head_readable(odd: str) -> None:
    text = cards.text(facts(title=odd, described={"data": odd}, classes=["ok", odd]))
    (index,) = head_of(text)["model-index"]
    assert index["name"] == index["results"][0]["dataset"]["name"] == odd
    assert [result["dataset"]["split"] for result in index["results"]] == ["validation"]


def test_odd_class_names_cannot_be_mistaken() -> None:
    names = ["plain", "fire_truck", "a, b", "", " x", "new\nline", "<b>", "a*b*"]
    text = cards.text(facts(classes=names))
    (line,) = [line for line in text.splitlines() if "the first is 0" in line]
    shown = line.partition("the first is 0: ")[2].partition(". `labels.json`")[0]
    quoted = [name for name in names if name not in ("plain", "fire_truck")]
    assert shown == ", ".join(["plain", "fire_truck", *(f"``{json.dumps(n)}``" for n in quoted)])
