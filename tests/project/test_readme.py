"""The README does what it says at the scale `smoke`, and two experiments are compared."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from ruamel.yaml import YAML

from stages.store.prepared import read_test
from tests.helpers.pocket import dvc, ran
from tests.project.test_guide import table, walked
from tools.pocket import ROOT, composed, git, make

README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"<!-- (?P<name>[\w-]+) -->\n```sh\n(?P<text>.*?)\n```", re.S)
BLOCKS = {found["name"]: found["text"] for found in BLOCK.finditer(README)}
ROWS = ["mlp1", "conv2"]
CELLS = {f"students@{row}-{budget}" for row in ROWS for budget in ("60k", "180k")}
REPORTS = {"extra", "tabulate", "assess", "draw", "page"}


def test_every_block_of_commands_is_known() -> None:
    assert list(BLOCKS) == ["run", "test", "scales", "compare", "use"]
    assert README.count("```sh") == len(BLOCKS), "a block without a name is run by no test"


def smoke(folder: Path, rows: list[str]) -> Path:
    """A git repository with the pipeline at the scale `smoke`, its rows only these."""
    make(folder)
    params = composed("smoke")
    params["students"]["rows"], params["hard"]["rows"] = (
        rows,
        [row for row in rows if row.startswith("conv")],
    )
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(params, file)
    git(folder, "commit", "-q", "--all", "-m", "Smoke")
    return folder


def tables(folder: Path, revision: str) -> dict[str, float]:
    """metrics/tables.json of a revision: row.budget -> per cent."""
    return flat(json.loads(git(folder, "show", f"{revision}:metrics/tables.json")))


def flat(found: dict[str, dict[str, float]]) -> dict[str, float]:
    return {
        f"{row}.{column}": value for row, cells in found.items() for column, value in cells.items()
    }


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_commands_of_the_readme_and_two_experiments(tmp_path: Path) -> None:
    folder, said = smoke(tmp_path / "smoke", ROWS), tmp_path / "said"
    first = walked(BLOCKS["run"].rpartition("&& ")[2], folder, said)
    assert (
        CELLS | REPORTS | {"teachers", "hard@conv2-180k"} < ran(first) and "**Table 2.**" in first
    )
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "First run")

    compare = BLOCKS["compare"].replace("/some/folder", str(tmp_path / "storage"))
    shown = walked(compare, folder, said)
    assert ran(shown) == {"hard@conv2-180k"} | REPORTS
    (first_name,) = dvc(folder, "exp", "list", "--name-only", "--all-commits").split()
    same_as(table(shown), tables(folder, "HEAD"), tables(folder, reference(folder, first_name)))
    assert table(shown)["params.yaml", "hard.space.momentum.high"] == ["0.92", "0.9"]
    assert list((tmp_path / "storage").rglob("*.dir")), "pushed"

    Image.fromarray(read_test(folder / "data/prepared")[0][0]).save(folder / "cat.png")
    (folder / "photos/3").mkdir(parents=True)
    shutil.copyfile(folder / "cat.png", folder / "photos/3/cat.png")
    used = walked(BLOCKS["use"].partition("\n")[2], folder, said)
    assert (folder / "exports/students/conv2-180k/model.onnx").is_file()
    assert len(re.findall(r"\d+\.\d %", used[used.index("cat.png") :])) == 3, used

    again = dvc(folder, "exp", "run", "-n", "gentle", "-S", "students.space.momentum.high=0.9")
    assert ran(again) == CELLS | REPORTS
    both = table(dvc(folder, "exp", "diff", "--md", first_name, "gentle"))
    same_as(
        both,
        tables(folder, reference(folder, first_name)),
        tables(folder, reference(folder, "gentle")),
    )
    assert both["params.yaml", "students.space.momentum.high"] == ["0.92", "0.9"]
    assert both["params.yaml", "hard.space.momentum.high"] == ["0.9", "0.92"]


def reference(folder: Path, name: str) -> str:
    """Where git keeps an experiment."""
    return git(folder, "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}").strip()


def same_as(
    shown: dict[tuple[str, str], list[str]], before: dict[str, float], after: dict[str, float]
) -> None:
    """A table of differences has those rows of two tables.json that differ, and no others."""
    wanted = {name: [before[name], after[name]] for name in before if before[name] != after[name]}
    found = {
        key[1]: [float(value) for value in values]
        for key, values in shown.items()
        if "tables.json" in key[0]
    }
    assert found == wanted != {}


@pytest.mark.parametrize(("column", "run"), [(1, "smoke"), (2, "2026-11-21-cpu")])
def test_the_results_have_the_verdicts_of_the_runs_that_are_kept(column: int, run: str) -> None:
    section = (ROOT / "README.md").read_text().split("## Results", 1)[1].split("\n\n", 2)[1]
    cells = [line.split("|")[1:-1] for line in section.splitlines()[2:]]
    written = [line[column].split(":")[0].strip() for line in cells]
    claims = json.loads((ROOT / "docs/results" / run / "claims.json").read_text())["claims"]
    measured = [claim["verdict"].removesuffix(" at this scale") for claim in claims.values()]
    assert written == measured
