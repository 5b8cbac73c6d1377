"""watch: a table of all stages and cells: which are done, running or waiting, and hours left.

`python -m commands.watch` looks every few seconds until Ctrl-C, beside a `dvc repro` in another
terminal; `--once` prints the table and ends. It reads work/, metrics/, data/, dvc.lock, dvc.yaml,
params.yaml and .dvc/, and writes nothing.
"""

from __future__ import annotations

import argparse
import os
import time

from rich.console import Console
from rich.live import Live

from commands.pipeline.overview import board
from stages.runtime import entry
from stages.settings.read import read_params

WIDE = 160
"""Columns where the table goes into a file or pipe."""


def main() -> None:
    """Print the table, once or until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m commands.watch", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--once", action="store_true", help="print the table and end")
    parser.add_argument("--seconds", type=float, default=5.0, help="between two looks (default 5)")
    arguments = parser.parse_args()

    if not arguments.seconds > 0:
        parser.error(f"--seconds is {arguments.seconds:g}, allowed is more than 0")
    console = Console()
    if arguments.once or not console.is_terminal:
        fixed = console.is_terminal or "COLUMNS" in os.environ
        shown = console if fixed else Console(width=WIDE)
        shown.print(board(read_params()).whole())
        return

    try:
        follow(console, arguments.seconds)
    except KeyboardInterrupt:
        console.print("watch closed; the run continues")


def follow(console: Console, seconds: float) -> None:
    """Show the table, as much of it as the terminal holds, again and again."""
    with Live(board(read_params()), console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(seconds)
            live.update(board(read_params()), refresh=True)


if __name__ == "__main__":
    entry.run(main)
