"""launchers/: the Slurm script run with stand-ins for Slurm, the two YAML files against what Ray and KubeRay take."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pocket import ENVIRONMENT, ROOT

SCRIPT = ROOT / "launchers/slurm.sbatch"
SRUN = """#!/bin/bash
while [[ ${1:-} == --* ]]; do
    case $1 in
        --nodelist=*) node=${1#*=} ;;
        --nodes=1 | --ntasks=1 | --cpus-per-task=1 | --overlap | --export=ALL) ;;
        *) echo "srun: unknown option $1" >&2; exit 2 ;;
    esac
    shift
done
echo "$node $$" >>"$STAND_INS/steps.txt"
SLURMD_NODENAME=$node exec setsid "$@"
"""
SCONTROL = """#!/bin/bash
echo "$*" >>"$STAND_INS/scontrol.txt"
[[ "$1 $2" != "show hostnames" ]] || printf '%s\\n' ${3//,/ }
"""
# of a node that is up at once, and of one that ends when it is asked to
RAY = """#!/bin/bash
echo "$*" >>"$STAND_INS/ray.txt"
mkdir -p "$(grep -o '/tmp/mimicnets-[^ ]*' <<<"$*")/session_2/logs"
echo "Ray runtime started, logs in $(grep -o '/tmp/mimicnets-[^ ]*' <<<"$*")"
trap 'exit 1' TERM
while :; do sleep 0.1; done
"""
BROKEN = "#!/bin/bash\necho 'no such option' >&2\nexit 3\n"
DRIVE = """
import functools, json, os, sys
from pathlib import Path

import cluster_jobs, search_jobs

wanted = json.loads(os.environ["MIMICNETS_EXECUTION"])
assert wanted["engine"] == "ray" and wanted["slots"] == 2, wanted

import dataclasses
from stages.workers.engines import from_settings

here = Path.cwd()
execution = dataclasses.replace(search_jobs.execution("serial", 2), engine="ray", address=wanted["address"])
with from_settings(execution) as executor:
    assert executor.slots == 2, executor.slots
    cluster_jobs.sweep(here, functools.partial(executor.submit, cluster_jobs.WORK, here, *MORE), 2, 6)
(here / "token").write_text(os.environ["RAY_AUTH_MODE"] + os.environ["RAY_AUTH_TOKEN"])
"""


@dataclass
class Job:
    """One run of the script in `folder`, with stand-ins for what Slurm has."""

    folder: Path
    process: subprocess.Popen[str]

    def end(self, seconds: float = 60) -> tuple[int, str]:
        """Exit status and what it said, once it has ended by itself and nothing of it is left."""
        try:
            said, _ = self.process.communicate(timeout=seconds)
            assert until(lambda: not self.left(), 5), [Path(f"/proc/{pid}/cmdline").read_text() for pid in self.left()]
        finally:
            self.kill()
        return self.process.returncode, said

    def kill(self) -> None:
        """What a test that failed has left."""
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def left(self) -> list[int]:
        """Processes of the script's session and of those of its nodes."""
        sessions = {self.process.pid, *(int(pid) for _, pid in self.steps())}
        return [pid for pid in pids() if session(pid) in sessions]

    def steps(self) -> list[list[str]]:
        """[node, process of srun], as started."""
        return [line.split() for line in self.read("steps").splitlines()]

    def read(self, name: str) -> str:
        """What a stand-in has written; empty before it has."""
        path = self.folder / "stand-ins" / f"{name}.txt"
        return path.read_text() if path.is_file() else ""

    def logs(self) -> dict[str, str]:
        """The output of each node."""
        return {path.stem: path.read_text() for path in sorted((self.folder / "work/slurm/4711").glob("*.log"))}


def pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def session(pid: int) -> int:
    """0 of a process that has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return 0 if state in "ZX" else os.getsid(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def until(condition: Callable[[], Any], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not (held := bool(condition())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return held


@pytest.fixture
def submit(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Run the script for a command on nodes that are all this machine; processes that are left are killed."""
    jobs = []

    def run(command: str, ray: str | None = RAY, nodes: str = "n1,n2", **environment: str) -> Job:
        folder, stand_ins = tmp_path, tmp_path / "stand-ins"
        stand_ins.mkdir(exist_ok=True)
        (folder / "dvc.yaml").touch()
        (folder / "disk").mkdir(exist_ok=True)
        programs = {"srun": SRUN, "scontrol": SCONTROL} | ({"ray": ray} if ray else {})
        for name, text in programs.items():
            (stand_ins / name).write_text(text)
            (stand_ins / name).chmod(0o755)
        slurm = {
            "SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": nodes, "SLURM_CPUS_PER_TASK": "1", "SLURM_GPUS_ON_NODE": "0",
            "SLURM_SUBMIT_DIR": str(folder), "STAND_INS": str(stand_ins), "MIMICNETS_HEAD_IP": "127.0.0.1",
            "MIMICNETS_SCRATCH": str(folder / "disk"), "MIMICNETS_EXECUTION": "{slots: 2}",
            "PATH": f"{stand_ins}{os.pathsep}{ENVIRONMENT['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        }  # fmt: skip
        process = subprocess.Popen(
            ["bash", str(SCRIPT), *shlex.split(command)], env={**ENVIRONMENT, **slurm, **environment}, cwd=folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        jobs.append(Job(folder, process))
        return jobs[-1]

    yield run
    for job in jobs:
        job.kill()


def python(work: str, *more: object) -> str:
    """A command that runs a small sweep on the cluster that the script has started."""
    text = DRIVE.replace("WORK", work).replace("*MORE", ", ".join(map(repr, more)))
    return shlex.join([sys.executable, "-c", text])


# ----------------------------------------------------------------------------------------------------- Slurm: nodes


def test_a_job_runs_its_trials_on_all_its_nodes(submit: Callable[..., Job], tmp_path: Path) -> None:
    """The whole life, with Ray."""
    pytest.importorskip("ray", reason="Ray is in the extra ray")
    started = time.monotonic()
    job = submit(python("trial", 0.2, ""), ray=None)
    status, said = job.end()
    assert status == 0, said
    print(f"a cluster of two nodes, six trials, and the end: {time.monotonic() - started:.1f} s")
    begun = [line.split() for line in (tmp_path / "begun").read_text().splitlines()]
    assert sorted(int(line[0]) for line in begun) == list(range(6))
    assert len({line[2] for line in begun}) == 2, "one node had all trials"
    assert "node 2 of 2 is up" in said and ": 1 CPUs, 0 GPUs" in said
    token = (tmp_path / "token").read_text()
    assert re.fullmatch("token[0-9a-f]{64}", token)
    written = [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    assert any(path.name == "gcs_server.out" for path in written), "the logs of Ray are not kept"
    assert not [path for path in written if token[5:].encode() in path.read_bytes()], "a log has the token"
    folders = re.findall(r"/tmp/mimicnets-\w+", "".join(job.logs().values()))
    assert len(set(folders)) == 2 and not any(Path(folder).exists() for folder in folders)
    assert list((tmp_path / "disk").iterdir()) == []
