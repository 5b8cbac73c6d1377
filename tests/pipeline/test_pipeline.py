"""The real dvc.yaml at pocket size: run, do nothing, run what an edit touches, survive kills."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.faults.harness import INJECT
from tests.helpers.pocket import ENVIRONMENT, WHOLE_RUN, copy_of_the_repository, dvc, ran
from tests.helpers.processes import PATIENCE, until
from tools.pocket import ROOT, write_params


@pytest.fixture(scope="module")
def repository(undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pocket pipeline of this module's own."""
    return Path(
        shutil.copytree(undisturbed, tmp_path_factory.mktemp("own") / "repository", symlinks=True)
    )


def test_a_second_run_does_nothing(repository: Path) -> None:
    assert ran(dvc(repository, "repro")) == set()
    assert "up to date" in dvc(repository, "status")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an S3 server on this machine, with a bucket `shared`."""
    environment = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in environment.items():
        monkeypatch.setitem(ENVIRONMENT, name, value)
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="shared")
    yield f"http://{host}:{port}"
    server.stop()


def share(folder: Path, *words: str) -> str:
    """Output of `python -m commands.share WORDS`."""
    command = [sys.executable, "-m", "commands.share", *words]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def second_clone(repository: Path, folder: Path) -> Path:
    """What a git clone of `repository` has: code, parameters, dvc.lock, metrics; no data."""
    copy_of_the_repository(folder)
    for name in ("params.yaml", "dvc.lock"):
        shutil.copyfile(repository / name, folder / name)
    shutil.copytree(repository / "metrics", folder / "metrics")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["s3", "folder"])
def test_another_clone_trains_a_changed_row_and_no_other(
    kind: str, repository: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = str(tmp_path / "remote") if kind == "folder" else "s3://shared/mimicnets"
    other = second_clone(repository, tmp_path / "other")
    for folder in (repository, other):
        dvc(folder, "remote", "add", "-f", "-d", "storage", url)
        if kind == "s3":
            dvc(folder, "remote", "modify", "storage", "endpointurl", request.getfixturevalue("s3"))
    assert "data/augmented, which augment makes again" in share(repository)
    said = share(repository, "--push")
    size, unit = re.search(r"pushing at most (\S+) (MB|kB)", said).groups()
    if kind == "folder":
        held = sum(
            path.stat().st_size for path in (tmp_path / "remote").rglob("*") if path.is_file()
        )
        assert held == pytest.approx(float(size) * {"MB": 1e6, "kB": 1e3}[unit], rel=0.01)
    before = (other / "dvc.lock").read_bytes()
    assert "data/augmented is the same, byte for byte" in share(other, "--pull")
    assert (other / "dvc.lock").read_bytes() == before and "up to date" in dvc(other, "status")
    write_params(other, {**WHOLE_RUN, "rows.conv1": {"boxes": {"60k": [[6, 9], [30, 60]]}}})
    assert ran(dvc(other, "repro")) == {
        *("students@conv1-60k", "extra", "tabulate", "assess", "draw", "page")
    }
    if kind == "folder":
        shutil.rmtree(other / "data/augmented")
        shutil.rmtree(tmp_path / "remote")
        with pytest.raises(AssertionError, match="'dvc pull' failed, see above"):
            share(second_clone(repository, tmp_path / "third"), "--pull", "--remote", "nowhere")
    dvc(repository, "remote", "remove", "storage")


@pytest.mark.middle
def test_an_edit_runs_what_it_touches_and_no_more(repository: Path) -> None:
    with (repository / "stages/draw.py").open("a") as file:
        file.write("\n# a remark\n")
    assert ran(dvc(repository, "repro")) == {"code", "draw"}
    row = {"boxes": {"60k": [[6, 9], [30, 60]]}}
    write_params(repository, {**WHOLE_RUN, "rows.conv1": row})
    assert ran(dvc(repository, "repro")) == {
        "students@conv1-60k",
        "extra",
        "tabulate",
        "assess",
        "draw",
        "page",
    }
    elsewhere = {
        "execution.slots": 1,
        "execution.device": "auto",
        "execution.engine": "serial",
    }  # tracked by none
    write_params(
        repository, {**WHOLE_RUN, **elsewhere, "rows.conv1": row, "students.rows": ["mlp2", "mlp1"]}
    )
    output = dvc(repository, "repro")
    assert ran(output) == {
        *("prepare", "students@mlp1-60k", "extra", "tabulate", "assess", "draw", "page")
    }
    assert "mlp1" in (repository / "metrics/table2.csv").read_text()
    assert "conv1" not in (repository / "metrics/table2.csv").read_text()


@pytest.mark.slow
def test_a_bad_value_is_one_line_and_loses_nothing(repository: Path) -> None:
    write_params(repository, WHOLE_RUN)
    dvc(repository, "repro")
    before = (repository / "dvc.lock").read_bytes()
    write_params(repository, {**WHOLE_RUN, "students.space.lr": -1.0})
    output = dvc(repository, "repro", check=False)
    assert "error: params.yaml: students.space.lr is -1.0" in output
    assert "Traceback" not in output
    assert (repository / "dvc.lock").read_bytes() == before


def run_stage(folder: Path, *words: str, held: bool = False) -> subprocess.Popen[str]:
    """A stage without DVC; `held` lets its first trial last an hour, and makes the file `held`."""
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{INJECT}{os.pathsep}{ROOT}"}
    if held:
        environment["MIMICNETS_FAULT"] = f"epoch wait 1 {folder / 'held'}"
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return output


def results(folder: Path) -> dict[str, bytes]:
    paths = [*(folder / "metrics").rglob("*.*"), *(folder / "data/teachers").rglob("*.*")]
    (done,) = (folder / "work/teachers").glob("*/complete")
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in [*paths, done.with_name("journal.jsonl")]
    }


def epochs(folder: Path) -> list[str]:
    """What the trials of the teachers have written down of their progress."""
    paths = sorted((folder / "work").glob("teachers/*/trials/*/progress.json"))
    return [path.read_text() for path in paths]


def ends_well(folder: Path, said: list[str]) -> bool:
    """Run the teachers; whether they ended well, with what was said last."""
    process = run_stage(folder, "stages.teachers")
    said[:] = [process.communicate(timeout=PATIENCE)[0]]
    return process.returncode == 0


@pytest.mark.slow
def test_kills_at_any_moment_change_no_byte(tmp_path: Path) -> None:
    """kill -9 of the sweep, between and inside trials; checkpoints after every epoch."""
    changes = {
        "execution.engine": "local",
        "execution.slots": 2,
        "execution.checkpoint_seconds": 0,
        "teachers.training.max_epochs": 5,
    }
    folders = [tmp_path / "whole", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
        write_params(folder, changes)
        finish(run_stage(folder, "stages.prepare"))
    finish(run_stage(folders[0], "stages.teachers"))
    rng, kills = random.Random(4), 0
    while kills < 6:
        before = epochs(folders[1])
        process = run_stage(folders[1], "stages.teachers")
        assert until(lambda: epochs(folders[1]) != before or process.poll() is not None)  # noqa: B023
        time.sleep(rng.uniform(0.0, 1.5) * (kills > 0))
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        kills += 1
    assert kills >= 1, "the sweep ended before the first kill: make it longer"
    said: list[str] = []
    assert until(lambda: ends_well(folders[1], said)), said  # a dying trial may hold the lock
    whole, killed = (results(folder) for folder in folders)
    assert whole.keys() == killed.keys()
    assert [name for name in whole if whole[name] != killed[name]] == []


def test_sigterm_stops_at_once_and_keeps_the_journal(tmp_path: Path) -> None:
    """The trial that is under way would last an hour."""
    write_params(tmp_path, {"execution.engine": "local"})
    finish(run_stage(tmp_path, "stages.prepare"))
    process = run_stage(tmp_path, "stages.teachers", held=True)
    assert until(lambda: (tmp_path / "held").exists() or process.poll() is not None)
    process.terminate()
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143 and "Traceback" not in output, output
    lines = next((tmp_path / "work").rglob("journal.jsonl")).read_text().splitlines()
    assert sum('"event":"start"' in line for line in lines) >= 2


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    write_params(tmp_path, {"execution.engine": "local"})
    finish(run_stage(tmp_path, "stages.prepare"))
    first = run_stage(tmp_path, "stages.teachers", held=True)
    try:
        assert until(lambda: (tmp_path / "held").exists() or first.poll() is not None)
        second = run_stage(tmp_path, "stages.teachers")
        output, _ = second.communicate(timeout=PATIENCE)
        assert second.returncode == 1
        assert f"in use by process {first.pid}" in output and "Traceback" not in output
    finally:
        first.kill()
        first.communicate()
