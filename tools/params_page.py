"""docs/params.md, the reference of every key of params.yaml, from what is written elsewhere.

Reads the comments of scales/*.yaml (meaning, unit, source), the classes of stages/settings (what is
allowed), scales/paper.yaml (values) and dvc.yaml (which stages read a key). `python -m
tools.params_page` says whether the page is as these would make it, `--write` makes it.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from commands.sizing.scales import compose, names
from stages.settings import sweeps
from stages.settings.read import SECTIONS
from tools.allowed import ENTRY, Key, keys
from tools.comments import Comment, read

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/params.md"
PAPER = "paper"
OURS = "ours"
MISSING = object()
Said = dict[tuple[str, ...], Comment]
"""Comments by the path of what they are about."""
HEAD = """\
# Parameters

Every key that `params.yaml` may have. `python -m tools.params_page --write` makes this page from the
comments of `scales/paper.yaml`, the classes of `stages/settings` and `dvc.yaml`. To change a word, change
it there.

- **paper** is the value at the scale `paper`. The other scales list in `scales/` where they differ.
- **source** is the section of Urban et al. (2017), or "ours" where the paper leaves a choice open
  ([assumptions](assumptions.md)). It is empty if the paper has nothing comparable.
- A name with dots can be used in `dvc exp run -S NAME=VALUE`.
- **Read by** lists the stages that DVC runs again when a key changes, at the next `dvc repro`. Later stages
  follow if their inputs change. Rows and budgets also determine which cells there are.
- The tables leave out rules between keys (a box for every budget, `start` not below `lag`, members not
  above trials). `prepare` checks the whole file when it runs, each stage checks what it reads, and
  `python -m commands.scale --cost` checks everything at any time. The one line that refuses a value names
  its key and what is allowed.

"""


@dataclass(frozen=True)
class Line:
    """One line of a table."""

    key: Key
    comment: Comment
    value: str


def lines(section: str, said: Said, scales: Mapping[str, Any]) -> list[Line]:
    """The table of a section.

    Args:
        said: comments of all scales by path, those of the paper first.
        scales: the params of every scale by its name.

    Raises:
        ValueError: a key has no comment and no namesake that has one.
    """
    paper = scales[PAPER]
    every = keys(section, [paper, *scales.values()])
    return [Line(key, meaning(key, said), shown(value_at(key.path, paper))) for key in every]


def meaning(key: Key, said: Said) -> Comment:
    """What is said of a key, or else of the first of its name elsewhere, with its own source.

    Raises:
        ValueError: nothing is said of any such key.
    """
    path = tuple(part for part in key.path if part != ENTRY)
    if path[0] == "ablation_rows":
        path = (path[0], path[-1])  # the keys of `loss` are explained beside it
    alike = [other for other in said if other == path or (len(other) > 1 and other[-1] == path[-1])]
    first = sorted(alike, key=lambda other: (other != path, len(path) < 3 or other[-2] != path[-2]))
    if path[0] == "hard_rows":
        first.sort(key=lambda other: (other != path, other[0] != "rows"))
    if not first:
        raise ValueError(f"{key.name} has no meaning: add a comment to it in scales/{PAPER}.yaml")

    found = said[first[0]]
    holder = said.get(path[:-1], Comment(""))
    if not found.source and (len(path) > 2 or holder.source == OURS):
        return replace(found, source=holder.source)
    return found


def comments(paper: Mapping[str, Any]) -> Said:
    """The comments of scales/paper.yaml, and of the other scales those of keys that it has not."""
    said = read((ROOT / f"scales/{PAPER}.yaml").read_text())
    for name in names():
        for path, comment in read((ROOT / f"scales/{name}.yaml").read_text()).items():
            if value_at(path, paper) is MISSING:
                said.setdefault(path, comment)
    return said


def value_at(path: Sequence[str], params: Mapping[str, Any]) -> Any:
    """The value at a path, MISSING where there is none."""
    node: Any = params
    for part in path:
        if not isinstance(node, Mapping) or part not in node:
            return MISSING
        node = node[part]
    return node


def shown(value: Any) -> str:
    """YAML on one line; a range as its ends, a missing value as nothing."""
    if value is MISSING:
        return ""
    if isinstance(value, Mapping) and "low" in value:
        return f"{value['low']} to {value['high']}{', log' if value.get('log') else ''}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(shown(each) for each in value) + "]"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def readers(stages: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The stages of dvc.yaml that list a key, one that holds it, or one that it holds."""
    found = []
    for stage, entry in stages.items():
        listed = [param.partition(".${")[0] for param in entry.get("params", ())]
        if any(
            f"{name}.".startswith(f"{param}.") or f"{param}.".startswith(f"{name}.")
            for param in listed
        ):
            found.append(stage)

    return tuple(found)


def read_by(stages: Mapping[str, Any], section: str, table: Sequence[Line]) -> str:
    """A sentence on who reads a section, with the keys apart that have other readers."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for line in table:
        part = line.key.path[1] if len(line.key.path) > 1 and line.key.path[1] != ENTRY else section
        named = section if part == section else f"{section}.{part}"
        listed = groups.setdefault(readers(stages, named), [])
        if part not in listed:
            listed.append(part)

    said = []
    for who, parts in groups.items():
        stages_ = (
            ", ".join(f"`{stage}`" for stage in who) or "no stage: changing it re-runs nothing"
        )
        said.append(
            f"{stages_}{'' if len(groups) == 1 else ' (' + ', '.join(f'`{part}`' for part in parts) + ')'}"
        )

    return f"Read by {'; '.join(said)}."


def cell(text: str) -> str:
    """Text for a cell of a table, whose columns `|` would divide."""
    return text.replace(" | ", ", ").replace("|", "\\|")


def table_of(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    drawn = [header, ["---"] * len(header), *([cell(each) for each in row] for row in rows)]
    return ["| " + " | ".join(row) + " |" for row in drawn]


def entries(section: str, said: Said, params: Mapping[str, Any]) -> list[str]:
    """The table of the rows that a section has at the scale `paper`."""
    rows = []
    for name, entry in params[section].items():
        comment = said.get((section, name)) or said.get(("rows", name)) or Comment("")
        source = f" [{comment.source}]" if comment.source and comment.source != OURS else ""
        rows.append((f"`{name}`", comment.meaning + source, f"`{shown(entry)}`"))
    return ["", *table_of(("row", "meaning", "paper"), rows)]


def page() -> str:
    """The text of docs/params.md."""
    load = YAML(typ="safe").load
    scales = {name: load(compose(name)) for name in names()}
    said = comments(scales[PAPER])
    stages = load((ROOT / "dvc.yaml").read_text())["stages"]
    text = [HEAD + range_words()]

    for section in SECTIONS:
        table = lines(section, said, scales)
        about = said.get((section,), Comment(""))
        holds = len(table[0].key.path) > 1
        text += ["", f"## {section}", ""]
        if holds:
            source = f" [{about.source}]" if about.source and about.source != OURS else ""
            text += [f"{about.meaning[0].upper()}{about.meaning[1:]}{source}.", ""]

        text += [read_by(stages, section, table), ""]
        rows = [
            (
                f"`{each.key.name}`",
                each.comment.meaning,
                each.comment.unit,
                each.key.allowed,
                f"`{each.value}`" if each.value else "",
                each.comment.source,
            )
            for each in table
        ]
        text += table_of(("key", "meaning", "unit", "allowed", "paper", "source"), rows)
        if table[0].key.path[-2:-1] == (ENTRY,):
            text += entries(section, said, scales[PAPER])

    return "\n".join(text) + "\n"


def range_words() -> str:
    """What a range is, from the first paragraph of its class."""
    about = " ".join((sweeps.Range.__doc__ or "").split("\n\n")[0].split())
    fields = [f"`{name}`" for name in sweeps.Range.__dataclass_fields__]
    text = f"A **range** has the keys {', '.join(fields)}: {about[0].lower()}{about[1:]}"
    return textwrap.fill(text, 120)


def main() -> None:
    """Write the page, or say whether it is up to date."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.params_page", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--write", action="store_true", help="write docs/params.md")
    if parser.parse_args().write:
        PAGE.write_text(page())
    elif not PAGE.is_file() or PAGE.read_text() != page():
        sys.exit("error: docs/params.md is out of date: python -m tools.params_page --write")


if __name__ == "__main__":
    main()
