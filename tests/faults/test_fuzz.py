"""Broken params and files end in one clear line, or in values that keep the rules.

`python -m tests.faults.fuzz --count 1000000` is the long form of the first test.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from stages.report.cells import read_sweep
from stages.search.journal import Journal
from stages.settings import groups, whole
from stages.settings.read import MOST, read_params
from stages.store.atomic import read_json, write_json
from stages.store.manifest import read_manifest
from stages.store.prepared import read_train, write_split
from stages.store.shards import read_images, read_logits, shard_path
from stages.store.tensors import KEY, read_header, read_tensors, write_tensors
from stages.trials.folder import TrialFolder
from stages.trials.tables import write_table
from tests.faults import corrupt, fuzz, readers
from tests.helpers.processes import PATIENCE
from tools.pocket import ROOT, pocket_params


def fuzz_run(folder: Path, *words: str) -> dict[str, Any]:
    """The counts of a run in a process of its own, which a crash would end."""
    out = folder / "out.json"
    command = [sys.executable, "-m", "tests.faults.fuzz", "--json", str(out), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert out.is_file(), (
        f"exit status {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    )
    return json.loads(out.read_text())


def test_some_thousand_broken_inputs(tmp_path: Path) -> None:
    found = fuzz_run(tmp_path, "--count", "2000", "--seed", "1")
    assert found["failures"] == []
    count = 38 + sum(find_spec(name) is not None for name in ("kaldiio", "h5py"))
    assert found["all"]["inputs"] == 2000 and len(found["readers"]) == count
    assert all(
        row["refused"]
        for name, row in found["readers"].items()
        if name not in ("checkpoint", "trial result")
    )


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_million_broken_inputs(tmp_path: Path) -> None:
    found = fuzz_run(tmp_path, "--count", "1000000", "--seed", "0")
    assert found["failures"] == [] and found["all"]["inputs"] == 1_000_000


# --------------------------------------------------------------------- the harness itself can fail


def reader(read: Callable[[Any], Any]) -> readers.Reader:
    """A reader of the number of the input."""
    return readers.Reader("own", lambda rng: rng.random(), read, readers.among(1.0), "own", 1)


def test_tracebacks_unclear_lines_wrong_values_and_hangs_are_failures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(item: float) -> None:
        raise ValueError(f"own: {item}")

    def hang(item: float) -> None:
        while True:
            pass

    monkeypatch.setattr(fuzz, "SECONDS", 0.05)
    bad = (lambda item: {}[item], lambda item: int("x"), lambda item: item, hang)
    failures: list[fuzz.Failure] = []
    assert fuzz.run(reader(refuse), 3, 0, failures) == {"refused": 3} and not failures
    assert fuzz.run(reader(lambda item: 1.0), 3, 0, failures) == {"same": 3} and not failures
    for read in bad:
        assert fuzz.run(reader(read), 2, 0, failures) == {"failed": 2}
    ends = ("KeyError", "AssertionError: unclear", "AssertionError: accepted", "TooSlow")
    assert [end in failure.why for end, failure in zip(ends, failures[::2], strict=True)] == [
        True
    ] * 4


def test_inputs_are_broken_and_depend_on_the_seed_only() -> None:
    data = bytes(range(200))
    made = [corrupt.spoil(Random(i), data) for i in range(300)]
    assert data not in made and made == [corrupt.spoil(Random(i), data) for i in range(300)]
    assert len(set(made)) > 250
    assert fuzz.shares(100_000, [reader(int), reader(int), reader(int)]) == [33333, 33334, 33333]


# ------------------------------------------------------------------------------------------ params


JUNK = (
    "",
    "x; touch marker",
    "1",
    "數",
    None,
    True,
    -1,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    [],
    {},
    [1, [2]],
)


def places(params: Any) -> list[tuple[Any, Any]]:
    """(holder, key) of everything in `params`."""
    keys = (
        list(params)
        if isinstance(params, dict)
        else range(len(params))
        if isinstance(params, list)
        else ()
    )
    return [place for key in keys for place in ((params, key), *places(params[key]))]


def outcome(params: Any) -> str:
    """The line of a refusal, or "" for params that were read as they are written."""
    try:
        readers.read_all(params)
    except ValueError as error:
        assert "\n" not in str(error)
        return str(error)
    assert readers.judge_params(None, params) == "valid"
    return ""


def test_every_key_with_every_wrong_value() -> None:
    params = copy.deepcopy(pocket_params())
    refused = 0
    for holder, key in places(params):
        right = holder[key]
        for junk in JUNK:
            holder[key] = copy.deepcopy(junk)
            refused += outcome(params) != ""
        holder[key] = right
    assert outcome(params) == "" and refused > 0.6 * len(JUNK) * len(places(params))


def test_every_misspelt_key_is_refused_and_every_section_is_needed() -> None:
    params = copy.deepcopy(pocket_params())
    unlisted = [
        params[groups.GROUPS[target].rows][name]
        for target in ("mimic", "hard")
        for name in params[groups.GROUPS[target].rows]
        if name not in params[groups.GROUPS[target].section]["rows"]
    ]
    passed_over = [id(holder) for row in unlisted for holder, _ in [(row, None), *places(row)]]
    for holder, key in places(params):
        rows = any(holder is params[group.rows] for group in groups.GROUPS.values())
        boxes = key in ("60k", "180k")  # a budget that is not listed may be there
        if isinstance(holder, dict) and id(holder) not in passed_over and not rows and not boxes:
            value = holder.pop(key)
            holder[f"{key}x"] = value
            assert f"{key}x" in outcome(params) or "missing" in outcome(params), key
            del holder[f"{key}x"]
            holder[key] = value
    assert outcome(params) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scale: " + "[" * 100_000, "lists and mappings"),  # crashed the YAML library
        ("- " * 30_000, "lists and mappings"),
        ("scale: " + "[" * MOST, "not valid YAML"),
        (
            "a0: &a0 [1, 2]\n"
            + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)),
            "aliases",
        ),
        ("scale: &a [*a]", "aliases"),
        ("# " + "x" * 1_000_000, "characters"),
        ("scale: a\nscale: b\n", "duplicate key"),
    ],
    ids=range(7),  # pytest puts a test's name into an environment variable
)
def test_params_that_would_crash_or_fill_memory_are_refused(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "params.yaml").write_text(text)
    script = "import sys; from stages.settings.read import read_params; read_params(sys.argv[1])"
    command = [sys.executable, "-c", script, str(tmp_path / "params.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1 and words in done.stderr.splitlines()[-1]


def test_aliases_as_people_use_them_are_allowed(tmp_path: Path) -> None:
    params = copy.deepcopy(pocket_params())
    params["hard"]["sweep"] = params["students"]["sweep"]
    with (tmp_path / "params.yaml").open("w") as file:
        YAML().dump(params, file)
    assert "&id001" in (tmp_path / "params.yaml").read_text()
    whole.check(read_params(tmp_path / "params.yaml"))


# ---------------------------------------------------------- the smallest input of each fault found


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "text", [DEEP, '{"a": NaN}', '{"a": 1e999}', '{"a": -Infinity}', "9" * 5000, "\ud800", ""]
)
def test_json_that_python_chokes_on_or_should_not_take(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=r"a\.json is not valid JSON"):
        read_json(path)


def test_a_manifest_is_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("7")
    with pytest.raises(ValueError, match="is not a manifest"):
        read_manifest(tmp_path)


def test_a_changed_digit_in_a_trial_result_is_no_result(tmp_path: Path) -> None:
    trial, values = TrialFolder(tmp_path, 0), {"lr": 0.5}
    trial.finish(values, 1, {"value": 0.25}, 1.0)
    path = trial.folder / "result.json"
    sound = path.read_text()
    assert trial.finished(values, 1) == {"value": 0.25}
    for wrong in (sound.replace("0.25", "0.05"), sound.replace("sha256", "sha255"), DEEP):
        path.write_text(wrong)
        assert trial.finished(values, 1) is None


@pytest.mark.parametrize("fault", ["digit", "name", "lost", "moved", "twice", "deep", "NaN"])
def test_a_changed_lost_or_moved_line_of_a_journal_is_seen(tmp_path: Path, fault: str) -> None:
    path, header = tmp_path / "journal.jsonl", {"seed": 1}
    journal = Journal.open(path, header)
    for trial in range(3):
        journal.append({"event": "done", "trial": trial, "value": 0.25})
    head, first, second, third = path.read_bytes().splitlines(keepends=True)
    broken = {
        "digit": [head, first, second.replace(b"0.25", b"0.05"), third],
        "name": [head, first, second.replace(b"value", b"valuf"), third],
        "lost": [head, second, third],
        "moved": [head, second, first, third],
        "twice": [head, first, first, second, third],
        "deep": [head, DEEP.encode() + b"\n"],
        "NaN": [head, first.replace(b"0.25", b"NaN")],
    }
    path.write_bytes(b"".join(broken[fault]))
    with pytest.raises(ValueError, match=r"line \d is damaged"):
        Journal.open(path, header)
    path.write_bytes(head + first)
    again = Journal.open(path, header)
    again.append({"event": "done", "trial": 1, "value": 0.25})
    assert path.read_bytes() == head + first + second


def test_a_header_that_is_nested_too_deeply_or_is_no_mapping(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {}, {})
    head = json.dumps({"__metadata__": {KEY: DEEP}}).encode()
    deep = len(head).to_bytes(8, "little") + head
    write_tensors(path, {}, [1])  # type: ignore[arg-type]
    for data in (deep, path.read_bytes()):
        path.write_bytes(data)
        for read in (read_tensors, read_header):
            with pytest.raises(
                ValueError, match=r"a\.safetensors is truncated or not a file of this pipeline"
            ):
                read(path)


IMAGES = {
    "index": np.zeros(2, np.int32),
    "labels": np.zeros(2, np.uint16),
    "draws": np.zeros((2, 9), np.uint16),
}


@pytest.mark.parametrize(
    "change",
    [
        {"labels": np.zeros(1, np.uint16)},
        {"draws": np.zeros((2, 8), np.uint16)},
        {"index": np.zeros(2)},
        {"images": np.zeros((2, 4, 5, 3), np.uint8)},
    ],
)
def test_a_whole_file_with_the_wrong_arrays_is_no_image_shard(
    tmp_path: Path, change: dict[str, np.ndarray]
) -> None:
    header = {"epoch": 0, "images_sha256": "ab", "shape": [2, 4, 4, 3]}
    write_tensors(shard_path(tmp_path, 0), IMAGES, header)
    read_images(tmp_path, 0)
    write_tensors(shard_path(tmp_path, 0), {**IMAGES, **change}, header)
    with pytest.raises(ValueError, match="holds no image shard"):
        read_images(tmp_path, 0)


@pytest.mark.parametrize(
    "arrays", [{}, {"logits": np.zeros((2, 3))}, {"logits": np.zeros(3, np.float32)}]
)
def test_a_whole_file_with_the_wrong_arrays_is_no_logits(
    tmp_path: Path, arrays: dict[str, np.ndarray]
) -> None:
    write_tensors(shard_path(tmp_path, 0), arrays, {"epoch": 0, "images_sha256": "ab"})
    with pytest.raises(ValueError, match="holds no logits"):
        read_logits(tmp_path, 0, "ab")


def test_a_whole_file_with_the_wrong_arrays_is_no_split(tmp_path: Path) -> None:
    images, labels = np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2, np.uint8)
    wrong = [
        (images, labels[:1], {"classes": []}),
        (images[..., 0], labels, {"classes": []}),
        (images, labels, {}),
    ]
    for arguments in (*wrong, (images, labels.astype(float), {"classes": []})):
        write_split(tmp_path, "train", *arguments)
        with pytest.raises(ValueError, match="holds no prepared images"):
            read_train(tmp_path)


@pytest.mark.parametrize("change", [("0.5", "4.5"), ("0.5", "0.="), ("60000", "6e4x"), ("0.5", "")])
def test_metrics_that_are_no_fractions_or_counts_are_refused(
    tmp_path: Path, change: tuple[str, str]
) -> None:
    row = {"trial": 0, "validation_error": 0.5, "test_accuracy": 0.25, "params": 60000}
    write_table(tmp_path / "a.csv", [row], ("params",))
    write_json(tmp_path / "a.json", {"test_accuracy": 0.25})
    read_sweep(tmp_path / "a")
    (tmp_path / "a.csv").write_text((tmp_path / "a.csv").read_text().replace(*change))
    with pytest.raises(ValueError, match="is damaged"):
        read_sweep(tmp_path / "a")
