"""Damaged and foreign files, full disks, failed trials: reported or repaired, same bytes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.harness import repro, repro_until_done, results, start, undone
from tests.helpers.pocket import ENVIRONMENT, WHOLE_RUN, dvc
from tests.helpers.processes import PATIENCE
from tools.pocket import write_params

TEACHERS, CELL = "teachers", "students@mlp2-60k"
STUDENTS = ("stages.students", "mimic", "--row", "mlp2", "--budget", "60k")


def interrupted(undisturbed: Path, tmp_path: Path, stage: str, point: str, number: int) -> Path:
    """A repository in which `stage` was killed there, one trial (or epoch) after another."""
    folder = undone(undisturbed, tmp_path / "repository", stage)
    write_params(folder, {**WHOLE_RUN, "execution.slots": 1})
    code, output = repro(folder, f"{point} kill {number}", tmp_path / "fired")
    assert code != 0 and (tmp_path / "fired").exists(), output
    return folder


def goes_on(folder: Path, undisturbed: Path) -> str:
    """`dvc repro` ends with the bytes of the undisturbed run."""
    output = repro_until_done(folder)
    assert results(folder) == results(undisturbed)
    assert not list(folder.rglob("*.part"))
    return output


def only(folder: Path, pattern: str) -> Path:
    """The one file of that pattern."""
    (path,) = folder.glob(pattern)
    return path


def flip(path: Path, place: int = -5) -> None:
    """Change one bit; a read-only file too."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def one_line(code: int, output: str, *words: str) -> None:
    """It ended with one clear line of its own."""
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert code != 0 and len(errors) == 1 and "Traceback" not in output, output
    assert all(word in errors[0] for word in words), errors[0]


# files of an interrupted run


@pytest.mark.middle
def test_torn_last_line_of_a_journal(undisturbed: Path, tmp_path: Path) -> None:
    folder = interrupted(undisturbed, tmp_path, TEACHERS, "journal", 5)
    journal = only(folder, "work/teachers/*/journal.jsonl")
    assert not journal.read_bytes().endswith(b"\n"), "the fault left no torn line"
    goes_on(folder, undisturbed)
    for line in journal.read_text().splitlines():
        json.loads(line)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_checkpoint(undisturbed: Path, tmp_path: Path, damage: str) -> None:
    folder = interrupted(undisturbed, tmp_path, CELL, "rename:checkpoint", 2)
    found = [path for path in folder.glob("work/students*/**/checkpoint.safetensors*")]
    assert found, "there was no checkpoint to damage"
    for path in found:
        flip(path) if damage == "flipped" else os.truncate(path, path.stat().st_size // 2)
    goes_on(folder, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["augment", "label"])
def test_damaged_shard_of_an_interrupted_run(undisturbed: Path, tmp_path: Path, stage: str) -> None:
    folder = interrupted(undisturbed, tmp_path, stage, "write:epoch-002", 1)
    shards = sorted(folder.glob(f"work/{stage}/*/epoch-*.safetensors"))
    assert len(shards) == 2
    flip(shards[0])
    os.truncate(shards[1], shards[1].stat().st_size - 1000)
    goes_on(folder, undisturbed)


@pytest.mark.slow
def test_a_journal_of_another_search_is_refused_and_kept(undisturbed: Path, tmp_path: Path) -> None:
    folder = interrupted(undisturbed, tmp_path, TEACHERS, "journal", 5)
    journal = only(folder, "work/teachers/*/journal.jsonl")
    shutil.copy(journal, tmp_path / "mine")
    shutil.copy(only(undisturbed, "work/students/mlp2-60k/*/journal.jsonl"), journal)
    before = journal.read_bytes()
    code, output = repro(folder)
    one_line(code, output, str(journal.relative_to(folder)), "belongs to another search", "space")
    assert journal.read_bytes() == before
    shutil.copy(tmp_path / "mine", journal)
    goes_on(folder, undisturbed)


@pytest.mark.slow
def test_other_params_and_other_code_have_other_work_folders(
    undisturbed: Path, tmp_path: Path
) -> None:
    """Results of one computation are never used for another, and are there on return to it."""
    folder = interrupted(undisturbed, tmp_path, TEACHERS, "trial", 3)
    done = len(list(folder.glob("work/teachers/*/trials/*/result.json")))
    write_params(folder, {**WHOLE_RUN, "teachers.training.max_epochs": 1})
    assert repro(folder)[0] == 0 and len(list(folder.glob("work/teachers/*/key.json"))) == 2
    with (folder / "stages/fit/schedule.py").open("a") as file:
        file.write("\n# other code\n")
    shutil.copy(undisturbed / "params.yaml", folder)
    assert repro(folder)[0] == 0 and len(list(folder.glob("work/teachers/*/key.json"))) >= 2
    shutil.copy(undisturbed / "stages/fit/schedule.py", folder / "stages/fit")
    assert done >= 2 and len(list(folder.glob("work/teachers/*/trials/*/result.json"))) >= done
    goes_on(folder, undisturbed)


# outputs


def run_stage(folder: Path, *words: str) -> tuple[int, str]:
    """A stage without DVC."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["augmented", "logits"])
def test_a_flipped_bit_in_the_transfer_set(undisturbed: Path, tmp_path: Path, name: str) -> None:
    """The stage refuses it; DVC sees that it is not what was made, and makes or restores it."""
    folder = undone(undisturbed, tmp_path / "repository", CELL)
    flip(folder / f"data/{name}/epoch-001.safetensors")
    one_line(*run_stage(folder, *STUDENTS), f"data/{name}/epoch-001", "damaged")
    goes_on(folder, undisturbed)


@pytest.mark.slow
def test_logits_of_another_shard(undisturbed: Path, tmp_path: Path) -> None:
    folder = undone(undisturbed, tmp_path / "repository", CELL)
    first, second = (folder / f"data/logits/epoch-00{k}.safetensors" for k in (0, 1))
    held = first.read_bytes(), second.read_bytes()
    first.write_bytes(held[1]), second.write_bytes(held[0])
    one_line(*run_stage(folder, *STUDENTS), "holds the logits of other images", "dvc repro")
    goes_on(folder, undisturbed)


@pytest.mark.middle
def test_a_corrupt_object_in_a_remote(undisturbed: Path, tmp_path: Path) -> None:
    """`verify` refuses it as the README says; what is whole comes, the rest is made again."""
    folder, remote = shutil.copytree(undisturbed, tmp_path / "repository"), tmp_path / "remote"
    dvc(folder, "remote", "add", "-d", "storage", str(remote))
    dvc(folder, "config", "remote.storage.verify", "true")
    dvc(folder, "push", "-q")
    objects = sorted(
        path for path in remote.rglob("*") if path.is_file() and path.stat().st_size > 10_000
    )
    flip(objects[0])
    shutil.rmtree(folder / ".dvc/cache")
    shutil.rmtree(folder / "data")
    output = dvc(folder, "pull", check=False)
    said = (
        "corrupt",
        "failed",
        "missing cache files",
    )  # which of them depends on the kind of output
    assert any(words in output.lower() for words in said), output
    hashes = {path.name for path in (folder / ".dvc/cache/files").rglob("*") if path.is_file()}
    assert objects[0].name not in hashes, "a corrupt object came into the cache"
    goes_on(folder, undisturbed)


# disks


def behind(folder: Path, script: str) -> tuple[str, ...]:
    """A command that runs what follows where it may mount; the test is skipped where nobody may."""
    probe = subprocess.run(
        ["unshare", "-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True, text=True
    )
    if probe.returncode:
        pytest.skip(f"file systems cannot be mounted here: {probe.stderr.strip()}")
    return "unshare", "-rm", "sh", "-c", f'set -e; {script}; exec "$@"', "sh"


@pytest.mark.parametrize(
    "stage, point",
    [
        pytest.param("augment", "write:epoch-", marks=pytest.mark.middle),
        pytest.param(CELL, "write:checkpoint", marks=pytest.mark.slow),
    ],
)
def test_no_space_left(undisturbed: Path, tmp_path: Path, stage: str, point: str) -> None:
    """The error of a full disk, raised in the middle of a write."""
    folder, marker = undone(undisturbed, tmp_path / "repository", stage), tmp_path / "fired"
    code, output = repro(folder, f"{point} full 2", marker)
    assert marker.exists()
    one_line(code, output, "No space left on device")
    goes_on(folder, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("stage, size", [("augment", "400k"), (CELL, "700k")])
def test_a_disk_that_is_full(undisturbed: Path, tmp_path: Path, stage: str, size: str) -> None:
    """work/ on a file system of that size, for real."""
    folder = undone(undisturbed, tmp_path / "repository", stage)
    shutil.rmtree(folder / "work")
    (folder / "work").mkdir()
    code, output = repro(folder, before=behind(folder, f"mount -t tmpfs -o size={size} tmpfs work"))
    assert code != 0 and ("No space left" in output or "are free on the disk" in output), output
    assert "Traceback" not in output
    goes_on(folder, undisturbed)


@pytest.mark.slow
def test_a_read_only_work_folder(undisturbed: Path, tmp_path: Path) -> None:
    folder = undone(undisturbed, tmp_path / "repository", TEACHERS)
    code, output = repro(
        folder, before=behind(folder, "mount --bind work work; mount -o remount,ro,bind work")
    )
    one_line(code, output, "Read-only file system", "work/teachers")
    goes_on(folder, undisturbed)


# trials


@pytest.mark.slow
def test_a_trial_that_runs_out_of_memory(undisturbed: Path, tmp_path: Path) -> None:
    folder, marker = undone(undisturbed, tmp_path / "repository", TEACHERS), tmp_path / "fired"
    code, output = repro(folder, "epoch memory 4", marker)
    assert marker.exists()
    one_line(code, output, "ran out of memory", "execution.slots")
    goes_on(folder, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "lr, failed", [(1e30, "all"), ({"low": 1e-4, "high": 1e8, "log": True}, "some")]
)
def test_trials_whose_loss_is_not_finite(
    undisturbed: Path, tmp_path: Path, lr: object, failed: str
) -> None:
    folder = undone(undisturbed, tmp_path / "repository", "hard@conv2-180k")
    sweep = {"trials": 4, "start": 4, "lag": 1, "engine": "sobol"}
    write_params(folder, {**WHOLE_RUN, "hard.space.lr": lr, "hard.sweep": sweep})
    code, output = repro(folder)
    journal = only(folder, "work/hard/conv2-180k/*/journal.jsonl")
    done = [
        e for e in map(json.loads, journal.read_text().splitlines()) if e.get("event") == "done"
    ]
    lost = [e["reason"] for e in done if e["value"] is None]
    assert all("loss is" in reason for reason in lost)
    if failed == "all":
        assert len(lost) == 4
        one_line(code, output, "all 4 trials failed", "space.lr")
        write_params(folder, WHOLE_RUN)
        goes_on(folder, undisturbed)
    else:
        assert code == 0 and 1 <= len(lost) <= 3, output
        assert repro(folder)[1].count("Running stage") == 0


@pytest.mark.slow
def test_a_clock_that_jumps(undisturbed: Path, tmp_path: Path) -> None:
    folder = undone(undisturbed, tmp_path / "repository", TEACHERS, "augment", CELL)
    process = start(folder, clock="7")
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    for number, path in enumerate(sorted(folder.glob("work/**/*"))):
        os.utime(path, (1e9 * (number % 4), 1e9 * (number % 4)))
    assert results(folder) == results(undisturbed)
    assert repro(folder)[1].count("Running stage") == 0
