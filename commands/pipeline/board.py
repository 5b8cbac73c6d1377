"""The table of all stages, fitted to a terminal's columns and folded where it has too few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

COLOURS = {
    "done": "green",
    "running": "bold cyan",
    "stopped": "yellow",
    "changed": "yellow",
    "waiting": "dim",
}
FOLDED = ("done", "waiting", "changed", "stopped")
"""What is folded into one line each, in this order, until all fits; never what runs."""
SPARED = ("test", "trials", "left", "validation")
"""Columns left out in this order, until `now` has `LEAST` characters or all that it needs."""
LEAST = 18
GAP = 2
"""Blanks between two columns."""


@dataclass(frozen=True)
class BoardRow:
    """One stage, as it is shown."""

    stage: str
    status: str
    trials: str = ""
    now: str = ""
    validation: str = ""
    test: str = ""
    left: str = ""


@dataclass(frozen=True)
class Board:
    """The table, and the lines above and below it.

    Attributes:
        title: how far all is.
        rows: one for each stage.
        where: where to read about the stages that are done, if they are folded.
        note: below the table; may be empty.
        taken: lines of the window that something else takes.
    """

    title: str
    rows: tuple[BoardRow, ...]
    where: str = ""
    note: str = ""
    taken: int = 0

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """As much as fits in the height of the terminal."""
        fixed = options.update(height=None)
        height = console.height - self.taken
        for count in range(len(FOLDED) + 1):
            shown = self.folded(FOLDED[:count], options.max_width)
            lines = len(console.render_lines(shown, fixed))
            if lines <= height:
                break
        else:
            most = max(self._running() - (lines - height) - 1, 1)
            shown = self.folded(FOLDED, options.max_width, most=most)

        yield shown

    def whole(self) -> Unfolded:
        """All rows, whatever the height."""
        return Unfolded(self)

    def folded(self, kinds: Sequence[str], width: int, most: int | None = None) -> Group:
        """The table with some kinds of rows in one line each, and at most so many of the others."""
        count = Counter(row.status for row in self.rows)
        folded = [kind for kind in kinds if count[kind] > 1]
        rows = [row for row in self.rows if row.status not in folded]
        cut = len(rows) - len(rows[:most])

        lines = [f"{count[kind]} stages {kind}" for kind in folded]
        lines = [f"{text}: {self.where}" if text.endswith("done") else text for text in lines]
        if cut:
            lines.append(f"{cut} more; a higher window shows them")

        return Group(
            Text(self.title),
            *([grid(rows[:most], width)] if rows else []),
            *(Text(text, style="dim") for text in lines),
            *([Text(self.note, style="yellow")] if self.note else []),
        )

    def _running(self) -> int:
        return sum(row.status not in FOLDED for row in self.rows)


@dataclass(frozen=True)
class Unfolded:
    """A board without folds."""

    board: Board

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """All rows."""
        yield self.board.folded((), options.max_width)


def grid(rows: Sequence[BoardRow], width: int) -> Table:
    """Rows in columns, none of them wrapped; only `now` is ever cut."""
    # What every column needs; the empty ones go.
    widths = {
        field.name: max(len(_head(field.name)), *(len(getattr(row, field.name)) for row in rows))
        for field in fields(BoardRow)
        if field.name == "stage" or any(getattr(row, field.name) for row in rows)
    }

    # Some are left out for `now`, which takes what remains.
    for name in SPARED:
        if sum(widths.values()) + GAP * (len(widths) - 1) <= width:
            break
        others = sum(wide + GAP for column, wide in widths.items() if column != "now")
        if "now" in widths and width - others >= min(LEAST, widths["now"]):
            break
        widths.pop(name, None)

    over = sum(widths.values()) + GAP * (len(widths) - 1) - width
    if over > 0 and "now" in widths:
        widths["now"] = max(widths["now"] - over, 1)

    # The table itself.
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
    for name, wide in widths.items():
        number = name in ("trials", "validation", "test", "left")
        side: Literal["left", "right"] = "right" if number else "left"
        table.add_column(_head(name), no_wrap=True, overflow="ellipsis", width=wide, justify=side)

    for row in rows:
        table.add_row(*(_cell(row, name) for name in widths))
    return table


def _head(column: str) -> str:
    return "" if column == "status" else column


def _cell(row: BoardRow, column: str) -> Text:
    style = COLOURS.get(row.status, "") if column == "status" else ""
    return Text(getattr(row, column), style=style)
