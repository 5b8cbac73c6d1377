"""What is read of a sweep: its best trials, and one line for every damage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stages.report.cells import (
    families,
    origin_words,
    read_cell,
    read_cells,
    read_ensemble,
    read_sweep,
    read_teachers,
)
from stages.settings.groups import CellName
from tools.pocket import pocket_params

HEAD = "trial,validation_error,best_so_far,test_accuracy,params,widths,reason\n"
A = CellName("hard", "a", "1M")


def write_sweep(stem: Path, lines: list[str], accuracy: float = 0.5) -> None:
    """A trial table of `lines` and its metrics."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    (stem.parent / f"{stem.name}.csv").write_text(HEAD + "".join(f"{line}\n" for line in lines))
    (stem.parent / f"{stem.name}.json").write_text(json.dumps({"test_accuracy": accuracy}))
    (stem.parent / f"{stem.name}.retrained.csv").write_text(
        "run,validation_error,test_accuracy,test_sha256\n"
    )


def test_shown_are_the_five_best_by_validation_error(tmp_path: Path) -> None:
    errors = ["0.30", "0.20", "", "0.10", "0.20", "0.40", "0.25", "0.20"]
    lines = [f"{i},{e},0.1,{0.9 - i / 100},{1000 + i},3 4," for i, e in enumerate(errors)]
    name = CellName("mimic", "conv1", "1M")
    write_sweep(tmp_path / name.files, lines, 0.87)
    found = read_cell(tmp_path, name)
    assert list(found.shown["trial"]) == [3, 1, 4, 7, 6], "ties go to the earlier trial"
    assert found.params == 1003 and found.test_accuracy == 0.87
    assert (found.row, found.budget, len(found.trials)) == ("conv1", "1M", 8)


def test_ties_go_to_the_earlier_trial_whatever_the_order_of_lines(tmp_path: Path) -> None:
    write_sweep(tmp_path / A.files, [f"{i},0.5,0.5,0.4,{i},1," for i in (4, 2, 6, 0, 1, 3, 5)])
    assert list(read_cell(tmp_path, A).shown["trial"]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", range(1, 7))
def test_failed_trials_are_never_shown(tmp_path: Path, count: int) -> None:
    failed = ["0,,,,500,1,loss is nan"]
    write_sweep(
        tmp_path / A.files, failed + [f"{i + 1},0.{i + 1},0.1,0.5,7,1," for i in range(count)]
    )
    assert list(read_cell(tmp_path, A).shown["trial"]) == list(range(1, min(count, 5) + 1))


def test_missing_and_damaged_cells(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a-1M\.csv not found: run 'dvc repro'"):
        read_cell(tmp_path, A)
    write_sweep(tmp_path / A.files, ["0,0.1,0.1,0.5,7,1,"])
    table, metrics = (tmp_path / f"{A.files}.{end}" for end in ("csv", "json"))
    read_cell(tmp_path, A)
    whole = metrics.read_text()
    for text in ("", "{", "{}", "[]", "3"):
        metrics.write_text(text)
        with pytest.raises(ValueError, match=r"a-1M\.json is damaged"):
            read_cell(tmp_path, A)
    metrics.write_text(whole)
    without = HEAD.replace("params,", "")
    for text in ("", "x,y\n1,2\n", HEAD + 'a,"', HEAD.replace("trial,", ""), without):
        table.write_text(text)
        with pytest.raises(ValueError, match=r"a-1M\.csv or .* is damaged"):
            read_cell(tmp_path, A)
    metrics.unlink()
    with pytest.raises(FileNotFoundError, match=r"a-1M\.json"):
        read_cell(tmp_path, A)


def test_budgets_with_a_point_keep_their_name(tmp_path: Path) -> None:
    write_sweep(tmp_path / "a-3.16M", ["0,0.1,0.1,0.5,7,1,"], 0.25)
    assert read_sweep(tmp_path / "a-3.16M")[1] == {"test_accuracy": 0.25}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[1]",
        '{"test_accuracy": 1.5, "validation_accuracy": 0.5, "params": 9}',
        '{"test_accuracy": 0.5, "validation_accuracy": "x", "params": 9}',
        '{"test_accuracy": 0.5, "validation_accuracy": 0.5, "params": 9.5}',
        "[" * 100_000,
    ],
)
def test_damaged_facts_of_the_ensemble_are_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "ensemble.json").write_text(text)
    with pytest.raises(ValueError, match=r"ensemble\.json is damaged .*dvc repro --force ensemble"):
        read_ensemble(tmp_path / "ensemble.json")


# families


def listed(*rows: str) -> dict[str, Any]:
    """Params with these rows of mimic nets, at one budget."""
    own = {
        "narrow": {"net": "conv2", "boxes": {"60k": [[4, 6], [6, 8]]}},
        "odd": {"boxes": {"60k": [[4, 6], [6, 8]]}},
    }
    params = pocket_params({"students.rows": list(rows), "students.budgets": ["60k"]})
    params["rows"].update(own)
    return params


def write_family(stem: Path, families: list[str]) -> None:
    """A sweep of as many trials, whose table says these families."""
    lines = [f"{i},0.1,0.1,0.5,7,1,,{family}" for i, family in enumerate(families)]
    write_sweep(stem, lines)
    path = stem.parent / f"{stem.name}.csv"
    path.write_text(path.read_text().replace(",reason\n", ",reason,family\n"))


def test_the_trial_table_says_the_family(tmp_path: Path) -> None:
    """Whatever the row is called, and whatever params.yaml says now."""
    write_family(tmp_path / "students/narrow-60k", ["mlp2", "mlp2"])
    (cell,) = read_cells(tmp_path, listed("narrow"), "mimic").values()
    assert (cell.row, cell.budget, cell.family) == ("narrow", "60k", "mlp2")
    assert families([cell, replace(cell, family="conv1")]) == {"narrow": "mlp2"}


def test_tables_of_earlier_versions_take_the_family_from_params(tmp_path: Path) -> None:
    for row in ("narrow", "conv1", "odd"):
        write_sweep(tmp_path / f"students/{row}-60k", ["0,0.1,0.1,0.5,7,1,"])
    cells = read_cells(tmp_path, listed("narrow", "conv1"), "mimic")
    assert families(cells.values()) == {"narrow": "conv2", "conv1": "conv1"}
    words = "odd-60k.csv has no column 'family'.* net 'odd'.*dvc repro --force students@odd-60k"
    with pytest.raises(ValueError, match=words):
        read_cells(tmp_path, listed("odd"), "mimic")


@pytest.mark.parametrize("names", [["conv2", "mlp2"], ["conv9", "conv9"], ["", ""]])
def test_a_damaged_family_is_one_line(tmp_path: Path, names: list[str]) -> None:
    write_family(tmp_path / A.files, names)
    with pytest.raises(ValueError, match=r"a-1M\.csv is damaged \(column family says") as caught:
        read_cell(tmp_path, A)
    assert "\n" not in str(caught.value)


def test_a_run_without_a_search_of_teachers_has_none(tmp_path: Path) -> None:
    (tmp_path / "teachers.json").write_text('{"source": "files"}')
    assert read_teachers(tmp_path) is None

    (tmp_path / "teachers.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="run 'dvc repro'"):
        read_teachers(tmp_path)


def test_where_members_are_from() -> None:
    of_file = {"name": "forest", "format": "onnx"}
    assert origin_words({"params": 3}) == ""
    words = origin_words({"nets": [{"trial": 2}], "weights": [1.0]})
    assert words == "of the search, with weights"
    assert origin_words({"nets": [of_file]}) == "from files: forest (onnx)"
    both = {"nets": [{"trial": 2}, of_file], "weights": [0.5, 0.5]}
    assert origin_words(both) == "1 of the search, and from files: forest (onnx), with weights"
    logits = {"nets": [{"name": "theirs", "format": "logits"}]}
    assert origin_words(logits) == "only the logits of theirs, which another program has made"
