"""A finished run without training: random outputs and trial tables, tabulated and assessed."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from stages import assess, tabulate
from stages.images.sources.labelled import Labelled, Source
from stages.images.sources.look import look, notes_on
from stages.settings.budgets import parse_budget
from stages.settings.groups import CellName
from stages.settings.read import read_params
from stages.settings.students import cells
from stages.settings.students import row as row_settings
from stages.store.atomic import write_json
from stages.store.ensemble_manifest import EnsembleManifest
from stages.store.extra_scores import ExtraScores, extra_path, write_extra_scores
from stages.store.manifest import write_manifest
from stages.store.predictions import fingerprint, write_test_logits
from stages.store.prepared import write_split
from stages.store.tensors import write_tensors
from tools.pocket import write_params

NASTY = [
    "<script>alert(1)</script>",
    "</script><b>bold</b>",
    "a &amp; b",
    "%{x} ${y} $1$",
    "\"quoted\" 'too'",
    "NA",
    "01",
    "long " * 20,
    "ü日本",
    "<img src=x onerror=alert(2)>",
]
"""Names of classes that mean something to HTML, to Plotly, to JavaScript or to pandas."""
DATA = 'digits & <i>clutter</i> "raw"'
CHANGES: dict[str, Any] = {
    "students.rows": ["mlp1", "mlp2", "conv1", "conv2"],
    "students.budgets": ["60k", "180k"],
    "hard.rows": ["conv1", "conv2"],
    "hard.budgets": ["180k"],
    "augment.epochs": 20,
    "ablations": {
        "rows": ["conv2-dropout", "conv2-epochs-10", "conv2-epochs-20"],
        "budgets": ["180k"],
    },
    "tabulate.data": DATA,
    "assess.resamples": 200,
}
EXTRA = {"cifar10-c": "data/raw/c", "NA": "data/raw/na", "10.1": "data/raw/v"}
"""Further test sets: the first one has severities, and names look like something else."""
SKILL = {"mlp1": 1.0, "mlp2": 1.2, "conv1": 2.0, "conv2": 2.6}
ENVIRONMENT = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "changed": True,
    "processor": "a <b>processor</b>",
    "threads": 1,
    "packages": {"numpy": "2.4"},
    "cuda": None,
    "stages": ["teachers", "label", "students@mlp1-60k", "students@gone-1M"],
}


def prepared(folder: Path, shape: tuple[int, ...], vectors: bool, classes: list[str]) -> None:
    """Training examples of data/prepared, its manifest, and what prepare found in them."""
    labels = np.arange(3 * len(classes)) % len(classes)
    inputs = examples(np.random.default_rng(9), len(labels), shape, vectors)
    data = folder / "data/prepared"
    header = {"classes": classes, "source": "npz" if vectors else "image-folder"}
    write_split(data, "train", inputs, labels.astype(np.uint16), header)

    sizes = {"size_px": None, "shape": list(shape)} if vectors else {"size_px": shape[0]}
    write_manifest(data, {**header, **sizes, "images": {"train": len(labels)}})

    parts = {"train": Labelled(inputs, labels)}
    parts |= {"validation": parts["train"][:1], "test": parts["train"][1:2]}
    found = look(parts, classes, Source(parts["train"], None, tuple(classes)))
    write_json(folder / "metrics/data.json", {**found, "notes": notes_on(found)})


def make(
    folder: Path,
    classes: list[str],
    shape: tuple[int, ...],
    tests: int = 300,
    again: int = 3,
    changes: dict[str, Any] | None = None,
    sets: dict[str, str] | None = None,
) -> Path:
    """A folder like a repository in which everything but page has run.

    Args:
        shape: of an example: (s, s, 3) images, else vectors.
        again: retrained nets of every mimic cell.
        sets: further test sets, e.g. EXTRA.
    """
    vectors = len(shape) < 3 or shape[-1] != 3
    sets = sets or {}
    own = {"students.final_seeds": again, "prepare.extra_tests": sets}
    write_params(folder, {**CHANGES, **own, **(changes or {})})
    rng = np.random.default_rng(7)
    labels = (np.arange(tests) % len(classes)).astype(np.uint16)
    write_split(
        folder / "data/prepared",
        "test",
        examples(rng, tests, shape, vectors),
        labels,
        {"classes": classes},
    )
    prepared(folder, shape, vectors, classes)
    originals, views = (
        examples(rng, 6, shape, vectors),
        examples(rng, 12, shape, vectors).reshape(6, 2, *shape),
    )
    write_tensors(
        folder / "data/samples/augmented.safetensors", {"originals": originals, "views": views}, {}
    )
    members = {i: logits(rng, labels, len(classes), 3.2) for i in range(2)}
    write_test_logits(folder / "data/ensemble/test.safetensors", {"members": members})
    EnsembleManifest((0, 1), (0.8, 0.8)).write(folder / "data/ensemble")
    params = read_params(folder / "params.yaml")
    for name in cells(params):
        skill = SKILL.get(name.row, 2.4) - (name.group == "hard")
        runs = again if name.group != "hard" else 0
        net = partial(logits, rng, labels, len(classes), skill)
        family = row_settings(params, name.group, name.row).net or name.row
        cell(folder, name, family, rng, net, labels, runs)
    nets = ["ensemble", "teacher", *(name.words for name in cells(params))]
    further_sets(folder / "data/extra", np.random.default_rng(8), nets, len(classes), sets)
    teachers(folder / "metrics", rng)
    (folder / "metrics/environment.json").write_text(json.dumps([ENVIRONMENT]))
    accuracies = {"test_accuracy": 0.9, "validation_accuracy": 0.91, "params": 250_521}
    (folder / "metrics/ensemble.json").write_text(json.dumps(accuracies))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tabulate.main()
        assess.main()
    return folder


def further_sets(
    folder: Path,
    rng: np.random.Generator,
    nets: list[str],
    classes: int,
    sets: dict[str, str],
) -> None:
    """What nets say of further test sets: six in ten are right, others by chance."""
    for name in sets:
        severe = name == "cifar10-c"
        labels = np.tile(rng.integers(0, classes, 40), 5 if severe else 1)
        corruptions = ("fog", "spatter") if severe else ("",)
        named = rng.integers(0, classes, (len(nets), len(corruptions), len(labels)))
        right = rng.random(named.shape) < 0.6
        known = ExtraScores(
            tuple(nets), corruptions, 5 if severe else 0, labels, np.where(right, labels, named)
        )
        write_extra_scores(extra_path(folder, name), known)
    if sets:
        write_manifest(folder, {"sets": list(sets)})


def examples(
    rng: np.random.Generator, count: int, shape: tuple[int, ...], vectors: bool
) -> np.ndarray:
    """Random images or standardised vectors."""
    if vectors:
        return rng.normal(size=(count, *shape)).astype(np.float32)
    return rng.integers(0, 256, (count, *shape), dtype=np.uint8)


def logits(rng: np.random.Generator, labels: np.ndarray, classes: int, skill: float) -> np.ndarray:
    """Outputs of a net that is right the more often, the higher its skill."""
    return (rng.normal(size=(len(labels), classes)) + skill * np.eye(classes)[labels]).astype(
        np.float32
    )


def cell(
    folder: Path,
    name: CellName,
    family: str,
    rng: np.random.Generator,
    net: Callable[[], np.ndarray],
    labels: np.ndarray,
    runs: int,
) -> None:
    """A search of seven trials, the fifth of which failed, and retrained nets.

    Args:
        family: of the nets.
        net: gives the outputs of another net.
    """
    size = parse_budget(name.budget)
    stem = folder / "metrics" / name.files
    errors = np.round(rng.uniform(0.2, 0.6, 7), 4)
    errors[4] = np.nan
    best = sorted(np.flatnonzero(np.isfinite(errors)), key=lambda i: errors[i])[:5]
    nets = {int(i): net() for i in best}
    lines = [
        {
            "trial": i,
            "validation_error": errors[i],
            "best_so_far": np.nanmin(errors[: i + 1]),
            **scores(nets.get(i), labels),
            "params": size + i,
            "widths": f"{8 + i} {12 + i}",
            "dependent": 100 + i,
            "best_epoch": 3,
            "epochs": 10,
            "why": "failed" if i == 4 else "end",
            "reason": "diverged <b>" if i == 4 else "",
            "C1": rng.uniform(),
            "lr": float(np.exp(rng.uniform(-9, -7))),
            "momentum": 0.9,
            "init_scale": rng.uniform(),
            "family": family,
        }
        for i in range(7)
    ]
    write(stem.with_name(f"{stem.name}.csv"), lines)
    accuracy = lines[best[0]]["test_accuracy"]
    facts = {"test_accuracy": accuracy, "validation_accuracy": 1 - errors[best[0]]}
    stem.with_name(f"{stem.name}.json").write_text(json.dumps(facts))
    retrained = {i: net() for i in range(runs)}
    again = {"validation_error": 0.4, "best_epoch": 3, "epochs": 10, "why": "end", "reason": ""}
    lines = [{"run": i, **again, **scores(outputs, labels)} for i, outputs in retrained.items()]
    columns = [
        "run",
        "validation_error",
        "test_accuracy",
        "best_epoch",
        "epochs",
        "why",
        "reason",
        "test_sha256",
    ]
    write(stem.with_name(f"{stem.name}.retrained.csv"), lines, columns)
    write_test_logits(
        folder / "data" / name.files / "test.safetensors", {"trials": nets, "retrained": retrained}
    )


def scores(net: np.ndarray | None, labels: np.ndarray) -> dict[str, Any]:
    """What a trial table says of a net on the test images."""
    if net is None:
        return {"test_accuracy": None, "test_sha256": ""}
    return {
        "test_accuracy": float((net.argmax(1) == labels).mean()),
        "test_sha256": fingerprint(net),
    }


def write(path: Path, lines: list[dict[str, Any]], columns: list[str] | None = None) -> None:
    """A CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(lines, columns=columns).to_csv(path, index=False)


def teachers(metrics: Path, rng: np.random.Generator) -> None:
    """A search of nine teachers."""
    errors = np.linspace(0.3, 0.1, 9)
    lines = [
        {
            "trial": i,
            "validation_error": errors[i],
            "best_so_far": errors[i],
            "test_accuracy": 0.8 if i > 3 else None,
            "params": 90_000,
            "widths": "14 20 28 60",
            "best_epoch": 5,
            "epochs": 12,
            "why": "end",
            "reason": "",
            "lr": 0.01 / (i + 1),
            "weight_decay": rng.uniform(),
            "C1": rng.uniform(),
            "D_h": 0.0,
        }
        for i in range(9)
    ]
    write(metrics / "teachers.csv", lines)
    (metrics / "teachers.json").write_text(
        json.dumps({"test_accuracy": 0.8, "validation_accuracy": 0.9})
    )


def edit_params(folder: Path, section: str, key: str, value: Any) -> None:
    """Change one value of params.yaml."""
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    params[section][key] = value
    yaml.dump(params, folder / "params.yaml")
