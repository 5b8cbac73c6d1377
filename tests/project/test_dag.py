"""The architecture: who imports whom, and that every stage depends on the list of its own code."""

from __future__ import annotations

import ast
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.runtime.code import code_files
from stages.runtime.listings import CODE as LISTING
from stages.runtime.listings import LISTS, READ, listing
from tools import structure
from tools.pocket import ROOT

STAGES = ROOT / "stages"
DVC = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
FILES = sorted(path.stem for path in STAGES.glob("*.py") if path.stem != "__init__")
MOVED = ("export", "matrix", "predict", "scale", "share", "verify", "watch")
CODE = structure.Code(ROOT)


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
    ours = (name for name in names if name.split(".")[0] in structure.FOLDERS)
    return {file for name in ours if (file := module_file(name))}


def closure(path: Path) -> set[str]:
    """Every file that runs when `path` does, and the data files they read, relative to the root."""
    found, queue = set(), [path]
    while queue:
        current = queue.pop()
        if current not in found:
            found.add(current)
            queue += imported(current)
    names = {file.relative_to(ROOT).as_posix() for file in found}
    patterns = [pattern for name in names for pattern in READ.get(name, [])]
    return names | {
        path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)
    }


def run_by(stage: str) -> str:
    """The file of stages/ that a stage of dvc.yaml runs, without its ending.

    An experiment in a copy of the repository runs that copy's code only if it is run with -m.
    """
    python, option, command, name, *_ = DVC[stage]["cmd"].split()
    assert (python, option, command) == ("python", "-m", "commands.stage")
    return name


# ---------------------------------------------------------------------------- dvc.yaml and the files


def test_stages_holds_what_dvc_yaml_runs() -> None:
    """Twelve files, each named like a stage; `students` runs the cells of five."""
    assert structure.run_by_dvc(ROOT) == {f"stages/{name}.py" for name in FILES}
    assert len(FILES) == 12 and set(FILES) <= set(DVC)
    assert structure.without_stage(CODE) == []


def test_every_stage_depends_on_the_list_of_its_code_and_on_no_file() -> None:
    for stage in DVC:
        deps = DVC[stage]["deps"]
        code = [dep for dep in deps if dep.startswith((LISTS.as_posix(), "stages"))]
        name = run_by(stage)
        assert code == (["stages"] if name == LISTING else [f"{LISTS}/{name}.json"]), stage


def test_the_lists_are_outputs_of_one_stage() -> None:
    outs = [path for out in DVC[LISTING]["outs"] for path in out]
    assert outs == [f"{LISTS}/{name}.json" for name in FILES if name != LISTING]

    # git keeps them: DVC refuses to run a stage whose dependency is missing, also with
    # --allow-missing in a clone without data.
    assert all(kinds == {"cache": False} for out in DVC[LISTING]["outs"] for kinds in out.values())


@pytest.mark.parametrize("name", FILES)
def test_a_list_is_the_import_closure(name: str) -> None:
    assert set(listing(name)) == closure(STAGES / f"{name}.py")


def test_every_data_file_has_a_reader() -> None:
    """Else a stage that reads it would not run again when it changes."""
    kept = {path.relative_to(ROOT).as_posix() for path in STAGES.rglob("*") if path.is_file()}
    others = {name for name in kept if not name.endswith((".py", ".pyc"))}
    read = [path for patterns in READ.values() for each in patterns for path in ROOT.glob(each)]
    assert others == {path.relative_to(ROOT).as_posix() for path in read}


@pytest.mark.parametrize("name", FILES)
def test_work_folders_are_keyed_by_the_same_code(name: str) -> None:
    path = STAGES / f"{name}.py"
    keyed = {file.relative_to(ROOT).as_posix() for file in code_files(path)}
    assert keyed == {name for name in closure(path) if name.endswith(".py")}


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


# ------------------------------------------------------------------------------------ who imports whom


def test_no_circles() -> None:
    """Those under TYPE_CHECKING included."""
    assert structure.circles(CODE.graph) == []


def test_imports_go_down() -> None:
    """A file imports its own layer and those before it; nobody imports a stage."""
    assert structure.against_the_order(CODE.graph) == []


def test_a_class_name_belongs_to_one_file() -> None:
    places = CODE.classes()
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_circles_and_upward_imports_are_noticed() -> None:
    graph = {
        "stages/fit/loop.py": {"stages/fit/step.py", "stages/trials/cell.py"},
        "stages/fit/step.py": {"stages/store/atomic.py"},
        "stages/store/atomic.py": {"stages/fit/loop.py"},
        "stages/trials/cell.py": set(),
        "stages/label.py": {"stages/augment.py", "stages/fit/loop.py"},
        "stages/augment.py": set(),
        "commands/watch.py": {"stages/label.py", "stages/fit/loop.py"},
    }
    assert structure.circles(graph) == [
        ["stages/fit/loop.py", "stages/fit/step.py", "stages/store/atomic.py"]
    ]
    assert structure.against_the_order(graph) == [
        ("commands/watch.py", "stages/label.py"),
        ("stages/fit/loop.py", "stages/trials/cell.py"),
        ("stages/label.py", "stages/augment.py"),
        ("stages/store/atomic.py", "stages/fit/loop.py"),
    ]
    with pytest.raises(ValueError, match="nowhere is not a layer"):
        structure.rank("stages/nowhere/x.py")


def test_the_graph_is_that_of_the_imports() -> None:
    for name, others in CODE.graph.items():
        wanted = {file.relative_to(ROOT).as_posix() for file in imported(ROOT / name)}
        assert others == wanted - {name}, name


def test_init_files_hold_a_docstring_only() -> None:
    """But for that of `stages`, which says where commands have gone."""
    for folder in structure.FOLDERS:
        for path in (ROOT / folder).rglob("__init__.py"):
            body = ast.parse(path.read_text()).body
            assert isinstance(body[0], ast.Expr), path
            assert len(body) == 1 or path == STAGES / "__init__.py", path


@pytest.mark.parametrize("name", MOVED)
def test_an_old_command_names_the_new_one(name: str) -> None:
    words = [sys.executable, "-m", f"stages.{name}", "--once"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        f"error: stages.{name} is commands.{name} now: python -m commands.{name}\n"
    )


@pytest.mark.parametrize("name", ["tabulate", "assess", "draw", "page"])
def test_tables_and_figures_import_no_torch(name: str) -> None:
    for file in closure(STAGES / f"{name}.py"):
        if file.endswith(".py"):
            nodes = list(ast.walk(ast.parse((ROOT / file).read_text())))
            found = [a.name for node in nodes if isinstance(node, ast.Import) for a in node.names]
            found += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
            modules = {module.split(".")[0] for module in found}
            assert not modules & {"torch", "torchvision"}, file


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
    drawing = [f"stages/{name}.py" for name in ("tabulate", "assess", "draw", "page")]
    for stage in TRAINING:
        code = listing(run_by(stage))
        assert not any(name.startswith(("stages/report/", *drawing)) for name in code)
    assert "stages/nets/student.py" not in listing("teachers")


@pytest.mark.parametrize("stage", ["tabulate", "assess", "draw", "page"])
def test_reporting_does_not_depend_on_training(stage: str) -> None:
    """Of trials only the names of their columns; an edit of the search redraws nothing."""
    layers = ("fit", "search", "transfer", "images", "trials")
    training = tuple(f"stages/{layer}/" for layer in layers)
    code = {name for name in listing(stage) if name.startswith(training)}
    assert code <= {"stages/trials/columns.py"}


def test_drawing_does_not_depend_on_statistics() -> None:
    for name in ("statistics", "verdicts", "claims", "fidelity"):
        assert f"stages/report/{name}.py" not in listing("draw")
