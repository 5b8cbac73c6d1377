"""The architecture: who imports whom, and that dvc.yaml names exactly the files that each stage runs."""

from __future__ import annotations

import ast
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.runtime.code import code_files
from tools import dag, structure
from tools.pocket import ROOT

STAGES = ROOT / "stages"
DVC = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
FILES = sorted(path.stem for path in STAGES.glob("*.py") if path.stem != "__init__")
COMMANDS = sorted(path.stem for path in (ROOT / "commands").glob("*.py") if path.stem != "__init__")
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
    return names | {data for name in names for data in dag.DATA_FILES.get(name, [])}


# ---------------------------------------------------------------------------- dvc.yaml and the files


def test_stages_holds_what_dvc_yaml_runs() -> None:
    """Ten files, each named like a stage; `students` runs the cells of five."""
    assert structure.run_by_dvc(ROOT) == {f"stages/{name}.py" for name in FILES}
    assert len(FILES) == 10 and set(FILES) <= set(DVC)
    assert structure.without_stage(CODE) == []


@pytest.mark.parametrize("name", list(DVC))
def test_code_deps_are_the_import_closure(name: str) -> None:
    stage = DVC[name]
    listed = {dep for dep in stage["deps"] if dep.startswith("stages/")}
    wanted = closure(dag.stage_file(stage))
    assert listed == wanted, (
        f"dvc.yaml, stage {name}: add {sorted(wanted - listed)}, remove {sorted(listed - wanted)}: "
        "run 'python -m tools.dag --write'"
    )


def test_dvc_yaml_is_as_tools_dag_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = dag.DVC_YAML.read_text()
    assert dag.differences() == [] and dag.rewritten(text, dag.wanted()) == text

    # One dependency is lost, one is there too much: both are named, and writing mends them.
    surplus = "      - stages/report/claims.py\n"
    needed = "      - stages/store/atomic.py\n"
    edited = text.replace(needed, surplus, 1)
    monkeypatch.setattr(dag, "DVC_YAML", tmp_path / "dvc.yaml")
    dag.DVC_YAML.write_text(edited)
    assert dag.differences() == [
        "dvc.yaml, stage prepare: add ['stages/store/atomic.py'], remove ['stages/report/claims.py']"
    ]

    monkeypatch.setattr(sys, "argv", ["dag", "--check"])
    with pytest.raises(SystemExit, match=r"stage prepare(.|\n)*run 'python -m tools.dag --write'"):
        dag.main()
    monkeypatch.setattr(sys, "argv", ["dag", "--write"])
    dag.main()
    assert dag.DVC_YAML.read_text() == text


def test_a_command_that_would_run_other_code_is_refused() -> None:
    with pytest.raises(
        ValueError, match="'python stages/draw.py', allowed is python -m stages.NAME"
    ):
        dag.stage_file({"cmd": "python stages/draw.py"})


def test_every_data_file_has_a_reader() -> None:
    """Else a stage that reads it would not run again when it changes."""
    kept = {path.relative_to(ROOT).as_posix() for path in STAGES.rglob("*") if path.is_file()}
    others = {name for name in kept if not name.endswith((".py", ".pyc"))}
    assert others == {name for names in dag.DATA_FILES.values() for name in names}


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


@pytest.mark.parametrize("name", COMMANDS)
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
        assert not any(dep.startswith(("stages/report/", *drawing)) for dep in DVC[stage]["deps"])
    assert "stages/nets/student.py" not in DVC["teachers"]["deps"]


@pytest.mark.parametrize("stage", ["tabulate", "assess", "draw", "page"])
def test_reporting_does_not_depend_on_training(stage: str) -> None:
    """Of trials only the names of their columns; an edit of the search redraws nothing."""
    layers = ("fit", "search", "transfer", "images", "trials")
    training = tuple(f"stages/{layer}/" for layer in layers)
    deps = {dep for dep in DVC[stage]["deps"] if dep.startswith(training)}
    assert deps <= {"stages/trials/columns.py"}


def test_drawing_does_not_depend_on_statistics() -> None:
    for name in ("statistics", "verdicts", "claims", "fidelity"):
        assert f"stages/report/{name}.py" not in DVC["draw"]["deps"]
