"""What DVC costs on this pipeline: a `dvc repro` with nothing to do, and one after a small edit.

A temporary git repository gets what git would clone, with the paper's parameters and rows x budgets
such that dvc.yaml expands to 46 stages (27 mimic nets, 8 nets on hard labels, 11 others; --quick:
18). Nothing is trained. DVC's own time is measured, so the word `python` in the stages' commands
means a shell script there, which writes small files in the place of every output, as many as the
paper's scale has; dvc.yaml with its commands, dependencies and parameters is byte for byte the
project's. `dvc commit --force` then records that state: the same dvc.lock as `dvc repro` writes.

"dvc repro, nothing to do" checks every dependency, parameter and output of every stage and runs
none. Beside it: `dvc repro` with ruamel.yaml as pip installs it without the extra `oldlibyaml` (its
reader in Python; DVC reads dvc.lock twice and params.yaml once for each stage), `dvc status` (which
checks the same and locks no stage), `dvc repro --all-pipelines` (the same work where there is one
dvc.yaml; reads dvc.lock once; not in --quick) and the imports of DVC alone, which no pipeline can
get below. "one net's boxes edited" runs that cell, `extra`, `tabulate`, `assess`, `draw` and `page`; the
time of their commands, measured apart, is taken off.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ruamel.yaml.main
from ruamel.yaml import YAML

from benchmarks.measure import ROOT, Cost, Row, compare, interleaved, main
from commands.scale import compose
from stages.settings.students import cells

Run = Callable[[], int]
REPORTS = ("extra", "tabulate", "assess", "draw", "page")
UNIT = "runs per CPU-second"
OURS = "dvc repro"
NO_C = "ruamel.yaml without its C reader"
STATUS = "dvc status"
ALL = "dvc repro --all-pipelines"
FLOOR = "imports of DVC alone"
COMMANDS = "commands"
EDITED = "conv1"  # the row of hard_rows whose boxes are edited: it has one budget, so one cell
FILES = {
    "data/prepared": 4,
    "data/teachers": 260,
    "data/ensemble": 17,
    "data/augmented": 161,
    "data/samples": 1,
    "data/logits": 161,
}
"""Files of each output folder at the paper's scale; others have two, a cell's weights and its log."""
NOTES = {
    NO_C: "the same command; what it costs where the extra oldlibyaml of ruamel.yaml is not installed",
    STATUS: "checks the same, locks no stage, would run nothing",
    ALL: "the same work, one reading of dvc.lock less",
    FLOOR: "does nothing: a floor, not an alternative",
}


@dataclass(frozen=True)
class Stage:
    """One stage of the expanded pipeline.

    Attributes:
        name: as DVC prints it, e.g. "students@mlp1-1M".
        command: what DVC gives to the shell.
        outs: paths of everything it makes, metrics and plots among them.
    """

    name: str
    command: str
    outs: tuple[str, ...]


# ------------------------------------------------------------------------------------ the pipeline


def parameters(quick: bool) -> Any:
    """The paper's scale, with 9 rows x 3 budgets of mimic nets and 8 nets on hard labels.

    With `quick` they are 2 x 3 and 2. Comments are kept: they are part of what DVC reads. The
    result passes `stages.settings.whole.check`.
    """
    params = YAML().load(compose("paper"))
    params["students"]["budgets"] = list(params["students"]["budgets"])[:3]
    params["hard"]["rows"] = ["mlp2", "mlp3", "mlp4", "mlp5", "conv1", "conv2", "conv3", "conv4"]
    for row in ("mlp2", "mlp3", "mlp4", "mlp5"):
        params["hard_rows"][row] = {"ratios": [0.05, 1]}
    if quick:
        params["students"]["rows"] = ["mlp1", "conv1"]
        params["hard"]["rows"] = ["conv1", "conv2"]

    return params


def expand(pipeline: Mapping[str, Any], params: Mapping[str, Any]) -> list[Stage]:
    """The stages of dvc.yaml in its order, one for each cell of a matrix of row and budget."""
    found = []
    for name, stage in pipeline.items():
        for item in _cells(stage.get("matrix"), params):
            outs = [
                _path(out) for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])
            ]
            address = f"{name}@{'-'.join(item.values())}" if item else name
            found.append(
                Stage(address, _fill(stage["cmd"], item), tuple(_fill(out, item) for out in outs))
            )

    return found


def _cells(matrix: Mapping[str, str] | None, params: Mapping[str, Any]) -> list[dict[str, str]]:
    cells: list[dict[str, str]] = [{}]
    for key, where in (matrix or {}).items():
        section, values = where.removeprefix("${").removesuffix("}").split(".")
        cells = [{**cell, key: value} for cell in cells for value in params[section][values]]
    return cells


def _path(out: str | Mapping[str, Any]) -> str:
    return out if isinstance(out, str) else next(iter(out))


def _fill(text: str, item: Mapping[str, str]) -> str:
    for key, value in item.items():
        text = text.replace(f"${{item.{key}}}", value)
    text = text.replace("${item}", " ".join(f"--{key} {value}" for key, value in item.items()))
    return text.replace("${key}", "-".join(item.values()))


def stand_in(stages: Sequence[Stage]) -> str:
    """A shell script in place of `python`: it writes the outputs of the stage it was called for.

    Their content depends on the command and on params.yaml, as that of the real outputs does.
    """
    lines = [
        "#!/bin/sh",
        'mark="$* $(cksum < params.yaml)"',
        'file() { mkdir -p "${1%/*}"; echo "$mark" > "$1"; }',
        # no stage's output, but what `page` reads
        "mkdir -p metrics; [ -f metrics/environment.json ] || echo '[]' > metrics/environment.json",
        'folder() { mkdir -p "$1"; i=0; '
        'while [ $i -lt $2 ]; do echo "$mark $i" > "$1/$i"; i=$((i + 1)); done; }',
        'case "$*" in',
    ]
    for stage in stages:
        made = "; ".join(_write(out) for out in stage.outs)
        lines.append(f'"{stage.command.removeprefix("python ")}") {made} ;;')

    return "\n".join([*lines, '*) echo "no such stage: $*" >&2; exit 1 ;;', "esac", ""])


def _write(out: str) -> str:
    is_file = Path(out).suffix in (".json", ".csv", ".md", ".svg", ".png", ".html")
    return f"file {out}" if is_file else f"folder {out} {FILES.get(out, 2)}"


# ---------------------------------------------------------------------------------- the repository


class Repository:
    """A git repository in which every stage of the pipeline is up to date.

    Attributes:
        stages: of the expanded pipeline.
    """

    def __init__(self, root: Path, params: Any) -> None:
        self._folder = root / "repository"
        self._params = params
        self._edits = 0

        # The stages, and what takes the place of their commands.
        pipeline = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
        self.stages = expand(pipeline, params)
        for name in ("commands", "python_reader", "apart"):
            (root / name).mkdir(parents=True)

        script = root / "commands" / "python"
        script.write_text(stand_in(self.stages), encoding="utf-8")
        script.chmod(0o755)

        # Found before the C reader, and says that there is none.
        (root / "python_reader" / "_ruamel_yaml.py").write_text(
            "raise ModuleNotFoundError(__name__)\n"
        )

        self._apart = root / "apart"
        self._environment = _environment(root)
        self._no_c = {
            **self._environment,
            "PYTHONPATH": os.pathsep.join(
                filter(None, (str(root / "python_reader"), os.environ.get("PYTHONPATH")))
            ),
        }

        self._finish()

    def _finish(self) -> None:
        for name in _tracked():
            (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, self._folder / name)

        self._write_params()
        self._call("git", "init", "-q")
        for stage in self.stages:
            self._call("sh", "-c", stage.command)

        self._call(sys.executable, "-m", "dvc", "commit", "--force", "--quiet")
        self._call("git", "add", "--all")
        identity = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
        self._call("git", *identity, "commit", "-q", "-m", "A finished pipeline")
        self.repro()

    def _write_params(self) -> None:
        text = io.StringIO()
        YAML().dump(self._params, text)
        for folder in (self._folder, self._apart):
            (folder / "params.yaml").write_text(text.getvalue(), encoding="utf-8")

    def _call(
        self, *words: str, environment: dict[str, str] | None = None, folder: Path | None = None
    ) -> str:
        done = subprocess.run(
            words,
            cwd=folder or self._folder,
            env=environment or self._environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise OSError(
                f"{' '.join(words)} failed with {done.returncode}:\n{done.stdout}{done.stderr}"
            )

        return done.stdout

    def repro(
        self, *options: str, c_reader: bool = True, expected: frozenset[str] = frozenset()
    ) -> int:
        """`dvc repro`; OSError unless it ran exactly the stages `expected`. Returns 1: one run."""
        environment = self._environment if c_reader else self._no_c
        output = self._call(sys.executable, "-m", "dvc", "repro", *options, environment=environment)
        ran = frozenset(
            line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")
        )
        if ran != expected:
            raise OSError(f"dvc repro ran {sorted(ran)}, wanted {sorted(expected)}")
        return 1

    def status(self) -> int:
        """`dvc status`; OSError unless it finds everything up to date. Returns 1."""
        output = self._call(sys.executable, "-m", "dvc", "status")
        if "up to date" not in output:
            raise OSError(f"dvc status found changes:\n{output}")
        return 1

    def imports(self) -> int:
        """Start Python and import what every `dvc repro` needs. Returns 1."""
        self._call(
            sys.executable, "-c", "import dvc.cli, dvc.commands.repro, dvc.repo.reproduce, networkx"
        )
        return 1

    @property
    def touched(self) -> list[Stage]:
        """The stages that run after `edit`."""
        edited = {name.dvc for name in cells(self._params, "hard") if name.row == EDITED}
        return [stage for stage in self.stages if stage.name in edited or stage.name in REPORTS]

    def edit(self) -> None:
        """Another box for one net on hard labels, seen by no run: else DVC restores old outputs."""
        self._edits += 1
        (boxes,) = self._params["hard_rows"][EDITED]["boxes"].values()
        boxes[0][0] += 1
        self._write_params()

    def repro_edited(self, *options: str, c_reader: bool = True) -> int:
        """`edit` and `dvc repro`. Returns 1."""
        self.edit()
        return self.repro(
            *options, c_reader=c_reader, expected=frozenset(s.name for s in self.touched)
        )

    def commands(self) -> int:
        """The commands of `touched` without DVC, in a folder of their own. Returns 1."""
        for stage in self.touched:
            self._call("sh", "-c", stage.command, folder=self._apart)
        return 1


def _tracked() -> list[str]:
    """Files that git would clone; not those that the pipeline makes."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(
        listed, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    made = ("dvc.lock", "params.yaml", "metrics/", "plots/")
    return [
        name for name in names if name and not name.startswith(made) and (ROOT / name).is_file()
    ]


def _environment(root: Path) -> dict[str, str]:
    """As the user's, but with nothing of the user's own DVC and git settings; one thread."""
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "GIT_"))
    }

    return {
        **inherited,
        "PATH": os.pathsep.join(
            (str(root / "commands"), str(Path(sys.executable).parent), os.environ["PATH"])
        ),
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(root / "settings"),
        "DVC_SYSTEM_CONFIG_DIR": str(root / "settings"),
        "DVC_SITE_CACHE_DIR": str(root / "site_cache"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "OMP_NUM_THREADS": "1",
    }


# ------------------------------------------------------------------------------------- measurement


def without(costs: Mapping[str, Sequence[Cost]], name: str) -> dict[str, list[Cost]]:
    """The other costs, each less the median cost of `name`."""
    cpu_s, wall_s = (
        statistics.median(getattr(cost, clock) for cost in costs[name])
        for clock in ("cpu_s", "wall_s")
    )
    return {
        other: [Cost(cost.cpu_s - cpu_s, cost.wall_s - wall_s) for cost in found]
        for other, found in costs.items()
        if other != name
    }


def seconds(costs: Mapping[str, Sequence[Cost]], stages: int) -> dict[str, Any]:
    """Median and lowest seconds of `OURS`, and the medians of the others."""

    def median(name: str) -> dict[str, float]:
        found = costs[name]
        return {
            "wall": round(statistics.median(cost.wall_s for cost in found), 3),
            "cpu": round(statistics.median(cost.cpu_s for cost in found), 3),
        }

    return {
        **median(OURS),
        "lowest_wall": round(min(cost.wall_s for cost in costs[OURS]), 3),
        "lowest_cpu": round(min(cost.cpu_s for cost in costs[OURS]), 3),
        "stages": stages,
        "turns": len(costs[OURS]),
        "others": {name: median(name) for name in costs if name != OURS},
    }


def _alternatives(
    repository: Repository, c_reader: bool, quick: bool
) -> tuple[dict[str, Run], dict[str, Run]]:
    """With nothing to do, and after an edit."""
    idle: dict[str, Run] = {OURS: repository.repro}
    edited: dict[str, Run] = {OURS: repository.repro_edited}
    if c_reader:
        idle[NO_C] = partial(repository.repro, c_reader=False)
        edited[NO_C] = partial(repository.repro_edited, c_reader=False)

    if not quick:
        idle[ALL] = partial(repository.repro, "--all-pipelines")
        edited[ALL] = partial(repository.repro_edited, "--all-pipelines")

    return {**idle, STATUS: repository.status, FLOOR: repository.imports}, {
        **edited,
        COMMANDS: repository.commands,
    }


def measure(arguments: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """Rows of both cases, and the absolute seconds."""
    c_reader = ruamel.yaml.main.CParser is not None
    if not c_reader:
        print(
            f"no row beside {NO_C!r}: it is not here, see the extra oldlibyaml of ruamel.yaml",
            file=sys.stderr,
        )

    with tempfile.TemporaryDirectory(prefix="mimicnets-dag-") as folder:
        repository = Repository(Path(folder).resolve(), parameters(arguments.quick))
        count = len(repository.stages)
        idle, edited = _alternatives(repository, c_reader, arguments.quick)
        no_op = interleaved(idle, 2 if arguments.quick else 7)
        one_cell = without(interleaved(edited, 1 if arguments.quick else 5), COMMANDS)

    rows = compare(f"dvc repro, nothing to do, {count} stages", OURS, no_op, UNIT, notes=NOTES)
    case = f"dvc repro, one net's boxes edited, {count} stages, less its commands"
    rows += compare(case, OURS, one_cell, UNIT, notes=NOTES)
    more = {"yaml_reader": "C" if c_reader else "Python", "files_per_folder": FILES}

    return rows, {
        **more,
        "no_op_seconds": seconds(no_op, count),
        "one_cell_seconds": seconds(one_cell, count),
    }


if __name__ == "__main__":
    main("dag", __doc__ or "", measure)
