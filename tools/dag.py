"""The code dependencies of dvc.yaml, made from the imports: `python -m tools.dag --write`.

DVC runs a stage again when a file changes that is listed under its `deps`, and it does not follow
imports. So dvc.yaml lists, for each stage, every file of `stages/` that the stage imports, directly
or through others, and the data files that these read. `--check`, in CI, says what differs.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.runtime.code import code_files

ROOT = Path(__file__).resolve().parents[1]
DVC_YAML = ROOT / "dvc.yaml"
TEMPLATES = ROOT / "stages/report/page/templates"

DATA_FILES = {
    "stages/report/paper.py": ["stages/report/paper.json"],
    "stages/report/page/html.py": sorted(
        path.relative_to(ROOT).as_posix() for path in TEMPLATES.iterdir()
    ),
}
"""Files of `stages/` that are read and not imported, by the file that reads them."""

LAYERS = (
    "settings",
    "store",
    "images",
    "runtime",
    "nets",
    "fit",
    "search",
    "transfer",
    "trials",
    "report",
)
"""Folders of `stages/`, lowest first: a file imports its own layer and those before it."""


def closure(path: Path) -> set[str]:
    """Every file that runs when `path` does, and the data files that they read, from the root."""
    names = {file.relative_to(ROOT).as_posix() for file in code_files(path)}
    return names | {data for name in names for data in DATA_FILES.get(name, [])}


def stage_file(stage: dict[str, Any]) -> Path:
    """The file that a stage of dvc.yaml runs.

    Raises:
        ValueError: its command is not `python -m stages.NAME ...`: an experiment in a copy of the
            repository would run the code of this one.
    """
    words = stage["cmd"].split()

    if words[:2] != ["python", "-m"] or not words[2].startswith("stages."):
        raise ValueError(
            f"dvc.yaml: the command is {stage['cmd']!r}, allowed is python -m stages.NAME"
        )

    return ROOT.joinpath(*words[2].split(".")).with_suffix(".py")


def wanted() -> dict[str, set[str]]:
    """Code dependencies of each stage of dvc.yaml, as the imports have them."""
    stages = YAML(typ="safe").load(DVC_YAML.read_text(encoding="utf-8"))["stages"]
    return {name: closure(stage_file(stage)) for name, stage in stages.items()}


def listed() -> dict[str, set[str]]:
    """Code dependencies of each stage, as dvc.yaml lists them."""
    stages = YAML(typ="safe").load(DVC_YAML.read_text(encoding="utf-8"))["stages"]
    return {
        name: {dep for dep in stage["deps"] if dep.startswith("stages/")}
        for name, stage in stages.items()
    }


def rewritten(text: str, code: dict[str, set[str]]) -> str:
    """dvc.yaml with these code dependencies, sorted, behind the other ones of each stage.

    Args:
        text: of dvc.yaml.
        code: stage -> files.
    """
    lines: list[str] = []
    stage = ""
    within = False

    for line in text.splitlines():
        begun = re.fullmatch(r"  (\w+):", line)
        if begun:
            stage = begun[1]

        # The list of dependencies ends at the first line that is not an item of it.
        if within and not line.startswith("      "):
            lines += [f"      - {name}" for name in sorted(code[stage])]
            within = False

        if line == "    deps:":
            within = True

        if not (within and line.startswith("      - stages/")):
            lines.append(line)

    return "\n".join(lines) + "\n"


def differences() -> list[str]:
    """A line for each stage whose dependencies are not its imports."""
    actual = listed()
    found = []

    for name, files in wanted().items():
        missing = sorted(files - actual[name])
        surplus = sorted(actual[name] - files)
        if missing or surplus:
            found.append(f"dvc.yaml, stage {name}: add {missing}, remove {surplus}")

    return found


def main() -> None:
    """Write dvc.yaml, or compare it with the imports."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.dag", description=(__doc__ or "").split("\n")[0]
    )
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--write", action="store_true", help="write the dependencies into dvc.yaml")
    choice.add_argument("--check", action="store_true", help="exit with 1 where they differ")

    if parser.parse_args().write:
        text = DVC_YAML.read_text(encoding="utf-8")
        DVC_YAML.write_text(rewritten(text, wanted()), encoding="utf-8")
        return

    wrong = differences()
    if wrong:
        sys.exit("\n".join([*wrong, "run 'python -m tools.dag --write'"]))


if __name__ == "__main__":
    main()
