"""A run whose rows the user named: the nets and not the names say what has convolution."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from stages import draw, page
from stages.report.cells import families, read_cells
from stages.report.figures.colors import row_colors
from stages.report.page.text import readable
from stages.settings.read import read_params
from tests.helpers.page_run import make
from tools.pocket import pocket_params

BOXES = {"60k": [[4, 6], [6, 8]]}
ROWS = ["mlp1", "conv-like", "narrow", "conv1"]
NETS = {"mlp1": "mlp1", "conv-like": "mlp2", "narrow": "conv2", "conv1": "conv1"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = pocket_params()["rows"]
    own = {
        "narrow": {"net": "conv2", "boxes": BOXES},
        "conv-like": {"net": "mlp2", "ratios": [0.5, 1.0]},
    }
    changes = {
        "rows": {**rows, **own},
        "students.rows": ROWS,
        "students.budgets": ["60k"],
        "hard_rows.narrow": {"net": "conv2", "boxes": BOXES},
        "hard.rows": ["narrow"],
        "hard.budgets": ["60k"],
        "ablations": {"rows": [], "budgets": []},
    }
    folder = make(tmp_path_factory.mktemp("named"), list("abcd"), (8, 8, 3), changes=changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        draw.main()
        page.main()
    return folder


def best(folder: Path, rows: list[str]) -> str:
    """The row whose best trial has the lowest validation error."""
    tables = {row: pd.read_csv(folder / f"metrics/students/{row}-60k.csv") for row in rows}
    return min(rows, key=lambda row: tables[row]["validation_error"].min())


def test_the_family_is_read_from_the_tables(finished: Path) -> None:
    cells = read_cells(finished / "metrics", read_params(finished / "params.yaml"), "mimic")
    assert families(cells.values()) == NETS


def test_outputs_are_those_of_the_best_with_and_without_convolution(finished: Path) -> None:
    conv = best(finished, ["narrow", "conv1"])
    plain = best(finished, ["mlp1", "conv-like"])
    shown = pd.read_csv(finished / "metrics/confusion.csv")["net"].unique()
    wanted = ["ensemble", "teacher", f"mimic {conv} 60k", f"mimic {plain} 60k"]
    assert [net for net in shown if not net.startswith("hard")] == wanted
    assert ("hard narrow 60k" in shown) == (conv == "narrow")


def test_the_page_says_which_nets_have_convolution(finished: Path) -> None:
    text = (finished / "plots/report.html").read_text(encoding="utf-8").split("<script")[0]
    conv = best(finished, ["narrow", "conv1"])
    plain = best(finished, ["mlp1", "conv-like"])
    sentence = next(line for line in text.splitlines() if "best one with convolution" in line)
    with_it, without = sentence.split("best one with convolution")[1].split("without")
    assert f"({conv} at 60k" in with_it and f"({plain} at 60k" in without


def test_colours_are_those_of_the_nets(finished: Path) -> None:
    script = (finished / "plots/report.html").read_text(encoding="utf-8").split("<script")[1]
    charts = json.loads(script.split(">", 1)[1].split("</script")[0])
    colors = row_colors(ROWS, NETS)
    legend = {entry["group"]: entry["color"] for entry in charts["figure1"][0]["legend"]}
    assert {row: legend[row] for row in ROWS} == {row: readable(colors[row]) for row in ROWS}
    names = row_colors(ROWS, {**NETS, "narrow": "mlp2", "conv-like": "conv2"})
    assert to_hex(names["narrow"]) != to_hex(colors["narrow"]), "another family, another colour"


def test_claims_count_rows_by_their_nets(finished: Path) -> None:
    claims = json.loads((finished / "metrics/claims.json").read_text())["claims"]
    assert claims["conv_gap"]["comparisons"] == 4, "conv1 and narrow over mlp1 and conv-like"
    assert list(claims["compression_gap"]["effects"]) == ["narrow 60k"]
    assert claims["below_ensemble"]["comparisons"] == 4
    assert claims["mlp_ceiling"]["comparisons"] == 2
    assert claims["depth_order"]["comparisons"] == 0, "conv1 is the only row of the paper's depths"


def test_table_1_takes_layers_from_the_net(finished: Path) -> None:
    lines = (finished / "metrics/table1.md").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith("| narrow, 60k |")]
    assert line.startswith("| narrow, 60k | c-mp-c-mp-fc |")
