"""Figures of the code's structure: `python -m tools.structure`, of another checkout with `--root`.

Counted over the syntax trees of product code: `stages/` and `commands/`, where there are such
folders.
"""

from __future__ import annotations

import argparse
import ast
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
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

FOLDERS = ("stages", "commands")
WIDE = 110
"""Columns above which a line counts as long."""
LONG = 10
"""Lines from which the blank lines and comments of a function are counted."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Graph = Mapping[str, set[str]]
"""File -> files that it imports, relative to the root."""


@dataclass(frozen=True)
class Code:
    """The product code of a checkout.

    Args:
        root: of the checkout.
    """

    root: Path

    @cached_property
    def files(self) -> list[str]:
        """Python files, relative to the root."""
        paths = (path for folder in FOLDERS for path in (self.root / folder).rglob("*.py"))
        return sorted(path.relative_to(self.root).as_posix() for path in paths)

    @cached_property
    def texts(self) -> dict[str, str]:
        """What is in each file."""
        return {name: (self.root / name).read_text(encoding="utf-8") for name in self.files}

    @cached_property
    def trees(self) -> dict[str, ast.Module]:
        """Syntax tree of each file."""
        return {name: ast.parse(text) for name, text in self.texts.items()}

    @cached_property
    def graph(self) -> dict[str, set[str]]:
        """Which file imports which, also inside functions and under TYPE_CHECKING."""
        known = set(self.files)
        return {name: set(self._imports(name)) & known - {name} for name in self.files}

    def _imports(self, name: str) -> Iterator[str]:
        package = name.removesuffix(".py").split("/")[:-1]

        for node in ast.walk(self.trees[name]):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                modules = [base, *(f"{base}.{alias.name}" for alias in node.names)]

            yield from (f"{module.replace('.', '/')}.py" for module in modules)

    def functions(self) -> Iterator[tuple[str, Function]]:
        """Every function, with its file."""
        for name, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, Function):
                    yield name, node

    def classes(self) -> dict[str, set[str]]:
        """Class name -> the files that define one of that name."""
        places: dict[str, set[str]] = defaultdict(set)
        for name, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    places[node.name].add(name)
        return dict(places)


def circles(graph: Graph) -> list[list[str]]:
    """Sets of files that import each other, directly or through others (Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)

        for other in sorted(graph[name]):
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], order[other])

        if lowest[name] == order[name]:
            at = stack.index(name)
            groups.append(sorted(stack[at:]))
            del stack[at:]

    for name in graph:
        if name not in order:
            visit(name)
    return [group for group in groups if len(group) > 1]


def rank(name: str) -> int:
    """Place of a file in the order of layers; a stage is above them, a command above all stages.

    Raises:
        ValueError: a folder of `stages/` that is not a layer.
    """
    parts = name.split("/")
    if parts[0] == "commands":
        return len(LAYERS) + 1
    if len(parts) == 2:
        return len(LAYERS)
    if parts[1] not in LAYERS:
        raise ValueError(f"{name}: {parts[1]} is not a layer, these are: {', '.join(LAYERS)}")
    return LAYERS.index(parts[1])


def against_the_order(graph: Graph) -> list[tuple[str, str]]:
    """Imports of a later layer, of a stage by anything, and of a command by `stages/`."""
    return [
        (name, other)
        for name, others in sorted(graph.items())
        for other in sorted(others)
        if rank(other) > rank(name) or rank(other) == len(LAYERS)
    ]


def reached(graph: Graph, starts: Iterable[str]) -> set[str]:
    """These files and every file that they import, directly or through others."""
    known: set[str] = set()
    queue = list(starts)

    while queue:
        name = queue.pop()
        if name not in known:
            known.add(name)
            queue += graph[name]

    return known


def run_by_dvc(root: Path) -> set[str]:
    """Files that the commands of dvc.yaml run."""
    stages = YAML(typ="safe").load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    commands = [stage["cmd"].split() for stage in stages.values()]

    # Checkouts before the stage `code` ran the modules themselves.
    modules = {
        f"stages.{words[3]}" if words[2] == "commands.stage" else words[2] for words in commands
    }
    return {f"{module.replace('.', '/')}.py" for module in modules}


def without_stage(code: Code) -> list[str]:
    """Files of `stages/` that no stage of dvc.yaml runs; packages' `__init__.py` do not count."""
    used = reached(code.graph, run_by_dvc(code.root))
    ours = (name for name in code.files if name.startswith("stages/"))
    return [name for name in ours if name not in used and not name.endswith("__init__.py")]


def lines_of(code: Code, name: str, function: Function) -> list[str]:
    """The lines of a function's body behind its docstring."""
    statements = function.body
    documented = ast.get_docstring(function) is not None
    start = (statements[0].end_lineno or 0) if documented else statements[0].lineno - 1
    return code.texts[name].splitlines()[start : function.end_lineno]


def packed(tree: ast.Module) -> int:
    """Assignments that bind several names to several expressions in one statement."""
    assignments = (node for node in ast.walk(tree) if isinstance(node, ast.Assign))
    return sum(
        isinstance(node.value, ast.Tuple) and any(isinstance(t, ast.Tuple) for t in node.targets)
        for node in assignments
    )


def report(code: Code) -> dict[str, str]:
    """What is counted -> its value."""
    try:
        against = str(len(against_the_order(code.graph)))
    except ValueError:
        against = "(no order of layers)"

    direct = [name for name in code.files if re.fullmatch(r"stages/(?!__init__)\w+\.py", name)]
    imports = [len(others) for others in code.graph.values()]
    twice = [name for name, places in code.classes().items() if len(places) > 1]

    functions = list(code.functions())
    sizes = [(node.end_lineno or 0) - node.lineno + 1 for _, node in functions]
    bodies = [lines_of(code, name, node) for name, node in functions]
    lines = [line.strip() for body in bodies if len(body) >= LONG for line in body]
    blank = sum(not line for line in lines)
    comments = sum(line.startswith("#") for line in lines)
    wide = sum(len(line) > WIDE for text in code.texts.values() for line in text.splitlines())

    return {
        "files": str(len(code.files)),
        "files directly in stages/": str(len(direct)),
        "files of stages/ that no stage uses": str(len(without_stage(code))),
        "circles of imports": str(len(circles(code.graph))),
        "imports against the order of layers": against,
        "imports between files": str(sum(imports)),
        "imports a file, median and most": f"{statistics.median(imports):g}, {max(imports)}",
        "class names in several files": str(len(twice)),
        "assignments that bind several expressions": str(sum(map(packed, code.trees.values()))),
        "functions": str(len(functions)),
        "lines of a function, median and most": f"{statistics.median(sizes):g}, {max(sizes)}",
        f"blank lines in functions of {LONG} lines": f"{100 * blank / len(lines):.1f} %",
        f"comments in functions of {LONG} lines": f"{100 * comments / len(lines):.1f} %",
        f"lines over {WIDE} characters": str(wide),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.structure", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--root", type=Path, default=ROOT, help="a checkout; this one by default")
    parser.add_argument("--longest", action="store_true", help="list the longest functions too")
    arguments = parser.parse_args()

    code = Code(arguments.root.resolve())
    for name, value in report(code).items():
        print(f"{name:45} {value}")

    if arguments.longest:
        by_size = sorted(
            code.functions(), key=lambda each: each[1].lineno - (each[1].end_lineno or 0)
        )
        for name, node in by_size[:15]:
            print(f"{(node.end_lineno or 0) - node.lineno + 1:5} {name}:{node.lineno} {node.name}")


if __name__ == "__main__":
    main()
