"""Fill the tables of docs/benchmarks.md: `python -m benchmarks.page`.

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`, where NAME.json is a file that a
benchmark has written.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Row, table

PAGE = ROOT / "docs/benchmarks.md"
RESULTS = ROOT / "docs/results/benchmarks"
TABLE = re.compile(r"<!-- (?P<name>[\w-]+) -->\n.*?<!-- /(?P=name) -->", re.DOTALL)


def facts(environment: dict[str, Any]) -> str:
    """One line on where and with what it was measured."""
    packages = environment["packages"]
    shown = ", ".join(
        f"{name} {packages[name]}" for name in ("torch", "numpy", "dvc") if name in packages
    )
    device = environment.get("device", environment["processor"])
    where = environment["processor"] if str(device).startswith(("CPU", "cpu")) else device
    load = f"load before the run {environment['load_before']:.1f}"
    return f"{where}, {environment['cores']} cores, {shown}; {load}"


def growth(found: list[dict[str, Any]]) -> str:
    """What `benchmarks.growth` measured, one line a case: both ends, and the exponent between."""
    lines = [
        "| cost | grows with | from | to | exponent | r2 |",
        "| --- | --- | --- | --- | ---: | ---: |",
    ]

    for each in found:
        scale, unit = (1e6, "MB") if each["cost"] == "bytes" else (1, each["cost"])
        ends = [
            f"{y / scale:.3g} {unit} at {x:,.0f}"
            for x, y, *_ in (each["points"][0], each["points"][-1])
        ]
        law = f"{each['exponent']:.2f} | {each['r2']:.3f}"
        lines.append(
            f"| {each['case'].split(',')[0]} | {each['size']} | {ends[0]} | {ends[1]} | {law} |"
        )

    return "\n".join(lines)


def block(name: str, content: dict[str, Any]) -> str:
    """The marked text of one table."""
    environment = content["environment"]
    shown = table([Row(**row) for row in content["rows"]])
    if "growth" in environment:
        shown = growth(environment["growth"])
    return f"<!-- {name} -->\n{facts(environment)}.\n\n{shown}\n<!-- /{name} -->"


def render(text: str, results: Path = RESULTS) -> str:
    """`text` with every table filled again.

    Raises:
        FileNotFoundError: a table's file is missing.
    """

    def fill(found: re.Match[str]) -> str:
        name = found["name"]
        return block(name, json.loads((results / f"{name}.json").read_text()))

    return TABLE.sub(fill, text)


def main() -> None:
    """Rewrite the page."""
    try:
        PAGE.write_text(render(PAGE.read_text()))
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
