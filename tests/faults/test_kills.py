"""kill -9, SIGTERM and SIGINT during the pocket pipeline: the next run has the same bytes."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from stages.store.prepared import read_test
from tests.faults.harness import end_session, repro, repro_until_done, results, start, undone, until
from tests.helpers import extra_sets
from tests.helpers.pocket import WHOLE_RUN, dvc, ran
from tests.helpers.processes import PATIENCE
from tests.helpers.shared import made_once
from tools.pocket import write_params

TEACHERS, CELL = "teachers", "students@mlp2-60k"
NETS = 5
"""That a further test set asks: the ensemble, the best teacher, and three cells."""
POINTS = [
    # the stage that runs again, the point, how often it is passed before
    (TEACHERS, "epoch", 2),
    (TEACHERS, "trial", 2),
    (TEACHERS, "journal", 4),
    (TEACHERS, "write:checkpoint", 3),
    (TEACHERS, "rename:result.json", 1),
    (TEACHERS, "write:result.json", 2),
    (TEACHERS, "link:data/teachers", 3),
    (TEACHERS, "rename:manifest", 1),
    (TEACHERS, "write:metrics/teachers.json", 1),
    ("augment", "write:epoch-", 2),
    ("augment", "rename:epoch-", 2),
    ("augment", "link:data/augmented", 2),
    ("label", "write:epoch-", 2),
    ("label", "rename:manifest", 1),
    (CELL, "write:checkpoint", 2),
    (CELL, "write:retrained", 2),
    (CELL, "rename:test.safetensors", 1),
    (CELL, "link:data/students", 1),
    ("ensemble", "link:data/ensemble", 1),
    ("prepare", "write:data/prepared", 2),
    ("tabulate", "write:metrics/table", 2),
    ("assess", "write:metrics/claims", 2),
]
MIDDLE = {(TEACHERS, "write:checkpoint")}
CASES = [
    pytest.param(
        *case,
        marks=pytest.mark.middle if case[:2] in MIDDLE else pytest.mark.slow,
        id=f"{case[0]}-{case[1]}",
    )
    for case in POINTS
]


@pytest.mark.parametrize("stage, point, number", CASES)
def test_killed_there_and_run_again(
    undisturbed: Path, tmp_path: Path, stage: str, point: str, number: int
) -> None:
    folder, marker = undone(undisturbed, tmp_path / "repository", stage), tmp_path / "fired"
    code, output = repro(folder, f"{point} kill {number}", marker)
    assert marker.exists(), f"{point} was not reached:\n{output}"
    assert code != 0 and f"Running stage '{stage}'" in output
    repro_until_done(folder)
    assert results(folder) == results(undisturbed)
    assert repro(folder)[1].count("Running stage") == 0


EXTRA_POINTS = [
    # the point, how often it is passed before, whether results are there by then
    ("write:work/extra", 1, False),
    ("write:work/extra", 9, True),
    ("rename:work/extra", 9, True),
    ("write:data/extra", 1, True),
    ("rename:data/extra", 2, True),
]
EXTRA_MIDDLE = {("rename:work/extra", 9)}
EXTRA_CASES = [
    pytest.param(
        *case,
        marks=pytest.mark.middle if case[:2] in EXTRA_MIDDLE else pytest.mark.slow,
        id=f"{case[0]}-{case[1]}",
    )
    for case in EXTRA_POINTS
]


@pytest.fixture(scope="session")
def with_sets(undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pocket pipeline with a further test set, large enough for two processes."""

    def make_with_sets(folder: Path) -> None:
        shutil.copytree(undisturbed, folder, symlinks=True, dirs_exist_ok=True)
        images, labels, _ = read_test(folder / "data/prepared")
        many = np.tile(images, (6, 1, 1, 1)), np.tile(labels, 6)
        names = [f"noise_{place}" for place in range(7)]
        made = extra_sets.corrupted(folder.with_name("sets") / "c", *many, names)
        write_params(folder, {**WHOLE_RUN, "prepare.extra_tests": {"c": str(made)}})
        assert "extra" in ran(dvc(folder, "repro"))

    return made_once(tmp_path_factory, "with-sets", make_with_sets)


def answers(folder: Path) -> dict[str, tuple[int, int]]:
    """Files with what a net says of a corruption, and what changes where one is written anew."""
    facts = {str(path): path.stat() for path in folder.glob("work/extra/*/*.safetensors")}
    return {path: (fact.st_ino, fact.st_mtime_ns) for path, fact in facts.items()}


@pytest.mark.parametrize("point, number, some", EXTRA_CASES)
def test_nets_are_not_asked_again_after_a_kill(
    with_sets: Path, tmp_path: Path, point: str, number: int, some: bool
) -> None:
    folder, marker = undone(with_sets, tmp_path / "repository", "extra"), tmp_path / "fired"
    code, output = repro(folder, f"{point} kill {number}", marker)
    assert marker.exists(), f"{point} was not reached:\n{output}"
    assert code != 0 and "Running stage 'extra'" in output

    before = answers(folder)
    assert bool(before) == some
    repro_until_done(folder)
    assert before.items() <= answers(folder).items() and len(answers(folder)) == NETS * 7
    assert results(folder) == results(with_sets)
    assert not list(folder.rglob("*.part"))
    assert repro(folder)[1].count("Running stage") == 0


@pytest.mark.slow
def test_a_killed_process_that_asks_nets_is_replaced_at_once(
    with_sets: Path, tmp_path: Path
) -> None:
    folder, marker = undone(with_sets, tmp_path / "repository", "extra"), tmp_path / "fired"
    code, output = repro(folder, "rename:work/extra worker 9", marker)
    assert marker.exists() and code == 0, output
    assert results(folder) == results(with_sets) and len(answers(folder)) == NETS * 7
    assert not list(folder.rglob("*.part"))


@pytest.mark.middle
def test_a_killed_worker_is_replaced_at_once(undisturbed: Path, tmp_path: Path) -> None:
    folder, marker = undone(undisturbed, tmp_path / "repository", TEACHERS), tmp_path / "fired"
    code, output = repro(folder, "epoch worker 3", marker)
    assert marker.exists() and code == 0, output
    assert results(folder) == results(undisturbed)


@pytest.mark.slow
def test_dvc_killed_alone_and_a_second_run_at_once(undisturbed: Path, tmp_path: Path) -> None:
    """The stage is an orphan with the work folder: a second run is refused until it ends."""
    folder = undone(undisturbed, tmp_path / "repository", TEACHERS)
    process = start(folder)
    until(lambda: list(folder.glob("work/teachers/*/trials/*/progress.json")), process)
    process.kill()
    process.wait()
    code, output = repro(folder)
    assert code == 0 or "in use by process" in output, output
    repro_until_done(folder)
    end_session_if_alive(process)
    assert results(folder) == results(undisturbed)


def end_session_if_alive(process: object) -> None:
    """Whatever is left of a session."""
    try:
        end_session(process)  # type: ignore[arg-type]
    except ProcessLookupError:
        pass


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(signal.SIGTERM, marks=pytest.mark.middle),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_stopped_by_a_signal(undisturbed: Path, tmp_path: Path, how: signal.Signals) -> None:
    """Sent to the whole session, as a terminal or a scheduler does; a trial would last an hour."""
    folder = undone(undisturbed, tmp_path / "repository", TEACHERS)
    process = start(folder, fault="epoch wait 1", marker=tmp_path / "fired")
    until((tmp_path / "fired").exists, process)
    end_session(process, how)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0 and "Traceback" not in output, output
    assert "run 'dvc repro' to resume" in output, output
    assert list(folder.glob("work/teachers/*/journal.jsonl"))
    repro_until_done(folder)
    assert results(folder) == results(undisturbed)
