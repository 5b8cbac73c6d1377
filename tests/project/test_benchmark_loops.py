"""The loops of `benchmarks.train`, and the processes in which benchmarks run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from benchmarks import measure, train
from benchmarks.measure import ROOT, Cost
from tests.helpers.loops import dying, with_a_child


def test_an_alternative_may_have_children() -> None:
    with measure.processes({"PIL": with_a_child}) as workers:
        cost = workers["PIL"]()
    assert cost.wall_s > 0


@pytest.mark.parametrize("code", [3, 4])
def test_a_dead_alternative_is_named(code: int) -> None:
    makers = {"ours": with_a_child, "theirs": partial(dying, code)}
    message = f"the process of 'theirs' died with exit code {code} "
    with pytest.raises(ChildProcessError, match=message):
        with measure.processes(makers) as workers:
            measure.interleaved(workers, 1)


def test_a_benchmark_with_a_dead_loop_ends_with_one_line() -> None:
    """As a user runs it: no traceback of the parent."""
    code = (
        "import sys; sys.argv = ['x']\n"
        "from functools import partial\n"
        "from benchmarks import measure\n"
        "from tests.helpers.loops import dying\n"
        "def run(arguments):\n"
        "    with measure.processes({'theirs': partial(dying, 3)}): pass\n"
        "measure.main('x', 'About.', run)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: the process of 'theirs' died")
    assert "Traceback" not in done.stderr


def test_loops_are_those_that_are_asked_for() -> None:
    both = ("fp32", "bf16")
    assert train.loop_names("conv2 1M", both, False) == [*both, *train.PEERS]
    assert train.loop_names("conv2 1M", both, True)[-2:] == list(train.EAGER)
    asked = ["bf16 without graphs", "bf16"]
    assert train.loop_names("conv2 1M", both, True, asked) == ["bf16", "bf16 without graphs"]
    assert train.loop_names("teacher 7.6M", both, False, ["fp32", *train.LIVE]) == ["fp32"]

    message = "error: --loops is 'bf16', and mlp1 1M has none of them on this device: allowed are "
    with pytest.raises(SystemExit, match=f"{message}'fp32', "):
        train.loop_names("mlp1 1M", ("fp32",), False, ["bf16"])


def test_rows_and_rates_of_some_loops() -> None:
    costs = {"bf16": [Cost(0.5, 0.25)], "eager, resident": [Cost(1.0, 0.75)]}
    (row,) = train.rows_of("conv2 1M", costs, ("fp32", "bf16"), True)
    assert (row.peer, row.ratio, row.ours, row.unit) == (
        "eager, resident",
        3.0,
        4.0,
        "images per second",
    )
    assert train.rows_of("conv2 1M", {"bf16": costs["bf16"]}, ("fp32", "bf16"), True) == []
    assert train.rates_of(costs, cuda=True) == {"bf16": 4.0, "eager, resident": 4 / 3}
    assert train.rates_of(costs, cuda=False) == {"bf16": 2.0, "eager, resident": 1.0}


@pytest.mark.middle
def test_train_with_a_dataloaders_workers(tmp_path: Path) -> None:
    """Its processes are what a GPU's run has, and a CPU's by default has not."""
    words = ["--quick", "--cases", "mlp1 1M", "--loops", "PIL + DataLoader", "fp32"]
    words += ["--workers", "1", "--json", str(tmp_path / "out.json")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.train", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

    written = json.loads((tmp_path / "out.json").read_text())
    assert [row["peer"] for row in written["rows"]] == ["PIL + DataLoader"]
    rates = written["environment"]["nets"]["mlp1 1M"]["rates"]
    assert rates.keys() == {"PIL + DataLoader", "fp32"} and min(rates.values()) > 0
    assert f"mlp1 1M, fp32: {rates['fp32']:.4g} images per CPU-second" in done.stdout
