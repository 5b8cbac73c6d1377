"""The engine `ray` on three nodes of this machine: the same bytes, whatever dies."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from stages import augment, ensemble, extra, label, prepare
from stages.runtime.cluster import nodes as cluster_nodes
from stages.runtime.cluster import task as cluster_task
from stages.runtime.cluster.executor import Cluster, part_of_gpu
from stages.runtime.engines import from_settings
from stages.runtime.executors import Local, Serial
from stages.store.prepared import PreparedManifest, read_test
from tests.helpers import cluster_jobs, extra_sets, search_jobs
from tests.helpers.outside_nets import linear_onnx, needs_onnx, squeezenet
from tests.helpers.pocket import (
    ENVIRONMENT,
    copy_of_the_repository,
    dvc,
    ran,
    run_cell,
    run_to_labels,
)
from tests.helpers.processes import PATIENCE, gone, processes, session, until
from tools.pocket import ROOT, write_params

# read when Ray is imported; a token in the home folder would else be used by the head alone
SECRET = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
os.environ.update(SECRET)
ray: Any = pytest.importorskip("ray", reason="Ray is in the extra ray")
pytestmark = pytest.mark.ray
TESTS = ROOT / "tests"
HEALTH = {
    "RAY_health_check_period_ms": "3000",
    "RAY_health_check_timeout_ms": "10000",
    "RAY_health_check_failure_threshold": "3",
}


class Nodes:
    """A cluster by `ray start`: a head without CPUs, and nodes that a test can kill."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.nodes = folder, {}
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.temporary = Path(
            tempfile.mkdtemp(prefix="r", dir="/tmp")
        )  # the name of a socket has 107 bytes at most
        self._start(
            "head",
            "--head",
            f"--port={port}",
            "--num-cpus=0",
            f"--temp-dir={self.temporary}",
            "--no-monitor",
            "--include-dashboard=false",
        )

        self.wait("head")

    def start(self, name: str, cpus: int = 1, gpus: int = 0) -> None:
        """Start a node."""
        self._start(name, f"--address={self.address}", f"--num-cpus={cpus}", f"--num-gpus={gpus}")

    def wait(self, name: str) -> None:
        """Until a node is up."""
        log, process = self.folder / f"{name}.log", self.nodes[name]
        assert until(lambda: "Ray runtime started" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()

    def _start(self, name: str, *words: str) -> None:
        environment = {
            **ENVIRONMENT,
            **HEALTH,
            **SECRET,
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(TESTS),
            "RAY_enable_metrics_collection": "0",
        }
        log = self.folder / f"{name}.log"
        ray_start = (
            Path(sys.executable).with_name("ray"),
            "start",
            "--block",
            "--disable-usage-stats",
            "--object-store-memory=80000000",
            "--include-log-monitor=false",
        )
        with log.open("w") as file:
            process = subprocess.Popen(
                (*ray_start, *words),
                env=environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.nodes[name] = process

    def ensure(self, name: str, cpus: int = 1) -> None:
        """Start a node if it does not run."""
        if name in self.nodes and self.nodes[name].poll() is not None:
            self.kill(name)
        if name not in self.nodes:
            self.start(name, cpus)
            self.wait(name)

    def kill(self, name: str) -> None:
        """Kill all that a node has started, as a machine that loses its power."""
        self.send(name, signal.SIGKILL)
        self.nodes.pop(name).wait()

    def send(self, name: str, number: signal.Signals) -> None:
        """A signal to all that a node has started."""
        for pid in processes():
            if session(pid) == self.nodes[name].pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def end(self) -> None:
        """Nothing of it is left."""
        sessions = {process.pid for process in self.nodes.values()}
        for name in list(self.nodes):
            self.kill(name)
        shutil.rmtree(self.temporary, ignore_errors=True)
        assert until(lambda: all(gone(pid) for pid in processes() if session(pid) in sessions))

    def named(self, pid: int) -> str:
        """The node that has started a process."""
        return next(name for name, process in self.nodes.items() if session(pid) == process.pid)


def free_port() -> int:
    """A port outside the range from which the system, and so Ray, gives ports to others."""
    for port in random.Random(os.getpid()).sample(range(20_000, 32_000), 100):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("", port))
            return port
    raise OSError("no free port")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A head, two nodes of two CPUs and one of one; all of it is gone afterwards."""
    made = Nodes(tmp_path_factory.mktemp("nodes"))
    try:
        for name, cpus in (
            ("a", 2),
            ("b", 2),
            ("c", 1),
        ):  # one by one: at a time they take each other's ports
            made.ensure(name, cpus)
        yield made
    finally:
        made.end()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which the driver and its trials run."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    ray.shutdown()  # of a test that failed


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the serial sweep writes."""
    folder = tmp_path_factory.mktemp("serial")
    cluster_jobs.sweep(
        folder, functools.partial(Serial().submit, cluster_jobs.trial, folder, 0.0, {}), 1
    )
    return written(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The same, of six trials that wait for nothing."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "go").touch()
    cluster_jobs.sweep(
        folder, functools.partial(Serial().submit, cluster_jobs.wait_for, folder), 1, 6
    )
    return written(folder)


def written(folder: Path) -> dict[str, bytes]:
    """Journal and outputs of a sweep."""
    outputs = sorted((folder / "outputs").iterdir())
    return {path.name: path.read_bytes() for path in (folder / "journal.jsonl", *outputs)}


def swept(
    folder: Path, executor: Executor, slots: int, faults: Any = None, seconds: float = 0.3
) -> dict[str, bytes]:
    """What the sweep writes, its trials of random length."""
    with executor:
        submit = functools.partial(
            executor.submit, cluster_jobs.trial, folder, seconds, faults or {}
        )
        cluster_jobs.sweep(folder, submit, slots)
    return written(folder)


def begun(folder: Path, name: str = "begun") -> list[list[str]]:
    """[trial, pid, node] of every begin of a trial."""
    path = folder / name
    return [line.split() for line in path.read_text().splitlines()] if path.is_file() else []


def recovery(folder: Path, trial: int) -> float:
    """Seconds from its fault to the end of a trial."""
    end = next(float(line[2]) for line in begun(folder, "ended") if line[0] == str(trial))
    return end - float((folder / f"met-{trial}").read_text())


# ---------------------------------------------------------------------------------- without faults


@pytest.mark.parametrize("engine", ["local 2", "local 4", "ray"])
def test_the_same_bytes_on_every_engine(
    engine: str, reference: dict[str, bytes], here: Path, request: Any
) -> None:
    """Of the journal and of what trials write."""
    slots = 2 if engine == "local 2" else 4
    if engine == "ray":
        executor: Executor = Cluster(request.getfixturevalue("nodes").address, 4)
        assert executor.slots == 4
    else:
        executor = Local(slots)
    assert len(reference) == 9 and swept(here, executor, slots) == reference
    assert sorted(int(line[0]) for line in begun(here)) == list(range(8))
    if engine == "ray":
        assert len({line[2] for line in begun(here)}) == 3, "a node had no trial"
        assert list((here / "work/beats").iterdir()) == []


def test_a_trial_has_a_process_of_its_own_in_the_folder_of_the_driver(
    nodes: Nodes, here: Path
) -> None:
    with Cluster(nodes.address, 1) as executor:
        first, second = (executor.submit(cluster_jobs.state, "mark").result() for _ in range(2))
    assert first[:2] == second[:2] == (None, False)
    assert first[2] != second[2] and first[3] == second[3] == here


def test_errors_come_as_they_were_raised(nodes: Nodes, here: Path) -> None:
    jobs = (
        search_jobs.refuse,
        search_jobs.awkward,
        search_jobs.unpicklable,
        search_jobs.leave,
        cluster_jobs.no_memory,
    )
    with Cluster(nodes.address, 4) as executor:
        given = {search_jobs.refuse: (0.5,), search_jobs.leave: (3,)}
        found = [executor.submit(job, *given.get(job, ())).exception(PATIENCE) for job in jobs]
    kinds = [type(error) for error in found]
    assert kinds == [ValueError, RuntimeError, RuntimeError, RuntimeError, OSError]
    assert str(found[0]) == "lr 0.5 is refused" and "search_jobs.py" in found[0].__notes__[0]
    assert [str(found[1]), str(found[3])] == ["a trial gave Awkward: layer 7", "SystemExit: 3"]
    assert "cannot be pickled" in str(found[2])
    assert str(found[4]).startswith("a trial ran out of memory (2 TiB): lower execution.slots")


def test_settings_choose_the_cluster(nodes: Nodes, here: Path) -> None:
    wanted = dataclasses.replace(
        search_jobs.execution("serial", 3), engine="ray", address=nodes.address
    )
    with from_settings(wanted) as executor:
        assert isinstance(executor, Cluster) and executor.slots == 3
    with from_settings(dataclasses.replace(wanted, slots=64, device="auto")) as executor:
        assert executor.slots == 5, "more trials than the cluster has CPUs"
    with pytest.raises(ValueError, match="execution.devices is .1. and execution.engine is 'ray'"):
        from_settings(dataclasses.replace(wanted, devices=(1,)))


def test_parts_of_a_gpu_fit_into_it() -> None:
    assert [part_of_gpu(n) for n in (1, 2, 3, 6, 64)] == [1.0, 0.5, 0.3333, 0.1666, 0.0156]
    assert all(n * part_of_gpu(n) <= 1 for n in range(1, 65))


# --------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("auto", "execution.address is 'auto': allowed is HOST:PORT"),
        ("ray://10.0.0.1:10001", "allowed is HOST:PORT"),
        ("127.0.0.1:1", "no Ray cluster answers at execution.address 127.0.0.1:1 .*refused"),
        ("127.0.0.1:99999", "no Ray cluster answers"),
    ],
)
def test_a_cluster_that_is_not_there(address: str, message: str, here: Path) -> None:
    with pytest.raises(ValueError, match=message):
        Cluster(address, 1)


def test_something_that_is_no_cluster_is_left_after_a_while(here: Path) -> None:
    """In a process of its own: Ray keeps trying in it."""
    code = (
        "import socket; from stages.runtime.cluster import executor, join\n"
        "join.CONNECT_SECONDS = 4\n"
        "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
        "executor.Cluster(f'127.0.0.1:{s.getsockname()[1]}', 1)\n"
    )
    process = python(code, here)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert (
        "ValueError: cannot join the Ray cluster at 127.0.0.1:" in errors
        and "(no answer in 4 s)" in errors
    )


def test_ray_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"Ray cannot be imported .*pip install '\.\[ray\]'"):
        Cluster("127.0.0.1:1", 1)


def test_a_cluster_without_a_slot(nodes: Nodes, here: Path) -> None:
    with pytest.raises(
        ValueError,
        match="has no GPU for trials: start nodes with --num-gpus, or set execution.device",
    ):
        Cluster(nodes.address, 1, "cuda")
    assert not ray.is_initialized()


def other(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Let the driver have another project than the nodes."""
    project = dataclasses.replace(cluster_task.project_here(), **changes)
    monkeypatch.setattr(cluster_task, "project_here", lambda *_: project)


SLOWER = [pytest.param(what, marks=pytest.mark.slow) for what in ("folder", "more code")]


@pytest.mark.parametrize("what", ["root", "code", "packages", "not shared", *SLOWER])
def test_a_node_that_lacks_something(
    what: str, nodes: Nodes, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = cluster_task.project_here()
    if what == "root":
        other(monkeypatch, root=here / "nowhere")
        message = (
            r"node [\d.]+ has no .*nowhere/stages: "
            "the project must lie at the same absolute path on every node"
        )
    elif what == "folder":
        other(monkeypatch, folder=here / "nowhere")
        message = "has no .*nowhere: the project must lie"
    elif what == "code":
        other(monkeypatch, files={**mine.files, "stages/teachers.py": "0"})
        message = (
            r"has other code in .* than the driver: "
            r"stages/teachers.py differs \(1 such files\): bring it to"
        )
    elif what == "more code":
        other(monkeypatch, files={**mine.files, "stages/new.py": "0"})
        message = "stages/new.py is on one side only"
    elif what == "packages":
        other(monkeypatch, packages={**mine.packages, "torch": "2.0.0"})
        message = r"has torch 2\.\S+ and the driver 2\.0\.0: install the same on every node"
    else:
        monkeypatch.setattr(Path, "touch", lambda self: None)
        message = "does not see what the driver writes into .*file system that all nodes share"
    with pytest.raises(ValueError, match=message):
        Cluster(nodes.address, 1)
    assert not ray.is_initialized()


def test_code_that_is_edited_during_a_run_is_refused(
    nodes: Nodes, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Cluster(nodes.address, 1) as executor:
        executor._project = dataclasses.replace(executor._project, files={})
        with pytest.raises(
            ValueError, match="has other code .*wait with edits until the run is over"
        ):
            executor.submit(search_jobs.square, 2.0).result(PATIENCE)


# ------------------------------------------------------------------------------------------ faults


def python(code: str, folder: Path) -> subprocess.Popen[str]:
    """Another python, in a session of its own, that sees the project."""
    path = os.pathsep.join([str(ROOT), str(TESTS)])
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**ENVIRONMENT, **SECRET, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=folder,
    )


def drive(folder: Path, nodes: Nodes, waits: bool = True) -> subprocess.Popen[str]:
    return python(
        "from tests.helpers import cluster_jobs; "
        f"cluster_jobs.drive({str(folder)!r}, {nodes.address!r}, {waits})",
        folder,
    )


def test_processes_that_die_or_freeze(
    reference: dict[str, bytes], nodes: Nodes, here: Path
) -> None:
    """Trial 1 dies, trial 3 freezes, both the first time."""
    faults = {1: signal.SIGKILL, 3: signal.SIGSTOP}
    assert swept(here, Cluster(nodes.address, 4, patience=3), 4, faults, 0.1) == reference
    assert sorted(int(line[0]) for line in begun(here)) == sorted([*range(8), 1, 3])
    for trial, number in faults.items():
        assert gone(int(runs_of(str(trial), here)[0][1]))
        print(f"recovery from a worker that got {number.name}: {recovery(here, trial):.1f} s")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "message"),
    [
        (signal.SIGKILL, "a trial's process died 4 times on the Ray cluster"),
        (signal.SIGSTOP, "a trial has stopped giving signs of life 3 times on the Ray cluster"),
    ],
)
def test_a_trial_that_dies_or_freezes_each_time_is_given_up(
    number: int, message: str, nodes: Nodes, here: Path
) -> None:
    with Cluster(nodes.address, 4, patience=2) as executor:
        error = executor.submit(cluster_jobs.die, here, number).exception(PATIENCE)
        assert isinstance(error, ChildProcessError) and str(error).startswith(message)
        assert len(begun(here)) == int(message.split(" times")[0][-1])
        assert until(lambda: all(gone(int(line[1])) for line in begun(here)))


@pytest.mark.parametrize(
    "how", ["kill", "ctrl-c", pytest.param("terminate", marks=pytest.mark.slow)]
)
def test_no_trial_outlives_the_driver(how: str, nodes: Nodes, here: Path) -> None:
    """And the sweep resumes from its journal, no trial lost or doubled."""
    process = drive(here, nodes)
    assert until(lambda: len(begun(here)) == 2), process.kill() or process.communicate()
    pids = [int(line[1]) for line in begun(here)]
    sent = time.monotonic()
    if how == "terminate":
        process.terminate()
    else:
        os.killpg(process.pid, signal.SIGKILL if how == "kill" else signal.SIGINT)
    assert until(lambda: all(gone(pid) for pid in pids))
    ended = time.monotonic() - sent
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert how != "ctrl-c" or errors.strip().endswith("KeyboardInterrupt")
    print(f"trials ended {ended:.1f} s after the driver got {how}")
    if how == "kill":
        (here / "go").touch()
        again = drive(here, nodes)
        _, errors = again.communicate(timeout=PATIENCE)
        assert again.returncode == 0, errors
        cluster_jobs.sweep(here, lambda *_: pytest.fail("nothing is left to run"), 1)
        ended_once = sorted(int(line[0]) for line in begun(here, "ended"))
        assert ended_once == list(range(8))
        plain = here / "plain"
        plain.mkdir(), (plain / "go").touch()
        cluster_jobs.sweep(
            plain, functools.partial(Serial().submit, cluster_jobs.wait_for, plain), 1
        )
        assert (here / "journal.jsonl").read_bytes() == (plain / "journal.jsonl").read_bytes()


@contextlib.contextmanager
def sweeping(folder: Path, executor: Executor) -> Iterator[None]:
    """A sweep of six trials that wait, in a thread; at the end they go, and it is over."""
    errors: list[BaseException] = []

    def sweep() -> None:
        try:
            cluster_jobs.sweep(
                folder, functools.partial(executor.submit, cluster_jobs.wait_for, folder), 4, 6
            )
        except BaseException as error:
            errors.append(error)

    with executor:
        thread = threading.Thread(target=sweep)
        thread.start()
        try:
            yield
        finally:
            (folder / "go").touch()
            thread.join(PATIENCE)
    assert not errors and not thread.is_alive(), errors


def a_trial_on(nodes: Nodes, name: str, folder: Path) -> list[str]:
    """[trial, pid, node] of a trial that runs on a node."""
    on = lambda: [line for line in begun(folder) if nodes.named(int(line[1])) == name]  # noqa: E731
    assert until(on), begun(folder)
    return on()[0]


def runs_of(trial: str, folder: Path) -> list[list[str]]:
    return [line for line in begun(folder) if line[0] == trial]


def alive() -> int:
    """The number of nodes that Ray takes for alive."""
    return sum(node["Alive"] for node in ray.nodes())


def check_frozen(
    nodes: Nodes, here: Path, executor: Cluster, plain: dict[str, bytes], noticed: bool
) -> None:
    """Freeze a node, thaw it when its trial runs elsewhere: that one counts, and once.

    Args:
        noticed: whether Ray knows by then that the node does not answer.
    """
    with sweeping(here, executor):
        there = a_trial_on(nodes, "c", here)
        before, struck = alive(), time.monotonic()
        try:
            nodes.send("c", signal.SIGSTOP)
            assert until(lambda: len(runs_of(there[0], here)) == 2), begun(here)
            assert (alive() < before) == noticed
            print(
                f"a trial of a node that froze began again after {time.monotonic() - struck:.1f} s"
            )
        finally:
            nodes.send("c", signal.SIGCONT)
        thawed = time.monotonic()
        assert until(lambda: gone(int(there[1]))), "two processes run one trial"
        print(f"the earlier process ended {time.monotonic() - thawed:.1f} s after it went on")
        time.sleep(2)
    assert written(here) == plain
    assert sorted(line[0] for line in begun(here, "ended")) == list("012345")
    assert len(begun(here)) == 7 and runs_of(there[0], here)[1][2] != there[2]


def test_a_node_that_freezes(plain: dict[str, bytes], nodes: Nodes, here: Path) -> None:
    """Ray has not noticed yet."""
    nodes.ensure("c")
    check_frozen(nodes, here, Cluster(nodes.address, 4, patience=3), plain, noticed=False)


@pytest.mark.slow
def test_a_node_that_freezes_before_its_trial_begins(nodes: Nodes, here: Path) -> None:
    """Ray gives it one, and would wait until it takes the node for dead."""
    nodes.ensure("c")
    (here / "go").touch()
    with Cluster(nodes.address, 5, patience=4) as executor:
        before = alive()
        try:
            nodes.send("c", signal.SIGSTOP)
            given = {"lr": 0.5, "width": 4}
            jobs = [executor.submit(cluster_jobs.wait_for, here, i, given, i) for i in range(5)]
            struck = time.monotonic()
            assert [job.result(PATIENCE)["seed"] for job in jobs] == list(range(5))
            assert time.monotonic() - struck > 8, "the node had no trial"
            assert alive() == before, "Ray was waited for"
        finally:
            nodes.send("c", signal.SIGCONT)
        time.sleep(2)
    assert sorted(line[0] for line in begun(here, "ended")) == list("01234")


@pytest.mark.slow
def test_a_node_that_freezes_with_the_patience_of_real_runs(
    plain: Any, nodes: Nodes, here: Path
) -> None:
    """Ray notices first."""
    nodes.ensure("c")
    check_frozen(nodes, here, Cluster(nodes.address, 4), plain, noticed=True)


@pytest.mark.slow
def test_a_node_of_which_only_ray_freezes(
    plain: dict[str, bytes], nodes: Nodes, here: Path
) -> None:
    """The head gives it up; trials that run there continue and count."""
    nodes.ensure("c")
    raylet = next(
        pid
        for pid in processes()
        if session(pid) == nodes.nodes["c"].pid
        and Path(f"/proc/{pid}/comm").read_text().strip() == "raylet"
    )
    executor = Cluster(nodes.address, 4, patience=8)
    with sweeping(here, executor):
        there = a_trial_on(nodes, "c", here)
        struck = time.monotonic()
        os.kill(raylet, signal.SIGSTOP)
        try:
            assert until(lambda: executor._nodes.dead(there[2]))
            print(f"a node whose raylet froze was given up after {time.monotonic() - struck:.1f} s")
            time.sleep(15)
            (here / "go").touch()
            assert until(lambda: (here / "outputs" / there[0]).exists())
        finally:
            os.kill(raylet, signal.SIGCONT)
    assert written(here) == plain
    assert sorted(line[0] for line in begun(here)) == list("012345")


def test_a_node_that_dies(plain: dict[str, bytes], nodes: Nodes, here: Path) -> None:
    """Its trials run again on the others."""
    nodes.ensure("c")
    with sweeping(here, Cluster(nodes.address, 4, patience=4)):
        there = a_trial_on(nodes, "c", here)
        struck = time.monotonic()
        nodes.kill("c")
        assert until(lambda: len(runs_of(there[0], here)) == 2), begun(here)
        print(f"a trial of a node that died began again after {time.monotonic() - struck:.1f} s")
        assert until(lambda: gone(int(there[1]))), "two processes run one trial"
    assert written(here) == plain


def test_a_cluster_without_a_node_for_trials_ends_the_run(nodes: Nodes, here: Path) -> None:
    """On GPUs, since other nodes have CPUs."""
    nodes.start("gpus", 0, 1)
    nodes.wait("gpus")
    with Cluster(nodes.address, 1, "cuda", lost_after=3) as executor:
        jobs = [
            executor.submit(cluster_jobs.wait_for, here, i, {"lr": 0.5, "width": 4}, 0)
            for i in range(2)
        ]
        assert until(lambda: len(begun(here)) == 1)
        struck = time.monotonic()
        nodes.kill("gpus")
        errors = [job.exception(PATIENCE) for job in jobs]
        print(
            f"a run ended {time.monotonic() - struck:.1f} s after its last node, "
            "3 of them the wait for another"
        )
        with pytest.raises(OSError, match="has had no node that can run trials for 3 s"):
            executor.submit(search_jobs.seen_gpu)
    for error in errors:
        assert type(error) is OSError
        assert str(error) == (
            f"the Ray cluster at {nodes.address} has had no node that can run trials for 3 s: "
            "finished trials are kept; start nodes again and run again"
        )
    assert gone(int(begun(here)[0][1]))
    assert not ray.is_initialized()


@pytest.mark.slow
def test_a_cluster_that_gets_a_node_again_goes_on(nodes: Nodes, here: Path) -> None:
    nodes.start("gpus", 0, 1)
    nodes.wait("gpus")
    with Cluster(nodes.address, 1, "cuda", lost_after=40) as executor:
        job = executor.submit(cluster_jobs.wait_for, here, 0, {"lr": 0.5, "width": 4}, 0)
        assert until(lambda: len(begun(here)) == 1)
        nodes.kill("gpus")
        assert until(lambda: executor._nodes.have() == 0)
        time.sleep(10)
        nodes.start("gpus", 0, 1)
        nodes.wait("gpus")
        (here / "go").touch()
        assert job.result(PATIENCE)["seed"] == 0
        nodes.kill("gpus")
        assert until(lambda: executor._nodes.have() == 0)


@contextlib.contextmanager
def two_nodes(folder: Path) -> Iterator[Nodes]:
    """A cluster of its own: a head without CPUs, and two nodes of one."""
    made = Nodes(folder)
    try:
        for name in "ab":
            made.ensure(name)
        yield made
    finally:
        made.end()


@pytest.mark.slow
def test_a_head_that_dies_ends_the_run(here: Path) -> None:
    """In one line and with all trials; a run on another cluster continues."""
    with two_nodes(here) as nodes:
        process = drive(here, nodes)
        assert until(lambda: len(begun(here)) == 2), process.kill() or process.communicate()
        struck = time.monotonic()
        nodes.kill("head")
        assert until(lambda: all(gone(int(line[1])) for line in begun(here)))
        print(f"trials ended {time.monotonic() - struck:.1f} s after their head")
        assert until(lambda: process.poll() is not None)
        print(f"the driver ended {time.monotonic() - struck:.1f} s after its head")
        _, errors = process.communicate()
        assert errors.strip().splitlines()[-1] == (
            f"OSError: the head of the Ray cluster at {nodes.address} has not answered for 60 s: "
            "finished trials are kept; start the cluster again and run again"
        )
    with two_nodes(here) as nodes:
        process = drive(here, nodes)
        assert until(lambda: len(begun(here)) == 4), process.kill() or process.communicate()
        (here / "go").touch()
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
    assert sorted(int(line[0]) for line in begun(here, "ended")) == list(range(8))


def test_a_process_is_killed_if_it_is_the_same() -> None:
    """And is gone before its parent has waited for it."""
    process = subprocess.Popen(["sleep", "3600"])
    try:
        since = cluster_task.born(process.pid)
        assert since and cluster_task.kill(process.pid, f"{since}0", 1.0) and process.poll() is None
        process.send_signal(signal.SIGSTOP)
        assert cluster_task.kill(process.pid, since, 2.0)
        assert Path(f"/proc/{process.pid}").exists() and cluster_task.born(process.pid) is None
    finally:
        process.kill()
        process.wait()


class Head:
    """In the place of the module `ray`: a list of nodes, from a head that can freeze."""

    def __init__(self) -> None:
        self.answers, self.alive = threading.Event(), True
        self.answers.set()

    def remote(self, **options: Any) -> Callable[..., Any]:
        return lambda function: function

    def nodes(self) -> list[dict[str, Any]]:
        self.answers.wait(PATIENCE)
        return [{"NodeID": "a", "Alive": self.alive, "Resources": {"CPU": 2.0}}]


def test_a_head_that_freezes_and_a_driver_that_was_stopped() -> None:
    head = Head()
    nodes = cluster_nodes.Nodes(head, "10.0.0.1:6379", False, 0.02, 1.0)
    assert nodes.have() == 2 and nodes.loss(PATIENCE) is None
    head.alive = False
    assert until(lambda: nodes.loss(0.5))
    assert (
        nodes.dead("a")
        and nodes.have() == 0
        and "has had no node that can run trials" in (nodes.loss(0.5) or "")
    )
    nodes.forgive(60.0)
    assert nodes.loss(0.5) is None, "silence that was ours"
    head.alive = True
    assert until(lambda: nodes.have() == 2)
    head.answers.clear()
    assert until(lambda: nodes.loss(0.5))
    assert str(nodes.loss(0.5)).startswith(
        "the head of the Ray cluster at 10.0.0.1:6379 has not answered for 0 s"
    )
    nodes.forgive(60.0)
    assert nodes.loss(0.5) is None
    head.answers.set()
    nodes.close()


def test_of_two_processes_with_one_trial_the_later_one_stays(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from stages.runtime.cluster.task import beating\n"
        "with beating(Path(sys.argv[1]), sys.argv[2], 0.2):\n"
        "    Path(sys.argv[3]).touch(); time.sleep(3600)\n"
    )
    words = [[str(tmp_path / "beats"), node, str(tmp_path / node)] for node in ("a", "b")]
    first, second = None, None
    try:
        first = subprocess.Popen([sys.executable, "-c", code, *words[0]], cwd=ROOT)
        assert until((tmp_path / "a").exists)
        second = subprocess.Popen([sys.executable, "-c", code, *words[1]], cwd=ROOT)
        assert until((tmp_path / "b").exists)
        assert first.poll() == -signal.SIGKILL, "both ran at a time"
        time.sleep(1)
        assert second.poll() is None
        cluster_task.disown(tmp_path / "beats")
        assert until(lambda: second.poll() == -signal.SIGKILL), "it lives without an owner"
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.wait()


@pytest.mark.slow
def test_trials_share_gpus(nodes: Nodes, here: Path) -> None:
    """Ray gives out what a node says that it has: no GPU is needed for that."""
    nodes.start("gpus", 0, 2)
    nodes.wait("gpus")
    with Cluster(nodes.address, 1, "cuda", 3) as executor:
        assert executor.slots == 6
        seen = [executor.submit(search_jobs.seen_gpu, here).result for _ in range(6)]
        assert until(lambda: len(list(here.glob("begun-*"))) == 6)
        (here / "go").touch()
        assert sorted(result() for result in seen) == ["0"] * 3 + ["1"] * 3
        nodes.kill("gpus")
        assert until(lambda: not any(n["Alive"] and "GPU" in n["Resources"] for n in ray.nodes()))


# ------------------------------------------------------------------------------------- a real cell


def test_augment_has_the_same_bytes_as_in_one_process(
    nodes: Nodes, tmp_path: Path, monkeypatch: Any
) -> None:
    written = []
    monkeypatch.setattr(augment, "IMAGES_PER_PROCESS", 1)
    for engine in ("serial", "ray"):
        folder = tmp_path / engine
        folder.mkdir()
        write_params(
            folder,
            {"execution.engine": engine, "execution.address": nodes.address, "execution.slots": 3},
        )
        monkeypatch.chdir(folder)
        prepare.main()
        augment.main()
        written.append(
            {path.name: path.read_bytes() for path in (folder / "data/augmented").iterdir()}
        )
    assert len(written[0]) == 4 and written[0] == written[1]


def test_further_sets_have_the_same_bytes_as_in_one_process(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set with corruptions, and parquet files with columns of their own."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    run_to_labels()
    images, labels, header = read_test(Path("data/prepared"))
    extra_sets.corrupted(Path("data/raw/c"), images, labels)
    extra_sets.parquet(Path("data/raw/p"), images[::-1], labels[::-1], header["classes"])
    sets = {"c": "data/raw/c", "p": {"path": "data/raw/p", "image_column": "img"}}

    written = []
    monkeypatch.setattr(extra, "IMAGES_PER_PROCESS", 1)
    cluster = {"execution.address": nodes.address, "execution.slots": 3}
    for engine in ("serial", "ray"):
        shutil.rmtree("work/extra", ignore_errors=True)
        changes = {"prepare.extra_tests": sets, "execution.engine": engine, **cluster}
        write_params(tmp_path, changes)
        with monkeypatch.context() as patch:
            if engine == "ray":  # the nodes ask the nets, and not this process
                patch.setattr("stages.trials.extra_trial.score_parts", None)
            extra.main()
        written.append({path.name: path.read_bytes() for path in Path("data/extra").iterdir()})
    assert len(written[0]) == 3 and written[0] == written[1]


@needs_onnx
def test_nets_of_files_label_the_same_bytes_as_in_one_process(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A linear net by onnxruntime and one of torchvision, on the nodes."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, {"ensemble.source": "files"})
    prepare.main(), augment.main()

    classes = PreparedManifest.read(Path("data/prepared")).classes
    weights = np.random.default_rng(0).normal(size=(len(classes), 3)).astype(np.float32)
    linear_onnx(Path("teachers"), weights=weights, bias=np.zeros(len(classes)), classes=classes)
    squeezenet(Path("teachers"), classes=classes[::-1], size_px=40)
    ensemble.main()

    written = []
    monkeypatch.setattr(label, "PASSES_PER_PROCESS", 1)
    cluster = {"execution.address": nodes.address, "execution.slots": 3}
    for engine in ("serial", "ray"):
        shutil.rmtree("work", ignore_errors=True)
        write_params(tmp_path, {"ensemble.source": "files", "execution.engine": engine, **cluster})
        with monkeypatch.context() as patch:
            if engine == "ray":  # the nodes ask the nets, and not this process
                patch.setattr("stages.transfer.labels.mean_logits", None)
            label.main()
        written.append({path.name: path.read_bytes() for path in Path("data/logits").iterdir()})
    assert len(written[0]) == 4 and written[0] == written[1]


@pytest.mark.slow
def test_a_cell_has_the_same_bytes_as_in_one_process(
    nodes: Nodes, tmp_path: Path, monkeypatch: Any
) -> None:
    """augment, label and two cells."""
    written = []
    monkeypatch.setattr(augment, "IMAGES_PER_PROCESS", 1)
    monkeypatch.setattr(label, "PASSES_PER_PROCESS", 1)
    for engine in ("serial", "ray"):
        folder = tmp_path / engine
        folder.mkdir()
        changes = {
            "execution.engine": engine,
            "execution.address": nodes.address,
            "execution.slots": 2,
        }
        write_params(folder, {"execution.engine": "serial"})
        monkeypatch.chdir(folder)
        if engine == "serial":
            run_to_labels()
        else:
            for name in ("prepared", "ensemble"):
                shutil.copytree(tmp_path / "serial/data" / name, folder / "data" / name)
            write_params(folder, changes)
            augment.main(), label.main()
            run_cell("mimic", "conv1", "60k")
            run_cell("mimic", "mlp2", "60k")
        made = ("data/augmented", "data/logits", "data/students", "metrics/students")
        files = [path for name in made for path in sorted((folder / name).rglob("*"))]
        written.append(
            {path.relative_to(folder): path.read_bytes() for path in files if path.is_file()}
        )
    assert len(written[0]) > 14 and written[0] == written[1]


def in_folder(folder: Path) -> list[int]:
    """Processes that work there: stages, DVC and trials."""
    found = []
    for pid in processes():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cwd").resolve().is_relative_to(folder):
                found.append(pid)
    return found


def outcome(folder: Path) -> dict[str, Any]:
    """All metrics, and the hashes of all outputs, whatever the order of stages in dvc.lock."""
    metrics = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in (folder / "metrics").rglob("*.*")
    }
    return {**metrics, "dvc.lock": YAML(typ="safe").load(folder / "dvc.lock")}


@pytest.mark.slow
def test_ctrl_c_during_dvc_repro_leaves_nothing_and_loses_nothing(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRET.items():
        monkeypatch.setitem(ENVIRONMENT, name, value)
    whole, stopped = (copy_of_the_repository(tmp_path / name) for name in ("whole", "stopped"))
    write_params(whole)
    dvc(whole, "repro")
    write_params(
        stopped,
        {"execution.engine": "ray", "execution.address": nodes.address, "execution.slots": 2},
    )

    def done() -> list[str]:
        journals = list(stopped.glob("work/teachers/*/journal.jsonl"))
        lines = journals[0].read_text().splitlines() if journals else []
        return [line for line in lines if '"event":"done"' in line]

    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=stopped,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        assert until(lambda: done() or process.poll() is not None) and process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        sent = time.monotonic()
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert until(lambda: not in_folder(stopped)), in_folder(stopped)
    print(f"nothing was left {time.monotonic() - sent:.1f} s after Ctrl-C")
    assert process.returncode != 0 and "stopped; run 'dvc repro' to resume" in output, output
    journal = next(stopped.glob("work/teachers/*/journal.jsonl"))
    before = journal.read_bytes()
    assert 1 <= len(done()) < 4
    assert "teachers" in ran(dvc(stopped, "repro"))
    assert journal.read_bytes().startswith(before), "it began from scratch"
    assert outcome(stopped) == outcome(whole)
    assert list((stopped / "work/beats").iterdir()) == []
