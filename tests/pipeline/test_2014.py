"""The systems of Ba and Caruana (2014) at pocket size: teacher, ensemble, shallow student."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages import assess, draw, page, tabulate
from stages.fit.evaluate import logits
from stages.nets.student import described_student
from stages.report.paper import printed_rows
from stages.report.tables import architecture_2014, markdown2, table2
from stages.settings import whole
from stages.settings.groups import CellName
from stages.store.manifest import read_manifest
from stages.store.prepared import read_test
from stages.store.shards import read_images, read_logits
from stages.store.weights import load_weights
from stages.trials.cell import set_up
from stages.trials.student_data import LabelledOnce
from tests.helpers.pocket import run_cell as cell
from tests.helpers.pocket import run_to_labels
from tests.stages.report.test_tables import cell as made_cell
from tools.pocket import pocket_params, write_params

CHANGES = {
    "teachers_2014": {"rows": ["cnn-2014"], "budgets": ["60k"], "members": 2},
    "students_2014": {"rows": ["snn-2014"], "budgets": ["180k"]},
    "hard_rows.cnn-2014.boxes": {"60k": [[4, 6]], "180k": [[4, 6]]},
    "rows.snn-2014.boxes": {"180k": [[4, 6], [8, 16]]},
    "students.final_seeds": 1,
    "hard.sweep": {"trials": 5, "start": 5, "lag": 1, "engine": "sobol"},
}
CPU = torch.device("cpu")


STUDENT = ("student_2014", "snn-2014", "180k", "--teacher", "cnn-2014", "--teacher_budget", "60k")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predecessor")
    write_params(folder, CHANGES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_to_labels()
        cell("teacher_2014", "cnn-2014", "60k"), cell(*STUDENT)
        tabulate.main(), assess.main(), draw.main(), page.main()
    return folder


def test_the_ensemble_is_made_of_the_best_teachers(finished: Path) -> None:
    folder, facts = finished / "data/hard/cnn-2014-60k", finished / "metrics/hard/cnn-2014-60k.json"
    with (finished / "metrics/hard/cnn-2014-60k.csv").open() as file:
        lines = sorted(csv.DictReader(file), key=lambda line: float(line["validation_error"]))
    best = [int(line["trial"]) for line in lines[:2]]
    assert read_manifest(folder)["members"] == best != [0, 1], (
        "the first two would do as well: give it more trials"
    )
    images, labels, _ = read_test(finished / "data/prepared")
    total, params = 0.0, 0
    for place in range(2):
        state, description = load_weights(folder / f"member-{place:02d}.safetensors")
        net = described_student(description)
        net.load_state_dict(state)
        total = total + logits(net, torch.from_numpy(images), 200).double().numpy()
        params += sum(p.numel() for p in net.parameters())
    found = json.loads(facts.read_text())
    assert found["ensemble_test_accuracy"] == (total.argmax(1) == labels).mean()
    assert (found["members"], found["ensemble_params"]) == (2, params)


def test_the_student_learns_from_that_ensemble(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels are computed once, for exactly the stored images, for trials and retrained nets."""
    (work,) = (finished / "work/students_2014/snn-2014-180k").iterdir()
    assert len(list((work / "labels").glob("epoch-*.safetensors"))) == 3
    assert not (work / "retrained/labels").exists()
    monkeypatch.chdir(finished)
    own = set_up(CellName(*STUDENT[:3], CellName("teacher_2014", "cnn-2014", "60k")))[0]
    arrays, header = read_images(finished / "data/augmented", 1)
    stored = read_logits(work / "labels", 1, header["images_sha256"])
    fresh = LabelledOnce(replace(own, work=finished / "elsewhere"), CPU)
    np.testing.assert_array_equal(fresh.targets(1, fresh.shard(1)), stored)
    other = read_logits(finished / "data/logits", 1, header["images_sha256"])
    assert np.abs(stored - other).max() > 1e-3, "these are the labels of the paper's ensemble"
    assert len(arrays["images"]) == len(stored)


def test_its_lines_in_the_tables(finished: Path) -> None:
    first, second = (finished / f"metrics/table{k}.md" for k in (1, 2))
    facts = json.loads((finished / "metrics/hard/cnn-2014-60k.json").read_text())
    (teacher,) = [
        line for line in first.read_text().splitlines() if "Teacher CNN (Ba & Caruana 2014)" in line
    ]
    (both,) = [
        line
        for line in first.read_text().splitlines()
        if "Ensemble, 2 CNNs (Ba & Caruana 2014)" in line
    ]
    assert (
        f"{100 * facts['test_accuracy']:.2f}\u00a0%" in teacher
        and "88.00\u00a0%" in teacher
        and "c-mp-" in teacher
    )
    assert f"{100 * facts['ensemble_test_accuracy']:.2f}\u00a0%" in both and "89.00\u00a0%" in both
    (student,) = [line for line in second.read_text().splitlines() if "SNN-ECNN-MIMIC-30k" in line]
    accuracy = json.loads((finished / "metrics/students/snn-2014-180k.json").read_text())[
        "test_accuracy"
    ]
    assert [part.strip() for part in student.split("|")[2:5]] == [
        "",
        f"{100 * accuracy:.2f}\u00a0%",
        "85.8\u00a0%",
    ]
    shown = json.loads((finished / "metrics/tables.json").read_text())
    assert shown["snn-2014"] == {"180k": round(100 * accuracy, 2)} and "hard-cnn-2014" in shown
    claims = json.loads((finished / "metrics/claims.json").read_text())["claims"]
    assert claims["below_ensemble"]["comparisons"] == 2, "the paper's claims are about its own rows"


def test_the_printed_student_has_a_column_of_its_own() -> None:
    cells = [made_cell("conv1", "1M", 0.84), made_cell("snn-2014", "70.9M", 0.85)]
    frame = table2(cells, comparable=True).set_index("row")
    assert (
        frame.loc["snn-2014", "paper_pct"] == 85.8
        and frame.loc["snn-2014", "difference_pct"] == -0.8
    )
    text = markdown2(frame.reset_index(), "caption", True)
    last = "| SNN-ECNN-MIMIC-30k (Ba & Caruana 2014) |  |  |  | 85.00\u00a0% | 85.80\u00a0%"
    assert text.splitlines()[-1].startswith(last)
    assert (
        list(printed_rows())[-1] == "snn-2014"
        and architecture_2014("8 8 8", 9) == "8c-mp-8c-mp-8c-mp-9fc"
    )


BAD: list[tuple[dict[str, Any], str]] = [
    (
        {
            "teachers_2014.members": 3,
            "hard.sweep": {"trials": 2, "start": 2, "lag": 1, "engine": "sobol"},
        },
        "teachers_2014.members is 3, more than hard.sweep.trials 2",
    ),
    (
        {"teachers_2014.rows": [], "teachers_2014.budgets": []},
        "students_2014.rows mimic the ensemble of teachers",
    ),
    (
        {"teachers_2014.budgets": ["60k", "180k"]},
        "teachers_2014.budgets is ['60k', '180k']: one at most",
    ),
    ({"students_2014.rows": ["conv1"]}, "students_2014.rows has conv1, which is listed elsewhere"),
    (
        {"teachers_2014.rows": ["conv2"], "teachers_2014.budgets": ["180k"]},
        "teachers_2014.rows has conv2",
    ),
]


def test_a_student_without_its_teacher_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="say which with --teacher and --teacher_budget"):
        set_up(CellName(*STUDENT[:3]))


@pytest.mark.parametrize(("changes", "words"), BAD, ids=[words[:30] for _, words in BAD])
def test_bad_lists_are_refused_in_one_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        whole.check(pocket_params({**CHANGES, **changes}))
    assert str(caught.value).startswith("params.yaml: ") and words in str(caught.value)
