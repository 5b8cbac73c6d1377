"""Stages in forks of a server: who runs them, and what is left when any process is killed.

A copy of the code with a toy stage, and a stand-in for DVC.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from commands.running import wire
from commands.running.server import waiting_for_a_lock
from stages.store.atomic import alone
from tests.helpers.processes import gone
from tests.helpers.toy_run import (
    SERVER,
    Run,
    below,
    environment,
    has,
    launcher,
    make_toy,
    of_trials,
    replaced,
    servers,
    stopped,
    toy,
    wait_for,
)
from tools.pocket import ROOT

EDIT = "sed -i s/VERSION.=.1/VERSION\\ =\\ 2/ stages/toy.py"
LIST = "python -m commands.stage code"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to copy."""
    folder = tmp_path_factory.mktemp("template") / "toy"
    folder.mkdir()
    return make_toy(folder)


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """A folder of this test's own."""
    return Path(shutil.copytree(template, tmp_path / "toy"))


def edit_server(folder: Path, old: str, new: str) -> None:
    """Change the server's code in a copy."""
    replaced(folder / SERVER, old, new)


# What a stage sees.


def test_the_first_stage_runs_by_itself_and_later_ones_in_forks_of_one_server(folder: Path) -> None:
    with Run(folder, [toy(f"facts {label}") for label in "abc"]) as run:
        assert run.ended() == [0, 0, 0]
        first, second, third = (run.said(label) for label in "abc")

    assert [each["served"] for each in (first, second, third)] == [False, True, True]
    assert second["parent"] == third["parent"] != first["parent"]
    assert second["pid"] != third["pid"]


def test_a_fork_has_the_words_variables_and_streams_of_its_launcher(folder: Path) -> None:
    plan = [toy("facts a"), f"echo given | {toy('echo')} >echoed 2>said", toy("facts 'b c'")]
    with Run(folder, plan) as run:
        assert run.ended() == [0, 0, 0]
        fork = run.said("b c")

    assert fork["argv"] == ["python -m stages.toy", "facts", "b c"] and fork["stage"] == "stage2"
    assert (folder / "echoed").read_text() == "given\n"
    assert (folder / "said").read_text() == "a word\n"


def test_a_fork_holds_nothing_open_but_its_streams_and_one_pipe(folder: Path) -> None:
    """A socket or pipe too many would hide that another process has ended."""
    with Run(folder, [toy("facts a"), toy("trials t"), toy("facts b")]) as run:
        (folder / "t").touch()
        assert run.ended() == [0, 0, 0]
        opened = run.said("b")["open"]

    pipes = [name for name in opened if name.startswith("pipe:")]
    others = {name for name in opened if name not in pipes}
    assert len(pipes) == 1 and others == {"/dev/null", str(run.out), str(run.errors_path)}


@pytest.mark.parametrize("off", ["", "off"])
def test_statuses_and_errors_are_those_of_a_stage_by_itself(folder: Path, off: str) -> None:
    plan = [toy("facts a"), toy("end 0"), toy("end 3"), toy("end why"), toy("refuse"), toy("crash")]
    with Run(folder, plan, MIMICNETS_SERVER=off) as run:
        assert run.ended() == [0, 0, 3, 1, 1, 1]
        assert (folder / "work/running").exists() == (not off)

    lines = run.errors.splitlines()
    assert lines[:2] == ["why", "error: nothing is right (details: work/last-error.txt)"]
    assert lines[2].startswith("Traceback") and lines[-1] == "KeyError: 'unforeseen'"


def test_switched_off_every_stage_runs_by_itself(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("facts b")], MIMICNETS_SERVER="off") as run:
        assert run.ended() == [0, 0]
        assert not run.said("b")["served"]


def test_a_stage_that_dvc_did_not_start_runs_by_itself(folder: Path) -> None:
    words = [sys.executable, "-m", "commands.stage", "toy", "facts", "a"]
    for _ in range(2):
        done = subprocess.run(
            words, cwd=folder, env=environment(), capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout)["served"] is False


def test_output_is_not_kept_back_where_nobody_wants_it(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("murmur b")], PYTHONUNBUFFERED="1") as run:
        run.said("b")
        (folder / "b").touch()
        assert run.ended() == [0, 0]


def test_two_stages_of_one_run_at_a_time(folder: Path) -> None:
    both = f"{toy('trials b')} & {toy('trials c')}; wait"
    with Run(folder, [toy("facts a"), toy("facts s"), both]) as run:
        forks = [run.said(label) for label in "bc"]
        for label in "bc":
            wait_for(lambda label=label: len(of_trials(folder, f"{label}.?.*")) == 2)
            (folder / label).touch()

        assert run.ended() == [0, 0, 0]
        assert {fork["parent"] for fork in forks} == {run.said("s")["parent"]}
        assert all(run.said(f"{label} results")["results"] == [0, 1] for label in "bc")


# What a server is bound to.


def test_another_value_of_a_variable_is_refused(folder: Path) -> None:
    plan = [toy("facts a"), toy("facts b"), f"OTHER=1 {toy('facts c')}", toy("facts d")]
    with Run(folder, plan) as run:
        assert run.ended() == [0] * 4
        b, c, d = (run.said(label) for label in "bcd")

    assert (c["served"], c["other"]) == (False, "1")
    assert d["served"] and d["parent"] == b["parent"]


def test_edited_code_is_run_and_gets_a_new_server(folder: Path) -> None:
    plan = [*(toy(f"facts {label}") for label in "abc"), EDIT, LIST]
    with Run(folder, [*plan, toy("facts d"), toy("facts e")]) as run:
        assert run.ended() == [0] * 7
        c, d, e = (run.said(label) for label in "cde")

    assert (c["version"], c["served"]) == (1, True)
    assert (d["version"], d["served"]) == (2, False)
    assert (e["version"], e["served"]) == (2, True) and e["parent"] != c["parent"]


def test_an_edited_command_gets_a_new_server_too(folder: Path) -> None:
    plan = [toy("facts a"), toy("facts b"), "echo >> commands/watch.py"]
    with Run(folder, [*plan, toy("facts c"), toy("facts d")]) as run:
        assert run.ended() == [0] * 5
        b, c, d = (run.said(label) for label in "bcd")

    assert not c["served"] and d["served"] and d["parent"] != b["parent"]


def test_code_that_is_not_listed_is_refused_in_one_line(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("facts b"), EDIT, toy("facts c")]) as run:
        assert run.ended() == [0, 0, 0, 1]

    assert run.errors.startswith("error: stages/toy.py changed after the stage code listed it")
    assert run.errors.count("\n") == 1 and '"c"' not in run.output


def test_two_folders_have_nothing_in_common(template: Path, tmp_path: Path) -> None:
    folders = [Path(shutil.copytree(template, tmp_path / name)) for name in ("one", "two")]
    plan = [toy("facts a"), toy("hold b")]
    with Run(folders[0], plan) as one, Run(folders[1], plan) as two:
        facts = [run.said("b") for run in (one, two)]
        assert all(each["served"] for each in facts)
        assert facts[0]["parent"] != facts[1]["parent"]
        assert [servers(each) for each in folders] == [[each["parent"]] for each in facts]

        # One ends; the other one's server goes on.
        (folders[0] / "b").touch()
        assert one.ended() == [0, 0]
        wait_for(lambda: gone(facts[0]["parent"]))
        assert not gone(facts[1]["parent"])


def test_only_its_user_can_reach_the_socket(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("hold b")]) as run:
        run.said("b")
        (address,) = folder.glob("work/running/*/socket")
        assert stat.S_IMODE(address.parent.stat().st_mode) == 0o700


def test_a_folder_with_a_very_long_name(template: Path, tmp_path: Path) -> None:
    """The address of a socket has at most 108 bytes."""
    long = tmp_path / ("x" * 120) / ("y" * 120)
    long.parent.mkdir()
    shutil.copytree(template, long)
    with Run(long, [toy("facts a"), toy("facts b")]) as run:
        assert run.ended() == [0, 0]
        assert run.said("b")["served"]


def test_what_former_runs_have_left_is_removed(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("facts b")]) as run:
        assert run.ended() == [0, 0]
    (left,) = folder.glob("work/running/*")

    with Run(folder, [toy("hold c")]) as run:
        run.said("c")
        (now,) = folder.glob("work/running/*")
    assert now != left


# When it ends.


def test_a_server_ends_with_its_dvc(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("facts b")]) as run:
        assert run.ended() == [0, 0]
        wait_for(lambda: gone(run.said("b")["parent"]))


def test_with_a_killed_dvc_its_stage_and_trials_end(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("trials b")]) as run:
        fork = run.said("b")
        wait_for(lambda: len(of_trials(folder, "b.?.*")) == 2)
        run.process.kill()
        everything = [fork["parent"], fork["pid"], *of_trials(folder, "b.?.*")]
        wait_for(lambda: all(gone(pid) for pid in everything))


def test_an_idle_server_ends_and_the_next_stage_gets_another(folder: Path) -> None:
    edit_server(folder, "IDLE_SECONDS = 120.0", "IDLE_SECONDS = 0.2")
    wait = "until [ -f go ]; do sleep 0.05; done"
    with Run(folder, [LIST, toy("facts a"), toy("facts b"), wait, toy("facts c")]) as run:
        b = run.said("b")
        wait_for(lambda: gone(b["parent"]))
        assert run.process.poll() is None
        (folder / "go").touch()

        assert run.ended() == [0] * 5
        assert run.said("c")["served"] and run.said("c")["parent"] != b["parent"]


def test_a_server_is_not_idle_while_a_stage_runs(folder: Path) -> None:
    edit_server(folder, "IDLE_SECONDS = 120.0", "IDLE_SECONDS = 0.05")
    with Run(folder, [LIST, toy("facts a"), toy("trials b")]) as run:
        fork = run.said("b")
        wait_for(lambda: len(of_trials(folder, "b.?.*")) == 2)
        os.kill(fork["pid"], signal.SIGSTOP)  # nothing is asked for
        with pytest.raises(subprocess.TimeoutExpired):
            run.process.wait(1.0)
        assert not gone(fork["parent"])
        os.kill(fork["pid"], signal.SIGCONT)
        (folder / "b").touch()
        assert run.ended() == [0] * 3 and run.said("b results")["results"] == [0, 1]


# Kills.


def test_without_its_server_a_stage_goes_on_by_itself(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("trials b"), toy("facts c")]) as run:
        fork = run.said("b")
        wait_for(lambda: len(of_trials(folder, "b.?.*")) == 2)
        first = of_trials(folder, "b.?.*")
        os.kill(fork["parent"], signal.SIGKILL)

        # The fork and its trials are dead before there are others.
        wait_for(lambda: len(of_trials(folder, "b.?.*")) == 4)
        assert all(gone(pid) for pid in [fork["pid"], *first])
        (folder / "b").touch()

        assert run.ended() == [0, 0, 0]
        assert run.said("b results")["results"] == [0, 1]
        assert run.said("c")["served"] and run.said("c")["parent"] != fork["parent"]


def test_a_killed_fork_is_a_killed_stage(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("trials b"), toy("hold c")]) as run:
        fork = run.said("b")
        wait_for(lambda: len(of_trials(folder, "b.?.*")) == 2)
        os.kill(fork["pid"], signal.SIGKILL)

        # While the run goes on: when it ends, everything does.
        assert run.said("c")["parent"] == fork["parent"]
        wait_for(lambda: all(gone(pid) for pid in of_trials(folder, "b.?.*")))
        (folder / "c").touch()
        assert run.ended() == [0, 137, 0]


def test_with_its_launcher_a_fork_and_its_trials_end(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("trials b"), toy("hold c")]) as run:
        fork = run.said("b")
        wait_for(lambda: len(of_trials(folder, "b.?.*")) == 2)
        os.kill(launcher(folder), signal.SIGKILL)

        assert run.said("c")["parent"] == fork["parent"]
        wait_for(lambda: all(gone(pid) for pid in [fork["pid"], *of_trials(folder, "b.?.*")]))
        (folder / "c").touch()
        assert run.ended() == [0, -9, 0]


def test_a_killed_trial_is_run_again(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("trials b")]) as run:
        run.said("b")
        wait_for(lambda: len(of_trials(folder, "b.?.*")) == 2)
        (victim,) = of_trials(folder, "b.1.*")
        os.kill(victim, signal.SIGKILL)

        wait_for(lambda: len(of_trials(folder, "b.1.*")) == 2)
        (folder / "b").touch()
        assert run.ended() == [0, 0] and run.said("b results")["results"] == [0, 1]
        assert len(of_trials(folder, "b.0.*")) == 1


def test_a_trial_that_is_stopped_is_killed_and_run_again(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("trials b 1 4")]) as run:
        run.said("b")
        (first,) = wait_for(lambda: of_trials(folder, "b.0.*"))
        os.kill(first, signal.SIGSTOP)

        wait_for(lambda: len(of_trials(folder, "b.0.*")) > 1)
        (folder / "b").touch()
        assert run.ended() == [0, 0] and gone(first)
        assert run.said("b results")["results"] == [0]


def test_trials_are_forks_of_the_server(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("trials b")]) as run:
        fork = run.said("b")
        wait_for(lambda: len(of_trials(folder, "b.?.*")) == 2)
        for pid in of_trials(folder, "b.?.*"):
            assert parent(pid) == fork["parent"]


def parent(pid: int) -> int:
    """Of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# Requests to stop.


def test_an_interrupt_reaches_a_fork_once(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("interrupts b"), toy("facts c")]) as run:
        run.said("b")
        launcher(folder)
        os.killpg(run.process.pid, signal.SIGINT)
        wait_for((folder / "b.count").exists)
        (folder / "b").touch()

        assert run.ended() == [0, 130, 0]
        assert (folder / "b.count").read_text() == "1"
        assert run.errors == "stopped; run 'dvc repro' to resume\n"


def test_an_interrupted_stage_says_how_to_go_on(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("trials b")]) as run:
        fork = run.said("b")
        wait_for(lambda: len(of_trials(folder, "b.?.*")) == 2)
        os.kill(launcher(folder), signal.SIGINT)

        assert run.ended() == [0, 130]
        assert run.errors == "stopped; run 'dvc repro' to resume\n"
        assert all(gone(pid) for pid in [fork["pid"], *of_trials(folder, "b.?.*")])


def test_an_interrupt_that_the_launcher_ignores_is_not_passed_on(folder: Path) -> None:
    """As in the background of a shell, where a stage by itself ignores it too."""
    ignoring = f"trap '' INT; exec {toy('interrupts b')}"
    with Run(folder, [toy("facts a"), ignoring]) as run:
        run.said("b")
        os.kill(launcher(folder), signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(1.0)
        (folder / "b").touch()
        run.ended()
        assert not (folder / "b.count").exists()


def test_a_launcher_that_is_terminated_ends_its_stage(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("trials b"), toy("facts c")]) as run:
        fork = run.said("b")
        wait_for(lambda: len(of_trials(folder, "b.?.*")) == 2)
        os.kill(launcher(folder), signal.SIGTERM)

        assert run.ended() == [0, 143, 0]
        assert run.errors == "terminated; run 'dvc repro' to resume\n"
        assert all(gone(pid) for pid in [fork["pid"], *of_trials(folder, "b.?.*")])


def test_a_stage_that_is_to_stop_does_not_start_again_without_its_server(folder: Path) -> None:
    """As when all processes of a job are terminated at once, the server among them."""
    with Run(folder, [toy("facts a"), toy("interrupts b")]) as run:
        fork = run.said("b")
        asked = launcher(folder)

        # Asked, but the fork has not heard of it yet.
        os.kill(fork["pid"], signal.SIGSTOP)
        wait_for(lambda: stopped(fork["pid"]))
        os.kill(asked, signal.SIGTERM)
        wait_for(lambda: has(fork["pid"], "ShdPnd", signal.SIGTERM))
        os.kill(fork["parent"], signal.SIGKILL)

        assert run.ended() == [0, 143]
        assert run.output.count('"label": "b"') == 1


def test_of_a_terminated_run_nothing_is_left(folder: Path) -> None:
    """All but the server and its forks are asked, as by a scheduler; dvc ends at once."""
    with Run(folder, [toy("facts a"), toy("trials b")]) as run:
        run.said("b")
        wait_for(lambda: len(of_trials(folder, "b.?.*")) == 2)
        launcher(folder)
        os.killpg(run.process.pid, signal.SIGTERM)

        wait_for(lambda: not below(folder))
        assert "Traceback" not in run.errors and run.output.count('"label": "b"') == 1
        assert len(of_trials(folder, "b.?.*")) == 2


# What is wrong with a server.


def test_without_a_server_a_stage_runs_by_itself_and_says_so(folder: Path) -> None:
    edit_server(folder, "PRELOAD = ()", 'PRELOAD = ("no_such_module",)')
    with Run(folder, [LIST, toy("facts a"), toy("facts b")]) as run:
        assert run.ended() == [0, 0, 0]
        assert not run.said("b")["served"]

    reason = "ModuleNotFoundError: No module named 'no_such_module'"
    assert run.errors == f"note: this stage runs by itself (no server: {reason})\n"


def test_a_module_that_cannot_be_imported_later_ends_nothing(folder: Path) -> None:
    edit_server(folder, "LATER = ()", 'LATER = ("no_such_module", "stages.toy_later")')
    edit_server(folder, "QUIET_SECONDS = 0.5", "QUIET_SECONDS = 0.05")
    (folder / "stages/toy_later.py").write_text('open("imported", "w").close()\n')
    with Run(folder, [LIST, toy("facts a"), toy("hold b")]) as run:
        server = run.said("b")["parent"]
        wait_for((folder / "imported").exists, run)
        assert not gone(server)
        (folder / "b").touch()
        assert run.ended() == [0, 0, 0] and run.output.count('"label": "b"') == 1


HALVES = {
    "nothing": b"",
    "half a head": b"\0\0",
    "half a message": struct.pack("!II", 100, 0) + b'{"kind"',
    "no JSON": struct.pack("!II", 3, 0) + b"xyz",
    "no kind": struct.pack("!II", 2, 0) + b"{}",
    "no pickle": struct.pack("!II", 26, 3) + b'{"kind":"early","slots":2}xyz',
}


@pytest.mark.parametrize("sent", list(HALVES))
def test_a_client_that_says_nothing_whole_stops_nobody(folder: Path, sent: str) -> None:
    edit_server(folder, "REQUEST_SECONDS = 10.0", "REQUEST_SECONDS = 0.3")
    with Run(folder, [LIST, toy("facts a"), toy("hold b"), toy("facts c")]) as run:
        b = run.said("b")
        (address,) = folder.glob("work/running/*/socket")
        with socket.socket(socket.AF_UNIX) as client, contextlib.chdir(folder):
            client.connect(str(address.relative_to(folder)))
            client.sendall(HALVES[sent])
            (folder / "b").touch()
            assert run.ended() == [0] * 4
        assert run.said("c")["parent"] == b["parent"]


# Early trials.


def test_early_trials_fill_the_slots_and_no_more(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("offer b 2 5"), toy("facts c")]) as run:
        fork = run.said("b")
        wait_for(lambda: len(of_trials(folder, "b.early.*")) == 2, run)
        first = of_trials(folder, "b.early.*")
        assert {parent(pid) for pid in first} == {fork["parent"]}

        # One is killed: the next one takes its place, and nothing else happens.
        os.kill(first[0], signal.SIGKILL)
        wait_for(lambda: len(of_trials(folder, "b.early.*")) == 3)
        alive = [pid for pid in of_trials(folder, "b.early.*") if not gone(pid)]
        assert len(alive) == 2

        (folder / "b.early").touch()
        wait_for(lambda: len(of_trials(folder, "b.early.*")) == 5)
        (folder / "b").touch()
        assert run.ended() == [0, 0, 0] and run.errors == ""
        assert run.said("c")["parent"] == fork["parent"]


def test_early_trials_go_on_while_other_stages_run(folder: Path) -> None:
    """The ensemble and its labels come between the teachers and the cells."""
    with Run(folder, [toy("facts a"), toy("offer b 1 3"), toy("hold c")]) as run:
        run.said("b")
        wait_for(lambda: len(of_trials(folder, "b.early.*")) == 1, run)
        (folder / "b").touch()
        run.said("c")
        (first,) = of_trials(folder, "b.early.*")
        assert not gone(first)

        (folder / "b.early").touch()
        wait_for(lambda: len(of_trials(folder, "b.early.*")) == 3, run)
        (folder / "c").touch()
        assert run.ended() == [0, 0, 0]


def test_processes_that_wait_for_a_lock_have_no_slot(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with alone(tmp_path / "trial"):
        waiting = context.Process(target=_wait, args=(tmp_path / "trial",))
        waiting.start()
        wait_for(lambda: waiting.pid in waiting_for_a_lock())
        assert os.getpid() not in waiting_for_a_lock()
    waiting.join()
    assert waiting.exitcode == 0 and waiting.pid not in waiting_for_a_lock()


def _wait(path: Path) -> None:
    with alone(path):
        pass


def test_an_early_trial_takes_the_slot_of_a_trial_that_waits(folder: Path) -> None:
    """Where an early trial runs whose stage has begun, the stage's process for it is idle."""
    with Run(folder, [toy("facts a"), toy("offer b 2 3"), toy("locked c")]) as run:
        fork = run.said("b")
        wait_for(lambda: len(of_trials(folder, "b.early.*")) == 2, run)
        (folder / "b").touch()

        run.said("c")
        (holder,) = wait_for(lambda: of_trials(folder, "c.trial.*"), run)
        (waiting,) = wait_for(lambda: waiting_for_a_lock() & set(below(folder)), run)
        assert parent(holder) == parent(waiting) == fork["parent"]
        (folder / "b.early").touch()
        wait_for(lambda: len(of_trials(folder, "b.early.*")) == 3, run)
        (folder / "c").touch()
        assert run.ended() == [0, 0, 0]


@pytest.mark.parametrize("edited", [True, False])
def test_edited_code_has_no_early_trials(folder: Path, edited: bool) -> None:
    """The server would train with the code that it has imported, in the folder of the new code."""
    trained = folder / "trained"
    with Run(folder, [toy("facts a"), toy("hold b"), toy("hold c")]) as run:
        run.said("b")
        if edited:
            (folder / "stages/more.py").write_text("x = 1\n")

        (address,) = folder.glob("work/running/*/socket")
        with socket.socket(socket.AF_UNIX) as client, contextlib.chdir(folder):
            client.connect(str(address.relative_to(folder)))
            calls = pickle.dumps([(os.mkdir, (str(trained),))])
            wire.send(client, {"kind": "early", "slots": 1}, calls)

        if not edited:
            wait_for(trained.exists, run)
        (folder / "b").touch()
        run.said("c")
        (folder / "c").touch()
        assert run.ended() == [0, 0, 0]
        assert trained.exists() is not edited


def test_early_trials_end_with_the_server(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("offer b 2 2")]) as run:
        fork = run.said("b")
        wait_for(lambda: len(of_trials(folder, "b.early.*")) == 2, run)
        os.kill(fork["parent"], signal.SIGKILL)
        wait_for(lambda: all(gone(pid) for pid in of_trials(folder, "b.early.*")))


def test_nothing_is_left_of_a_run(folder: Path) -> None:
    with Run(folder, [toy("facts a"), toy("offer b 2 4")]) as run:
        run.said("b")
        wait_for(lambda: len(of_trials(folder, "b.early.*")) == 2, run)
        (folder / "b").touch()
        assert run.ended() == [0, 0]
        wait_for(lambda: not below(folder))


AT_ONCE = """
import os, select, socket, sys
from pathlib import Path
from commands.running.anchor import DvcRun
from commands.running.server import Server

start = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
server = Server(DvcRun(os.getpid(), start), Path(sys.argv[1]), "", "")
here, there = socket.socketpair()
server._fork("trial", lambda: None, here)
(fork,) = server.forks.values()
there.close()
for end in (fork.handle, here):
    assert select.select([end], [], [], 120)[0]

ready = server.selector.select()
ready.sort(key=lambda pair: pair[0].fd != fork.handle)
assert len(ready) == 2 and ready[0][0].fd == fork.handle
for key, _ in ready:
    key.data()
print(len(server.forks), len(server.selector.get_map()))
"""


def test_a_process_and_its_client_may_end_at_once(tmp_path: Path) -> None:
    """The server sees both in one look, and must not end for it, nor kill another process."""
    words = [sys.executable, "-c", AT_ONCE, str(tmp_path / "socket")]
    done = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0 2\n", "")
