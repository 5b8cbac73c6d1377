"""board: the table on terminals of all sizes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from commands.pipeline.board import Board, BoardRow, grid


def many(*statuses: str) -> Board:
    """A board with a row for each status."""
    now = {"running": "#12 epoch 12/160, #13 again epoch 3/160"}
    ends = {"done": ("70.0 %", "")}
    rows = [
        BoardRow(
            f"students conv{k}-31.6M",
            status,
            "10/24",
            now.get(status, ""),
            "71.2 %",
            *ends.get(status, ("", "12 h 02 min")),
        )
        for k, status in enumerate(statuses)
    ]

    return Board("12 of 44 stages done", tuple(rows), "--once lists them")


def on_terminal(board: Any, width: int = 80, height: int = 24) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=width, height=height).print(board)
    return text.getvalue().splitlines()


def test_what_runs_is_always_visible(tmp_path: Path) -> None:
    """Done rows are folded first, then waiting ones, then the others; none if there is room."""
    board = many(
        *["done"] * 20, *["running"] * 4, *["stopped"] * 2, *["changed"] * 3, *["waiting"] * 15
    )
    assert len(on_terminal(board, 120, 60)) == 46 == len(on_terminal(board.whole(), 120, 24))

    lines = on_terminal(board, 120, 40)
    assert len(lines) == 2 + 24 + 1 and lines[-1].rstrip() == "20 stages done: --once lists them"

    lines = on_terminal(board)
    assert [line.rstrip() for line in lines[-2:]] == [
        "20 stages done: --once lists them",
        "15 stages waiting",
    ]
    assert (
        sum("running" in line for line in lines) == 4
        and sum("stopped" in line for line in lines) == 2
    )

    lines = on_terminal(many(*["running"] * 30, "done", "done"), height=24)
    assert (
        len(lines) == 24
        and lines[-1].startswith("10 more")
        and sum("running" in line for line in lines) == 20
    )
    assert len(on_terminal(many("done", *["running"] * 4), height=7)) == 7, (
        "one row is not folded into one line"
    )


@pytest.mark.parametrize("width", [50, 60, 80, 100, 120])
def test_no_row_wraps(width: int) -> None:
    board = many("done", "running", "waiting")
    lines = on_terminal(board, width)
    assert len(lines) == 5 and max(map(len, lines)) <= width

    names = [
        f"students conv{k}-31.6M  {status}"
        for k, status in enumerate(("done", "running", "waiting"))
    ]

    assert all(line.startswith(name) for name, line in zip(names, lines[2:], strict=True))
    assert "#12 epoch" in lines[3]

    if width == 80:
        assert "test" not in lines[1] and "12 h 02 min" in lines[3] and "71.2 %" in lines[3]
    heads = [str(column.header) for column in grid(board.rows, 200).columns]
    assert heads == ["stage", "", "trials", "now", "validation", "test", "left"]
