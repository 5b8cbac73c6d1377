"""Which trials of which cells are handed over, and that nothing wrong with them ends a stage."""

from __future__ import annotations

import os
import pickle
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from commands.running import early, wire
from commands.running.anchor import DvcRun
from commands.running.early import EACH_SLOT, next_cells, offer, runs_everything
from stages import students
from stages.runtime.executors import Local, Serial
from stages.settings import common
from stages.settings.groups import CellName
from stages.settings.read import read_params
from stages.settings.teachers import teachers
from stages.store.prepared import PreparedManifest
from stages.trials.cell import Cell, set_up
from stages.trials.teacher import TeacherJob
from tests.helpers.hard_cells import CHANGES, FIRST, SECOND, make_data
from tests.helpers.pipeline import VARIED, digest, entry
from tools.pocket import ROOT, write_params

EVERYTHING = [
    "dvc repro",
    "python -m dvc repro",
    "/opt/env/bin/python /opt/env/bin/dvc repro -f",
    "dvc repro --force --keep-going -v",
    "dvc repro --pull --allow-missing --no-commit --no-run-cache --ignore-errors -q -k",
    "dvc exp run",
    "dvc exp run -n name -S hard.sweep.trials=3 -m words",
    "dvc exp run --name=repro --set-param=seed=2 --message=x",
]
PARTS = [
    "dvc repro students",
    "dvc repro -s code",
    "dvc repro students@conv1-60k",
    "dvc repro --downstream label",
    "dvc repro -f hard",
    "dvc repro -p",
    "dvc repro --glob stu*",
    "dvc exp run students",
    "dvc exp run -n name students",
    "dvc exp run --queue",
    "dvc exp exec-run --infofile x.json",
    "dvc status",
    "dvc exp show",
    "dvc exp",
    "dvc",
    "python x.py",
    "",
]


@pytest.mark.parametrize("words", EVERYTHING)
def test_the_whole_pipeline(words: str) -> None:
    assert runs_everything(tuple(words.split()))


@pytest.mark.parametrize("words", PARTS)
def test_a_part_of_it_or_something_else(words: str) -> None:
    assert not runs_everything(tuple(words.split()))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of the cells, and an empty dvc.lock."""
    folder = tmp_path_factory.mktemp("data")
    shutil.copy(ROOT / "dvc.yaml", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_data(folder, CHANGES)
    lock(folder)
    return folder


@pytest.fixture
def here(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In a copy of it."""
    folder = Path(shutil.copytree(data, tmp_path / "here"))
    monkeypatch.chdir(folder)
    return folder


def lock(folder: Path, *done: str) -> None:
    """Write dvc.lock, with these cells done: STAGE@KEY, and its folder under data/."""
    stages = {"prepare": entry({"data/prepared": digest("x") + ".dir"})}
    for words in done:
        name, out = words.split()
        (folder / out).mkdir(parents=True)
        (folder / out / "weights").touch()
        stages[name] = entry({out: digest("y") + ".dir"})
    YAML().dump({"schema": "2.0", "stages": stages}, folder / "dvc.lock")


def cell_of(name: CellName) -> Cell:
    """A cell as its stage has it while it runs."""
    cell, _, _ = set_up(name)
    return replace(cell, work=Path("work/current"))


# The next cells.


def varied(folder: Path) -> None:
    """Parameters with a cell of every group."""
    YAML().dump(VARIED, folder / "params.yaml")


def names(current: CellName) -> list[str]:
    """The cells that come after one."""
    return [name.dvc for name in next_cells(cell_of(current))]


def test_they_come_in_order_and_without_the_student_of_a_teacher(here: Path) -> None:
    varied(here)
    assert names(CellName("mimic", "mlp2", "60k")) == [
        "students@conv1-60k",
        "hard@conv2-180k",
        "ablations@conv2-dropout-60k",
        "teachers_2014@cnn-2014-60k",
    ]


def test_the_last_cell_has_none(here: Path) -> None:
    assert names(SECOND) == []


def test_cells_that_read_other_data_are_left_out(here: Path) -> None:
    """The logits may change yet while a cell runs that does not depend on them."""
    varied(here)
    assert names(CellName("hard", "conv2", "180k")) == ["teachers_2014@cnn-2014-60k"]


def test_cells_that_are_done_are_left_out(here: Path) -> None:
    varied(here)
    lock(here, "students@conv1-60k data/students/conv1-60k")
    current = CellName("mimic", "mlp2", "60k")
    assert "students@conv1-60k" not in names(current) and "hard@conv2-180k" in names(current)

    shutil.rmtree("data/students/conv1-60k")
    (here / ".dvc").mkdir()
    assert "students@conv1-60k" in names(current)


@pytest.mark.parametrize(
    ("differing", "offered"),
    [
        ({}, False),
        ({"students.sweep": 1, "students.final_seeds": 7, "rows.conv1": 1}, False),
        ({"students.training": 1}, True),
        ({"students.sweep": 1, "students.space": 1}, True),
    ],
)
def test_cells_that_go_on_with_earlier_trials_are_left_out(
    here: Path, monkeypatch: pytest.MonkeyPatch, differing: dict[str, int], offered: bool
) -> None:
    """Their outputs are in the cache; another parameter makes them another search."""
    varied(here)
    lock(here, "students@conv1-60k data/students/conv1-60k")
    shutil.rmtree("data/students/conv1-60k")
    (here / ".dvc").mkdir()
    entries = YAML(typ="safe").load(here / "dvc.lock")
    entries["stages"]["students@conv1-60k"]["params"] = {"params.yaml": differing}
    YAML().dump(entries, here / "dvc.lock")

    monkeypatch.setattr(early, "earlier", lambda stage, out: object())
    assert ("students@conv1-60k" in names(CellName("mimic", "mlp2", "60k"))) is offered
    monkeypatch.setattr(early, "earlier", lambda stage, out: None)
    assert "students@conv1-60k" in names(CellName("mimic", "mlp2", "60k"))


# What is handed over.


class Listener:
    """A server that only listens."""

    def __init__(self, address: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(os.path.relpath(address))
        self.socket.listen()
        self.socket.setblocking(False)

    def heard(self) -> tuple[int, list[Any]] | None:
        """Slots and calls of the one message; None if nobody has connected."""
        try:
            connection, _ = self.socket.accept()
        except BlockingIOError:
            return None
        with connection:
            connection.settimeout(60)
            message, payload, _ = wire.receive(connection)
        assert message["kind"] == "early"
        return message["slots"], pickle.loads(payload)


@pytest.fixture
def listener(here: Path) -> Iterator[Listener]:
    """At the address `socket` in the working folder."""
    found = Listener(here / "socket")
    yield found
    found.socket.close()


RUN = DvcRun(1, 1, ("dvc", "repro"))


def offered(listener: Listener, cell: object, slots: int = 2, run: DvcRun = RUN) -> Any:
    """What the server hears when a cell has slots to spare."""
    with Local(slots) as executor:
        offer(run, Path("socket"), cell, executor)
    return listener.heard()


def test_trials_of_the_next_cells_are_handed_over(listener: Listener) -> None:
    slots, calls = offered(listener, cell_of(FIRST), slots=3)
    assert slots == 3
    assert [(args[0].name, args[1]) for _, args in calls] == [(SECOND, 0), (SECOND, 1), (SECOND, 2)]
    assert {function for function, _ in calls} == {students.remote_train}


@pytest.mark.parametrize("slots, cells", [(1, 1), (2, 2)])
def test_no_more_cells_than_the_slots_need(slots: int, cells: int, listener: Listener) -> None:
    """Each has three: two for each slot are enough."""
    write_params(Path(), {**CHANGES, "hard.rows": ["conv2", "conv1", "conv3", "conv4"]})
    _, calls = offered(listener, cell_of(FIRST), slots)
    assert len({args[0].name for _, args in calls}) == cells and EACH_SLOT == 2


@pytest.mark.parametrize("words", ["dvc repro hard@conv2-180k", "dvc exp exec-run --infofile x"])
def test_a_part_of_the_pipeline_hands_nothing_over(words: str, listener: Listener) -> None:
    run = replace(RUN, words=tuple(words.split()))
    assert offered(listener, cell_of(FIRST), run=run) is None


def test_other_executors_hand_nothing_over(listener: Listener) -> None:
    offer(RUN, Path("socket"), cell_of(FIRST), Serial())
    with Local(2, devices=["0", "1"]) as executor:
        offer(RUN, Path("socket"), cell_of(FIRST), executor)
    assert listener.heard() is None


# After the teachers.


def teachers_job() -> TeacherJob:
    """The search of teachers as its stage has it while it runs."""
    params = read_params()
    inputs = PreparedManifest.read(Path("data/prepared")).inputs
    sections = common.numerics(params), common.execution(params), common.images(params)
    section = teachers(params, inputs)
    return TeacherJob(Path("work/t"), Path("data/prepared"), section, {}, *sections, inputs)


def made(folder: Path, *more: str) -> None:
    """dvc.lock where the transfer set's images have been made, with these cells done too."""
    lock(folder, *more)
    stages = YAML().load(folder / "dvc.lock")["stages"]
    outs = {f"data/{name}": f"{digest(name)}.dir" for name in ("augmented", "samples")}
    stages["augment"] = entry(outs, {"data/prepared": digest("x") + ".dir"})
    YAML().dump({"schema": "2.0", "stages": stages}, folder / "dvc.lock")


def test_after_the_teachers_come_cells_that_do_not_depend_on_them(listener: Listener) -> None:
    """Nets on hard labels, in order; everything else reads the ensemble."""
    varied(Path())
    made(Path())
    names = [name.dvc for name in next_cells(teachers_job())]
    assert names == ["hard@conv2-180k", "teachers_2014@cnn-2014-60k"]

    write_params(Path(), CHANGES)
    slots, calls = offered(listener, teachers_job())
    assert slots == 2 and [(args[0].name, args[1]) for _, args in calls[:3]] == [
        (FIRST, 0),
        (FIRST, 1),
        (FIRST, 2),
    ]


def test_after_the_teachers_no_cell_comes_that_is_done(here: Path) -> None:
    varied(here)
    made(here, "hard@conv2-180k data/hard/conv2-180k")
    assert [name.dvc for name in next_cells(teachers_job())] == ["teachers_2014@cnn-2014-60k"]


def test_nothing_is_handed_over_before_the_images_are_made(listener: Listener) -> None:
    """They lie there, but for DVC they are to be made again."""
    assert offered(listener, teachers_job()) == (2, [])

    made(Path())
    stages = YAML().load(Path("dvc.lock"))["stages"]
    stages["prepare"]["outs"][0]["md5"] = digest("other") + ".dir"
    YAML().dump({"schema": "2.0", "stages": stages}, Path("dvc.lock"))
    assert offered(listener, teachers_job()) == (2, [])


DAMAGE: dict[str, Callable[[], object]] = {
    "no dvc.lock": lambda: Path("dvc.lock").unlink(),
    "half a dvc.lock": lambda: Path("dvc.lock").write_text("stages:\n  hard@conv1-180k:\n    o"),
    "an empty entry": lambda: Path("dvc.lock").write_text("stages:\n  hard@conv1-180k:\n"),
    "a list of numbers": lambda: Path("dvc.lock").write_text(
        "stages:\n  hard@conv1-180k: {outs: [], deps: [1]}\n"
    ),
    "no params.yaml": lambda: Path("params.yaml").unlink(),
    "a bad value": lambda: write_params(Path(), {**CHANGES, "hard.space.lr": -1.0}),
    "another cell": lambda: write_params(Path(), {**CHANGES, "hard.rows": ["conv1"]}),
    "no dvc.yaml": lambda: Path("dvc.yaml").unlink(),
    "no data": lambda: shutil.rmtree("data/augmented"),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_what_is_wrong_with_the_next_cell_is_not_said_here(
    damage: str, listener: Listener, capfd: pytest.CaptureFixture[str]
) -> None:
    cell = cell_of(FIRST)
    DAMAGE[damage]()
    assert offered(listener, cell) == (2, [])
    assert capfd.readouterr() == ("", "")


def test_a_server_that_is_gone_is_no_reason_to_stop(here: Path) -> None:
    with Local(2) as executor:
        offer(RUN, Path("socket"), cell_of(FIRST), executor)
