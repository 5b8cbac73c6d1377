"""What a finished run says of one of its nets, from data/ and metrics/."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from commands.models.find import DATA, PREPARED, FoundNet
from stages.report.cells import origin_words, read_ensemble, read_retrained, read_sweep
from stages.report.fidelity import BINS, calibration_error
from stages.runtime.environment import RECORD
from stages.settings.groups import CellName
from stages.settings.students import ablation, cell_at
from stages.store.atomic import read_json
from stages.store.ensemble_manifest import EnsembleManifest
from stages.store.predictions import fingerprint, read_test_logits
from stages.store.prepared import read_test, read_validation
from stages.store.tensors import read_tensors
from stages.store.transfer_manifest import TransferManifest
from stages.trials.columns import NOT_HYPERPARAMETERS

METRICS = Path("metrics")


@dataclass(frozen=True)
class NetRecord:
    """One net in the tables of its run.

    Attributes:
        line: of the trial table.
        trials: finished trials that it was chosen among.
        measured: validation and test accuracy; test is None where the run did not measure it.
        inputs: what it was measured on: test or, for teachers, validation images or vectors.
        outputs: what it answered, logits float32 (n, classes).
        calibration: expected calibration error on the test set; None where the outputs are of the
        validation set.
        retrained: test accuracies of the same hyperparameters from other seeds.
    """

    line: Mapping[str, Any]
    trials: int
    measured: dict[str, float | None]
    inputs: np.ndarray
    outputs: np.ndarray
    calibration: float | None = None
    retrained: tuple[float, ...] = ()

    @property
    def hyperparameters(self) -> dict[str, str]:
        """Of the trial, as in the table."""
        return {
            name: f"{value:g}"
            for name, value in self.line.items()
            if name not in NOT_HYPERPARAMETERS and not pd.isna(value)
        }


def record_of(net: FoundNet) -> NetRecord:
    """What the tables say of a net.

    Raises:
        FileNotFoundError: a table or file of outputs is missing.
        ValueError: one is damaged, or they are of different runs.
    """
    if net.kind == "student":
        return _student(net)
    return _member(net) if net.folder == "ensemble" else _teacher(net)


def _student(net: FoundNet) -> NetRecord:
    stem = METRICS / net.folder / net.key
    frame = read_sweep(stem)[0].sort_values(["validation_error", "trial"], kind="stable")
    line = frame.iloc[0].to_dict()

    path = net.weights.parent / "test.safetensors"
    outputs = _outputs(path, "trials", int(line["trial"]))
    if fingerprint(outputs) != line.get("test_sha256"):
        raise ValueError(
            f"{path} and {stem}.csv are of different runs: run 'dvc checkout', or 'dvc repro'"
        )

    inputs, labels, _ = read_test(PREPARED)
    again = read_retrained(stem)["test_accuracy"].dropna()
    return _record(frame, line, inputs, outputs, labels, tuple(map(float, again)))


def _teacher(net: FoundNet) -> NetRecord:
    frame = read_sweep(METRICS / "teachers")[0]
    line = _line(frame, int(net.key))

    path = net.weights.with_suffix(".validation.safetensors")
    outputs = read_tensors(path)[0].get("logits")
    if outputs is None:
        raise ValueError(f"{path} holds no outputs: run 'dvc repro'")

    return _record(frame, line, read_validation(PREPARED)[0], outputs)


def _member(net: FoundNet) -> NetRecord:
    frame = read_sweep(METRICS / "teachers")[0]
    trial = EnsembleManifest.read(DATA / "ensemble").members[int(net.key)]
    assert trial is not None  # nets of files are not found by name
    line = _line(frame, trial)

    inputs, labels, _ = read_test(PREPARED)
    outputs = _outputs(DATA / "ensemble/test.safetensors", "members", int(net.key))
    return _record(frame, line, inputs, outputs, labels)


def _record(
    frame: pd.DataFrame,
    line: Mapping[str, Any],
    inputs: np.ndarray,
    outputs: np.ndarray,
    labels: np.ndarray | None = None,
    retrained: tuple[float, ...] = (),
) -> NetRecord:
    """`labels` are those of the test images, where the outputs are of these."""
    test = line["test_accuracy"]
    error = None
    if labels is not None:
        test = float((outputs.argmax(1) == labels).mean())
        error = calibration_error(softmax(outputs, axis=1), labels)

    measured = {
        "validation": 1 - line["validation_error"],
        "test": None if pd.isna(test) else float(test),
    }

    return NetRecord(
        line,
        int(frame["validation_error"].notna().sum()),
        measured,
        inputs,
        outputs,
        error,
        retrained,
    )


def _line(frame: pd.DataFrame, trial: int) -> dict[str, Any]:
    lines = frame[frame["trial"] == trial]
    if len(lines) != 1 or lines["validation_error"].isna().any():
        raise ValueError(
            f"metrics/teachers.csv has no finished trial {trial}: run 'dvc checkout', or 'dvc repro'"
        )
    return lines.iloc[0].to_dict()


def _outputs(path: Path, kind: str, number: int) -> np.ndarray:
    logits = read_test_logits(path).get(kind, {})
    if number not in logits:
        raise ValueError(
            f"{path} has no outputs of net {number}: run 'dvc checkout', or 'dvc repro'"
        )
    return logits[number]


def cell_of(net: FoundNet, params: dict[str, Any]) -> CellName | None:
    """The cell of a student; None for a teacher."""
    return None if net.kind == "teacher" else cell_at(params, net.name)


def training(
    cell: CellName | None, record: NetRecord, params: dict[str, Any], inputs: str
) -> list[str]:
    """Paragraphs on how a net was trained.

    Args:
        cell: its cell; None for a teacher.
        inputs: what it takes: images or vectors.
    """
    best = record.line
    chosen = f"Trial {int(best['trial'])} of a search over {record.trials} finished trials"
    by = ", the one of lowest validation error" if cell else ""
    epoch = f"epoch {int(best['best_epoch'])} of {int(best['epochs'])}"
    choice = (
        f"{chosen}{by}; its weights are those of {epoch}, the best on "
        f"the validation {inputs}. The test {inputs} took part in no choice."
    )
    return [_targets(cell, params, inputs), choice, *_made(cell)]


def _targets(cell: CellName | None, params: dict[str, Any], inputs: str) -> str:
    if cell is None:
        views = ", augmented again in every epoch" if inputs == "images" else ""
        return f"A teacher: trained on the true labels of the training {inputs}{views}."

    # A student on labels, or on other logits than the ensemble's.
    epochs = TransferManifest.read(DATA / "augmented").epochs
    views = "augmented " if inputs == "images" else ""
    stored = f"on {epochs} stored epochs of {views}training {inputs}"
    if cell.hard:
        return f"Trained on the true labels, {stored}."
    if cell.group == "student_2014":
        return (
            f"A mimic net of Ba and Caruana (2014): trained {stored} to give the logits of the "
            "teachers of 2014."
        )

    # A mimic net.
    ensemble = read_ensemble(METRICS / "ensemble.json")
    members = len(EnsembleManifest.read(DATA / "ensemble").members)
    size = f"{ensemble['params']:,} parameters, " if ensemble["params"] else ""
    words = origin_words(ensemble)
    origin = f"; its members are {words}" if words else ""
    mean = "weighted mean of the logits" if "weights" in ensemble else "mean logits"
    mimic = (
        f"A mimic net: trained {stored} to give the {mean} of an ensemble of {members} nets "
        f"(squared error){origin}. The ensemble has {size}"
        f"validation accuracy {ensemble['validation_accuracy']:.4f} and test "
        f"accuracy {ensemble['test_accuracy']:.4f}."
    )
    if cell.group == "mimic":
        return mimic

    # A variant of one.
    entry = params["ablation_rows"][cell.row]
    changes = {name: value for name, value in entry.items() if name != "of"}
    base = ablation(params, cell.row).of
    return (
        f"{mimic} That is the row {base}; this net is a variant of it, with "
        f"`{json.dumps(changes)}` instead."
    )


def _made(cell: CellName | None) -> list[str]:
    """Where and with what it was trained, from metrics/environment.json, if that says so."""
    stage = cell.recorded if cell else "teachers"
    try:
        entries = read_json(RECORD)
        entry = next(entry for entry in entries if stage in entry["stages"])

        changed = ", with changes" if entry["changed"] else ""
        commit = f"at commit {entry['commit']}{changed}" if entry["commit"] else "outside git"
        device = entry["processor"] if entry["device"] == "cpu" else entry["device"]
        how = (
            f"with torch {entry['torch']} in {entry['precision']} on {device}, seed {entry['seed']}"
        )

        return [f"Trained {commit}, {how}."]
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return ["Commit and machine of the training are not recorded."]


def limits(record: NetRecord, chosen: bool) -> list[str]:
    """What the run says of how far the numbers carry.

    Args:
        record: of the net.
        chosen: whether the net is the best of its search.
    """
    said = []
    if record.retrained:
        mean = sum(record.retrained) / len(record.retrained)
        count = len(record.retrained)
        said.append(
            f"The same settings from {count} other seeds gave a test accuracy of {mean:.4f} on "
            "average; this net was chosen as the best of its search."
        )
    elif chosen:
        said.append(
            "Its accuracies are those of the best net of its search, which was not trained from other seeds."
        )

    error = "how far they are from one was not measured"
    if record.calibration is not None:
        error = f"expected calibration error {record.calibration:.3f} on the test set, {BINS} bins"
    said.append(f"The softmax of its outputs is not a calibrated probability: {error}.")

    return said
