"""Options of the whole test suite."""

from __future__ import annotations

import os
import signal
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # several processes of tests share the cores

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.helpers.pocket import WHOLE_RUN, copy_of_the_repository, dvc, ran
from tests.helpers.shared import made_once
from tools.pocket import write_params

# Ignored in the background of a shell and under nohup, and then in the processes of tests too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)  # a new program does not inherit it

os.environ.pop("MIMICNETS_EXECUTION", None)  # the user's own engine is none of the tests'

# No verdict hangs on a clock.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

PROCESSES = 4
"""Of tests at a time, at most: each takes a gigabyte of memory."""
COSTLY = ("tests/pipeline/", "tests/commands/", "tests/faults/", "tests/stages/test_")
"""Files that begin first, in this order, so that the processes of tests end at about a time."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--device cuda` runs the tests of training on a GPU."""
    parser.addoption(
        "--device", default="cpu", choices=("cpu", "cuda"), help="device of the tests of fit"
    )


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Processes of tests: one for each core, and one in all for a GPU or for single files."""
    named = [word.partition("::")[0] for word in config.args]
    alone = config.getoption("--device") == "cuda" or all(word.endswith(".py") for word in named)
    return 0 if alone else min(PROCESSES, len(os.sched_getaffinity(0)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The costly files first; otherwise the order stays."""

    def place(item: pytest.Item) -> int:
        found = (i for i, start in enumerate(COSTLY) if item.nodeid.startswith(start))
        return next(found, len(COSTLY))

    items.sort(key=place)


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device asked for; tests that need an absent one are skipped."""
    name = request.config.getoption("--device")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    return torch.device(name)


def make_undisturbed(folder: Path) -> None:
    """A pocket pipeline, all of it run by DVC."""
    copy_of_the_repository(folder)
    write_params(folder, WHOLE_RUN)
    assert ran(dvc(folder, "repro")) == {
        *(
            "code",
            "prepare",
            "teachers",
            "ensemble",
            "augment",
            "label",
            "extra",
            "tabulate",
            "assess",
            "draw",
            "page",
        ),
        *("students@mlp2-60k", "students@conv1-60k", "hard@conv2-180k"),
    }


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pocket pipeline, run by DVC; tests copy it and leave it as it is."""
    return made_once(tmp_path_factory, "undisturbed", make_undisturbed)
