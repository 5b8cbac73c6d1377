"""The benchmarks: what they compute, what they write, and that the page shows what was written."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from benchmarks import dag, everyday, measure, memory, page, scaling, search, teachers
from benchmarks.measure import ROOT, Cost
from commands.scale import compose
from stages.settings import whole

PIPELINE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
ROW_KEYS = {"case", "peer", "ratio", "low", "high", "unit", "n"}


def run_benchmark(name: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """Run `python -m benchmarks.NAME` as a user would; its JSON."""
    command = [
        sys.executable,
        "-m",
        f"benchmarks.{name}",
        "--json",
        str(folder / "out.json"),
        *arguments,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = json.loads((folder / "out.json").read_text())
    assert {"processor", "cores", "packages", "commit"} <= written["environment"].keys()
    for row in written["rows"]:
        assert (
            row.keys() >= ROW_KEYS
            and 0 < row["low"] <= row["ratio"] <= row["high"]
            and row["n"] >= 1
        )
        assert row["case"] in done.stdout and row["peer"] in done.stdout
    return written


def ratios(written: dict[str, Any], case: str) -> dict[str, float]:
    return {row["peer"]: row["ratio"] for row in written["rows"] if row["case"] == case}


# teachers


def test_teachers_are_trained_once_and_compared(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.teachers", "--quick", "--folder", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run() -> str:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = run()
    for name in ("quick-paper", "quick-fast"):
        facts = json.loads((tmp_path / name / "facts.json").read_text())
        assert len(facts["validation"]) == 2 and facts["cpu_s"] > 0
        assert f"{name}: {facts['params']:,} params" in first
        assert f"test {100 * facts['test']:.2f} %" in first
        assert np.load(tmp_path / name / "test.npy").shape == (2, 100, 10)
    assert "quick-paper + quick-fast: test" in first

    weights = [path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")]
    assert run() == first, "the seconds are those of the first time"
    assert [path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")] == weights


def test_teachers_of_a_benchmark_have_fixed_hyperparameters(tmp_path: Path) -> None:
    prepared = teachers.digits(tmp_path)
    case = teachers.QUICK["quick-fast"]
    ranged = {**case, "space": {**case["space"], "lr": {"low": 0.1, "high": 0.2}}}
    with pytest.raises(ValueError, match=r"a.yaml, one: space.lr is a range"):
        teachers.checked({"one": ranged}, Path("a.yaml"), prepared)
    with pytest.raises(ValueError, match=r"a.yaml, one: .*'teachers.boxes.C3' is missing"):
        boxes = {"C1": [4, 4], "C2": [4, 4]}
        teachers.checked({"one": {**case, "boxes": boxes}}, Path("a.yaml"), prepared)


# the harness


def test_alternatives_take_turns_and_the_order_rotates() -> None:
    called: list[str] = []

    def work(name: str) -> int:
        called.append(name)
        return 2

    costs = measure.interleaved({name: lambda name=name: work(name) for name in "abc"}, 4)
    assert "".join(called) == "abcbcacababc"
    assert {name: len(found) for name, found in costs.items()} == {"a": 4, "b": 4, "c": 4}


def test_a_cost_is_for_each_unit_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """By clocks that only the work moves."""
    now = {"cpu": 7.0, "wall": 3.0}
    monkeypatch.setattr(measure, "cpu_seconds", lambda: now["cpu"])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now["wall"])

    def work() -> int:
        now.update(cpu=now["cpu"] + 0.5, wall=now["wall"] + 2.0)
        return 10

    assert measure.timed(work) == Cost(0.05, 0.2)


def test_the_processors_time_counts_finished_children() -> None:
    before = measure.cpu_seconds()
    busy = "import time; [None for _ in iter(lambda: time.process_time() < 0.2, False)]"
    subprocess.run([sys.executable, "-c", busy], check=True)

    assert measure.cpu_seconds() - before > 0.2


def test_ratios_are_taken_within_a_turn() -> None:
    costs = {
        "ours": [Cost(1.0, 2.0), Cost(2.0, 4.0), Cost(1.0, 2.0)],
        "theirs": [Cost(3.0, 3.0), Cost(8.0, 8.0), Cost(5.0, 5.0)],
    }
    (row,) = measure.compare(
        "case", "ours", costs, "units per CPU-second", notes={"theirs": "another thing"}
    )
    assert (row.ratio, row.low, row.high, row.n) == (4.0, 3.0, 5.0, 3)
    assert (row.ours, row.theirs, row.wall_ratio) == (1.0, 0.2, 2.0)
    (row,) = measure.compare("case", "ours", costs, "units per second", wall=True)
    assert (row.ratio, row.ours) == (2.0, 0.5)
    assert "| theirs |" in measure.table([row])


def test_the_children_of_a_worker_have_their_own_memory_and_clock() -> None:
    with measure.processes({"a": make_worker, "b": make_worker}) as workers:
        costs = measure.interleaved(workers, 2)
    assert all(cost.cpu_s >= 0 and cost.wall_s > 0 for found in costs.values() for cost in found)
    assert os.environ.get("MIMICNETS_WORKER") is None


def make_worker() -> Any:
    os.environ["MIMICNETS_WORKER"] = "1"
    return lambda: sum(range(1000)) and 1


def test_a_missing_peer_is_said(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['kornia'] = None; sys.argv = ['augment', '--quick'];"
        "from benchmarks import augment; from benchmarks.measure import main;"
        "main('augment', augment.__doc__, augment.measure)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]  # before it a library may warn
    assert done.returncode == 1 and last.startswith("error: ") and "'.[bench]'" in last


# the benchmarks


@pytest.mark.slow
def test_train_quick(tmp_path: Path) -> None:
    written = run_benchmark("train", tmp_path, "--quick", "--cases", "mlp1 1M")
    precision = "bf16" if "mlp1 1M, bf16" in {row["case"] for row in written["rows"]} else "fp32"
    found = ratios(written, f"mlp1 1M, {precision}")
    assert (
        found["PIL + DataLoader"] > 1
        and found["PIL + live 17M teacher"] > found["PIL + DataLoader"]
    )


@pytest.mark.slow
def test_store_quick(tmp_path: Path) -> None:
    written = run_benchmark("store", tmp_path, "--quick")
    cases = {row["case"] for row in written["rows"]}
    assert len(cases) == 2, "reading and writing"
    reading = next(case for case in cases if "read" in case)
    per_sample = [ratio for peer, ratio in ratios(written, reading).items() if "per sample" in peer]
    assert per_sample and min(per_sample) > 10


@pytest.mark.slow
def test_predict_quick(tmp_path: Path) -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    written = run_benchmark("predict", tmp_path, "--quick")
    alone = "onnxruntime on decoded arrays"
    cases = {row["case"].split(",")[0] for row in written["rows"]}
    assert cases == {"the net's part", "files to table"}

    # Reading files costs something, and memory does not grow with their number.
    assert ratios(written, "files to table, 1,000 images")[alone] < 0.9
    few, many = written["environment"]["peak_MB"].values()
    assert 100 < many < 1.05 * few


@pytest.mark.slow
def test_dag_quick(tmp_path: Path) -> None:
    written = run_benchmark("dag", tmp_path, "--quick")
    assert {row["peer"] for row in written["rows"]} >= {"dvc status"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["train", "augment", "search", "precision", "growth", "rates", "scaling", "packing"]
)
def test_the_others_quick(tmp_path: Path, name: str) -> None:
    for peer in ("kornia", "optuna", "botorch"):
        pytest.importorskip(peer)
    assert run_benchmark(name, tmp_path, "--quick")["rows"]


@pytest.mark.slow
def test_coverage_quick() -> None:
    """A line a case, with shares; --only takes the intervals with these words."""
    command = [sys.executable, "-m", "benchmarks.coverage", "--quick", "--only", "selection"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    head, _, *lines = done.stdout.splitlines()
    assert head.startswith("| interval | case | coverage |") and len(lines) == 24
    for line in lines:
        name, words, share, width = line.strip("| ").split(" | ")
        assert name == "selection bias (retrained)" and "cell" in words
        assert 80 <= float(share.split(" ±")[0]) <= 100 and float(width) > 0


# their parts


def test_the_pipeline_has_46_stages_there_and_51_at_paper_scale() -> None:
    stages = dag.expand(PIPELINE, dag.parameters(quick=False))
    assert len(stages) == len({stage.name for stage in stages}) == 46
    outs = [out for stage in stages for out in stage.outs]
    assert len(outs) == len(set(outs)) and "$" not in "".join(
        [*outs, *(stage.command for stage in stages)]
    )
    assert len(dag.expand(PIPELINE, YAML(typ="safe").load(compose("paper")))) == 51
    for quick in (True, False):
        whole.check(dag.parameters(quick))


def test_the_stand_in_writes_every_output(tmp_path: Path) -> None:
    (stage,) = (
        s for s in dag.expand(PIPELINE, dag.parameters(quick=True)) if s.name == "hard@conv1-10M"
    )
    (tmp_path / "python").write_text(dag.stand_in([stage]))
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "params.yaml").write_text("a: 1\n")
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    def run(command: str) -> int:
        return subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True
        ).returncode

    assert run(stage.command) == 0
    assert all((tmp_path / out).exists() for out in stage.outs)
    assert run("python -m stages.none") == 1


def test_functions_have_their_known_minima() -> None:
    for x, y in ((-math.pi, 12.275), (math.pi, 2.275), (9.42478, 2.475)):
        assert search.branin(np.array([(x + 5) / 15, y / 15])) == pytest.approx(0.397887, abs=1e-5)
    assert search.hartmann6(np.array(search.HARTMANN6_AT)) == pytest.approx(-3.32237, abs=1e-5)


# memory

CHILD = """
import os, subprocess, sys, time
inner = "data = bytearray(b'x') * 200_000_000; print('there', flush=True); input()"
subprocess.run([sys.executable, "-c", inner])
"""


def test_memory_is_that_of_all_descendants() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None and child.stdout is not None
    assert child.stdout.readline() == "there\n"
    found = list(memory.descendants(os.getpid()))
    assert child.pid in found and len(found) >= 2
    assert memory.pss(child.pid) < 100e6
    assert 200e6 < sum(map(memory.pss, memory.descendants(child.pid))) < 300e6

    child.communicate("\n")
    assert memory.pss(child.pid) == 0


def used(build: str, peak: int, cpu_s: float, sha256: str = "ab") -> memory.Used:
    return memory.Used("label", build, peak, cpu_s, 2.0, sha256)


def test_peaks_are_compared_with_the_images_and_the_other_build() -> None:
    runs = [used(memory.OURS, 10**9, 4.0), used("old", 3 * 10**9, 2.0)]
    images, peak, cpu = memory.rows_of(runs, 5 * 10**8)
    assert (images.peer, images.ratio, images.ours, images.theirs) == (memory.IMAGES, 0.5, 1, 0.5)
    assert (peak.peer, peak.ratio, peak.unit) == ("old", 3.0, "GB at its peak")
    assert (cpu.peer, cpu.ratio, cpu.unit) == ("old", 0.5, "CPU-seconds")
    assert "| label | old | 3.00 | 2.0 | 2.0 | 1 |" in memory.shown(runs)

    with pytest.raises(ValueError, match="label: the builds have left different outputs"):
        memory.rows_of([*runs, used("old", 1, 1.0, "cd")], 1)


@pytest.mark.slow
def test_memory_quick(tmp_path: Path) -> None:
    written = run_benchmark("memory", tmp_path, "--quick", "--against", str(ROOT), "--name", "same")
    assert {row["case"] for row in written["rows"]} == set(memory.STAGES)
    assert {row["peer"] for row in written["rows"]} == {memory.IMAGES, "same"}
    assert all(run["peak"] > 10**8 for run in written["environment"]["runs"])


# the page


def test_the_page_shows_what_was_written() -> None:
    text = page.PAGE.read_text()
    assert page.render(text) == text, "docs/benchmarks.md: run 'python -m benchmarks.page'"
    shown = {found["name"] for found in page.TABLE.finditer(text)}
    assert shown == {path.stem for path in page.RESULTS.glob("*.json")}


@pytest.mark.parametrize("ask_seconds, expected", [(0.0, 1.0), (75.0, 0.5), (300.0, 0.125)])
def test_slots_are_as_busy_as_the_search_can_ask(ask_seconds: float, expected: float) -> None:
    """Eight slots of trials of 300 s need a suggestion every 37.5 s."""
    share = scaling.busy(8, 16, 4000, ask_seconds, np.random.default_rng(0))
    assert share == pytest.approx(expected, abs=0.02)


def test_a_lag_of_one_keeps_one_slot_busy() -> None:
    assert scaling.busy(8, 1, 400, 0.0, np.random.default_rng(0)) == pytest.approx(1 / 8, abs=0.005)


def test_a_lag_is_a_search_with_the_same_start() -> None:
    small = search.Problem("branin", search.branin, 2, 10 / (8 * math.pi), 0.0, 4, 7)
    found = [scaling.searched(small, lag, 3) for lag in (1, 2, 2)]
    assert found[1] == found[2] >= 0 and found[0] >= 0


# everyday

ORPHAN = """
import sys
from pathlib import Path
from benchmarks.everyday import adopt_orphans, cost_of

busy = "import time; [None for _ in iter(lambda: time.process_time() < 0.6, False)]"
start = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {busy!r}])"
adopt_orphans()
cost = cost_of([sys.executable, "-c", start], Path(sys.argv[1]))
print(cost.cpu_s, cost.wall_s)
try:
    cost_of([sys.executable, "-c", "print('lost'); raise SystemExit(3)"], Path(sys.argv[1]))
except RuntimeError as error:
    print(str(error).splitlines()[-1])
"""


def test_processes_that_outlive_their_parent_are_counted(tmp_path: Path) -> None:
    """In a process of its own, which becomes the parent of orphans."""
    words = [sys.executable, "-c", ORPHAN, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, lost = done.stdout.splitlines()
    assert float(seconds.split()[0]) > 0.6 and lost == "lost"


def test_metrics_are_compared_but_for_the_commit(tmp_path: Path) -> None:
    hashes = []
    for commit in ("a", "b"):
        folder = tmp_path / commit / "metrics"
        folder.mkdir(parents=True)
        entry = {"commit": commit, "changed": False, "torch": "2"}
        (folder / "environment.json").write_text(json.dumps([entry]))
        (folder / "table1.csv").write_text("model,params\n")
        hashes.append(everyday.fingerprints(tmp_path / commit))
    assert hashes[0] == hashes[1] and len(hashes[0]) == 2

    (tmp_path / "b/metrics/table1.csv").write_text("model,params\nours,1\n")
    assert everyday.fingerprints(tmp_path / "b") != hashes[0]


@pytest.mark.slow
def test_everyday_measures_two_commits(tmp_path: Path) -> None:
    written = run_benchmark("everyday", tmp_path, "--quick", "--against", "HEAD")
    assert {row["case"] for row in written["rows"]} == {
        "dvc repro from nothing",
        "a cell whose trials are finished",
    }
    assert written["environment"]["different_metrics"] == []
