"""What a reader is to the fuzz tests, and the readers of params, JSON, journals and metrics."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from ruamel.yaml import YAML

from commands import scale
from stages import prepare as prepare_stage
from stages.report.cells import read_cell
from stages.search.ask_tell import TrialRow
from stages.search.journal import Journal
from stages.search.space import Space
from stages.settings import common, groups, prepare, results, students, teachers, transfer, whole
from stages.settings.read import read_params
from stages.settings.sweeps import split_space
from stages.store.atomic import read_json, write_json
from stages.store.manifest import folder_hash, read_manifest, write_manifest
from stages.trials.folder import TrialFolder
from stages.trials.tables import write_retrained, write_table
from tests.faults.corrupt import edit, junk, spoil
from tools.pocket import pocket_params


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        broken: makes an input; it is never the sound one.
        read: gives a value, or raises ValueError or OSError.
        judge: "same" or "valid" for an accepted value; AssertionError where neither is true.
        names: what the message of a refusal must contain.
        weight: share of the inputs.
    """

    name: str
    broken: Callable[[Random], Any]
    read: Callable[[Any], Any]
    judge: Callable[[Any, Any], str]
    names: str
    weight: int


def new_folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def spoiler(path: Path, *others: Path) -> Callable[[Random], Path]:
    """Writes a spoilt copy of a sound file in its place."""
    data, mixed = path.read_bytes(), [other.read_bytes() for other in others]

    def broken(rng: Random) -> Path:
        whole = rng.random() < 0.03 and mixed
        path.write_bytes(
            rng.choice(mixed) if whole else spoil(rng, data, rng.choice(mixed) if mixed else b"")
        )
        return path

    return broken


def equal(left: Any, right: Any) -> bool:
    """Equality of nested values, arrays and tensors by type, shape and bytes."""
    if isinstance(left, torch.Tensor):
        left, right = left.numpy(), right.numpy() if isinstance(right, torch.Tensor) else right
    if isinstance(left, np.ndarray):
        same = isinstance(right, np.ndarray) and (left.dtype, left.shape) == (
            right.dtype,
            right.shape,
        )
        return same and left.tobytes() == right.tobytes()
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and left.keys() == right.keys()
            and all(equal(left[k], right[k]) for k in left)
        )
    if isinstance(left, list | tuple):
        return (
            type(left) is type(right) and len(left) == len(right) and all(map(equal, left, right))
        )
    return type(left) is type(right) and left == right


def among(*originals: Any) -> Callable[[Any, Any], str]:
    """A judge: the value is one of these."""

    def judge(item: Any, value: Any) -> str:
        assert any(equal(original, value) for original in originals), (
            f"accepted as {str(value)[:300]}"
        )
        return "same"

    return judge


def read_all(params: Any) -> Any:
    """Everything that prepare checks before it computes, and what `scale --cost` adds up."""
    whole.check(params)
    data = prepare.prepare(params)
    prepare_stage.check_cells(params, 10, data.inputs)
    sections = (students.matrix(params, target) for target in ("mimic", "hard"))
    for section in (teachers.teachers(params, data.inputs), *sections):
        Space.from_params(split_space(section.space)[0])
    scale.jobs(params)
    return params


def faithful(parsed: Any, raw: Any) -> bool:
    """What was read is what was written: no string became a number, nothing was dropped."""
    if dataclasses.is_dataclass(parsed):
        named = {field.name for field in dataclasses.fields(parsed)}
        return (
            isinstance(raw, dict)
            and raw.keys() <= named
            and all(faithful(getattr(parsed, k), raw[k]) for k in raw)
        )
    if isinstance(parsed, dict):
        return (
            isinstance(raw, dict)
            and parsed.keys() == set(map(str, raw))
            and len(parsed) == len(raw)
            and all(faithful(parsed[str(key)], raw[key]) for key in raw)
        )
    if isinstance(parsed, tuple):
        return isinstance(raw, list) and len(parsed) == len(raw) and all(map(faithful, parsed, raw))
    if isinstance(parsed, float):
        return type(raw) in (int, float) and parsed == float(raw) and math.isfinite(parsed)
    return type(parsed) is type(raw) and parsed == raw


def judge_params(item: Any, params: dict[str, Any]) -> str:
    """Every section holds exactly what the YAML says; names are safe in paths and shells."""
    pairs = [
        (common.seed(params), params["seed"]),
        (common.numerics(params), params["numerics"]),
        (common.execution(params), params["execution"]),
        (common.images(params), params["images"]),
        (prepare.prepare(params), params["prepare"]),
        (transfer.ensemble(params), params["ensemble"]),
        (transfer.augment(params), params["augment"]),
        (teachers.teachers(params, prepare.prepare(params).inputs), params["teachers"]),
        (results.tabulate(params), params["tabulate"]),
        (results.assess(params), params["assess"]),
        (results.draw(params), params["draw"]),
        (results.scale(params), params["scale"]),
    ]
    for target in ("mimic", "hard"):
        section = students.matrix(params, target)
        pairs.append((section, params[groups.GROUPS[target].section]))
        for name in section.rows:
            rows = params[groups.GROUPS[target].rows]
            pairs.append((students.row(params, target, name), rows[name]))
        for word in (*section.rows, *section.budgets):
            assert (
                word.isascii() and word.replace("-", "").replace("_", "").replace(".", "").isalnum()
            ), word
    for parsed, raw in pairs:
        assert faithful(parsed, raw), f"{str(raw)[:300]} was read as {str(parsed)[:300]}"
    return "valid"


def params_readers(root: Path) -> list[Reader]:
    """params.yaml as values and as text."""
    sound = pocket_params()
    read_all(sound)
    text = io.StringIO()
    YAML().dump(sound, text)
    path = root / "params.yaml"
    path.write_text(text.getvalue())
    spoilt = spoiler(path)
    paths = [keys for keys in _paths(sound) if keys]

    def one_key(rng: Random) -> dict[str, Any]:
        """Every key in turn is replaced; else like `edit`."""
        if rng.random() < 0.5:
            return edit(rng, sound)
        params = copy.deepcopy(sound)
        *above, last = rng.choice(paths)
        node: Any = params
        for key in above:
            node = node[key]
        node[last] = junk(rng)
        return params

    return [
        Reader("params values", one_key, read_all, judge_params, "", 30),
        Reader(
            "params text",
            spoilt,
            lambda p: read_all(read_params(p)),
            judge_params,
            "params.yaml",
            8,
        ),
    ]


def _paths(value: Any) -> list[tuple[Any, ...]]:
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    return [(), *((key, *rest) for key in keys for rest in _paths(value[key]))]


def json_readers(root: Path) -> list[Reader]:
    """JSON files, manifests, trial results and journals."""
    facts = {"epochs": 3, "hsv": {"D_h": 0.1}, "list": [1, 2.5, None, True, "x"]}
    plain, data = root / "plain.json", new_folder(root / "data")
    write_json(plain, facts)
    (data / "file").write_text("x")
    write_manifest(data, facts)
    trial, values = TrialFolder(root, 7), {"lr": 0.25, "C1": 3}
    result = {"value": 0.25, "reason": None, "errors": [0.5, 0.25]}
    trial.finish(values, 11, result, 1.0)
    journal, header = root / "journal.jsonl", {"space": {"lr": [0, 1]}, "settings": {"seed": 1}}
    held = Journal.open(journal, header)
    for i in range(3):
        held.append({"event": "start", "trial": i, "params": {"lr": 0.125 * i}, "seed": 11 * i})
        held.append(
            {
                "event": "done",
                "trial": i,
                "value": 0.5 - 0.125 * i,
                "reason": None,
                "result": {"params": 9},
            }
        )
    events = list(held.events)

    def judge_json(path: Path, value: Any) -> str:
        text = path.read_bytes().decode()
        assert json.dumps(value, allow_nan=False) == json.dumps(json.loads(text))
        return "valid"

    def judge_result(item: Any, value: Any) -> str:
        assert value is None or equal(value, result), f"accepted as {value}"
        return "same"

    def judge_journal(item: Any, value: list[Any]) -> str:
        assert equal(value, events[: len(value)]), f"accepted as {str(value)[:400]}"
        return "same"

    def manifest(path: Path) -> dict[str, Any]:
        folder_hash(data)
        return read_manifest(data)

    def judge_manifest(path: Path, value: Any) -> str:
        assert isinstance(value, dict)
        return judge_json(path, value)

    kept = trial.folder / "result.json"
    return [
        Reader("json", spoiler(plain), read_json, judge_json, plain.name, 4),
        Reader(
            "manifest",
            spoiler(data / "manifest.json"),
            manifest,
            judge_manifest,
            "manifest.json",
            3,
        ),
        Reader(
            "trial result", spoiler(kept), lambda p: trial.finished(values, 11), judge_result, "", 3
        ),
        Reader(
            "journal",
            spoiler(journal),
            lambda p: Journal.open(p, header).events,
            judge_journal,
            "journal",
            8,
        ),
    ]


def metrics(root: Path) -> list[Reader]:
    """The CSV and JSON of a cell, as tabulate and draw read them."""
    name = groups.CellName("mimic", "conv2", "60k")
    stem = root / name.files
    stem.parent.mkdir(parents=True, exist_ok=True)
    table, facts, again = (Path(f"{stem}.{end}") for end in ("csv", "json", "retrained.csv"))
    row = {"validation_error": 0.5, "test_accuracy": 0.25, "params": 60000, "widths": [3, 4]}
    row["family"] = "conv2"
    lines = [{**row, "trial": i} for i in range(3)]
    write_table(table, lines, ("params", "widths", "family"))
    write_json(facts, {"test_accuracy": 0.25, "validation_accuracy": 0.5})
    runs = [TrialRow(k, {}, 1, 0.5, None, {"errors": [0.5]}) for k in range(3)]
    tested = {k: {"test_accuracy": 0.25, "test_sha256": "ab" * 32} for k in range(3)}
    write_retrained(again, runs, tested, ("epochs", "test_sha256"))

    def read(path: Path) -> tuple[Any, ...]:
        cell = read_cell(root, name)
        assert cell.family in ("conv2", "")  # empty where the name of the column is damaged
        return cell.test_accuracy, cell.params, cell.trials, cell.shown, cell.retrained

    def judge(path: Path, value: tuple[Any, ...]) -> str:
        accuracy, params, trials, shown, retrained = value
        assert list(retrained["run"]) == list(range(len(retrained)))
        shares = retrained["test_accuracy"].dropna()
        assert shares.empty or shares.dtype.kind in "fi" and shares.between(0, 1).all(), list(
            shares
        )
        assert type(accuracy) in (int, float) and 0 <= accuracy <= 1 and params >= 0
        assert len(shown) and shown["validation_error"].notna().all()
        for column in ("validation_error", "best_so_far", "test_accuracy"):
            numbers = trials[column].dropna()
            assert numbers.dtype.kind in "fi" and numbers.between(0, 1).all(), (
                column,
                list(numbers),
            )
        return "valid"

    sound = {path: path.read_bytes() for path in (table, facts, again)}

    def keeping(path: Path) -> Callable[[Random], Path]:
        spoilt = spoiler(path)

        def broken(rng: Random) -> Path:
            for other, data in sound.items():
                other.write_bytes(data)
            return spoilt(rng)

        return broken

    return [
        Reader("metrics CSV", keeping(table), read, judge, "conv2-60k", 4),
        Reader("metrics JSON", keeping(facts), read, judge, "conv2-60k", 3),
        Reader("retrained CSV", keeping(again), read, judge, "conv2-60k", 2),
    ]
