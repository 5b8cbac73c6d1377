"""The house: who imports whom, and that dvc.yaml names exactly the files that each stage runs."""

from __future__ import annotations

import ast
from fnmatch import fnmatch
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.runtime.code import code_files
from tools.pocket import ROOT

STAGES = ROOT / "stages"
DVC = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
ROOMS = sorted(p.name for p in STAGES.iterdir() if p.is_dir() and (p / "__init__.py").is_file())
DOORS = sorted(p.stem for p in STAGES.glob("*.py") if p.stem != "__init__")
TEMPLATES = sorted(p.relative_to(ROOT).as_posix() for p in (STAGES / "report/page").iterdir())
DATA_FILES = {
    "stages/report/tables.py": ["stages/report/paper.json"],
    "stages/report/page/html.py": TEMPLATES,
    "commands/sizing/cost.py": ["commands/sizing/rates.json"],
}


def module_file(name: str) -> Path | None:
    """File of the module `name`, None for a package or an attribute."""
    path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
    return path if path.is_file() else None


def imported(path: Path) -> set[Path]:
    """Files of this project that `path` imports, also inside functions."""
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return {file for name in names if name.startswith("stages.") and (file := module_file(name))}


def closure(path: Path) -> set[str]:
    """Every file that runs when `path` does, and the data files they read, relative to the root."""
    found, queue = set(), [path]
    while queue:
        current = queue.pop()
        if current not in found:
            found.add(current)
            queue += imported(current)
    names = {file.relative_to(ROOT).as_posix() for file in found}
    return names | {data for name in names for data in DATA_FILES.get(name, [])}


def test_every_data_file_has_a_reader() -> None:
    """Else a stage that reads it would not run again when it changes."""
    kept = {path.relative_to(ROOT).as_posix() for path in STAGES.rglob("*") if path.is_file()}
    others = {name for name in kept if not name.endswith((".py", ".pyc"))}
    assert others == {name for names in DATA_FILES.values() for name in names}


def door_of(stage: dict) -> str:
    words = stage["cmd"].split()
    assert words[:2] == ["python", "-m"], (
        "run from the root as a module: else an experiment's copy runs our code"
    )
    return words[2].removeprefix("stages.")


@pytest.mark.parametrize("name", list(DVC))
def test_code_deps_are_the_import_closure(name: str) -> None:
    stage = DVC[name]
    listed = {dep for dep in stage["deps"] if dep.startswith("stages/")}
    wanted = closure(STAGES / f"{door_of(stage)}.py")
    assert listed == wanted, (
        f"dvc.yaml, stage {name}: add {sorted(wanted - listed)}, remove {sorted(listed - wanted)}"
    )


SHOWN = {"matrix": {"watch", "scale"}}
"""matrix runs all other doors: it shows the table of watch, and the costs of scale say which cell
is first.
"""


@pytest.mark.parametrize("door", DOORS)
def test_doors_do_not_import_doors(door: str) -> None:
    """But for NAME_trial.py and the like: the parts of the door NAME that run in other
    processes.
    """
    ends = ("", "_trial", "_epochs", "_feed", "_cell")
    name = next(door.removesuffix(end) for end in (*ends[1:], "") if door.endswith(end))
    own = {f"{name}{end}" for end in ends} | SHOWN.get(name, set())
    for file in imported(STAGES / f"{door}.py"):
        assert file.parent != STAGES or file.stem in own, f"{door} imports {file.stem}"


@pytest.mark.parametrize("door", DOORS)
def test_work_folders_are_keyed_by_the_same_code(door: str) -> None:
    path = STAGES / f"{door}.py"
    keyed = {file.relative_to(ROOT).as_posix() for file in code_files(path)}
    assert keyed == {name for name in closure(path) if name.endswith(".py")}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_are_closed(room: str) -> None:
    for path in (STAGES / room).rglob("*.py"):
        others = {f.relative_to(STAGES).parts[0] for f in imported(path)} - {room}
        assert not others, f"{path.relative_to(ROOT)} imports from {others}"


def test_init_files_hold_a_docstring_only() -> None:
    for path in STAGES.rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) == 1 and isinstance(body[0], ast.Expr), path


@pytest.mark.parametrize("door", ["tabulate", "assess", "draw", "page"])
def test_tables_and_figures_import_no_torch(door: str) -> None:
    for name in closure(STAGES / f"{door}.py"):
        if name.endswith(".py"):
            nodes = list(ast.walk(ast.parse((ROOT / name).read_text())))
            found = [
                alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
            ]
            found += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
            assert not [
                module for module in found if module.split(".")[0] in ("torch", "torchvision")
            ], name


TRAINING = (
    "teachers",
    "ensemble",
    "augment",
    "label",
    "students",
    "hard",
    "ablations",
    "teachers_2014",
    "students_2014",
)


def test_training_does_not_depend_on_drawing() -> None:
    reports = (
        "stages/report/",
        *(f"stages/{door}.py" for door in ("tabulate", "assess", "draw", "page")),
    )
    for stage in TRAINING:
        assert not any(dep.startswith(reports) for dep in DVC[stage]["deps"])
    assert "stages/nets/cnn.py" not in DVC["teachers"]["deps"]


def test_every_output_is_ignored_by_git() -> None:
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()]
    for name, stage in DVC.items():
        for out in stage.get("outs", []):
            if isinstance(out, dict):  # cache: false, kept by git
                continue
            first = "/".join(out.split("/")[:2])
            assert any(fnmatch(f"/{first}", line) for line in ignored), (
                f"{name}: {out} is not in .gitignore"
            )
