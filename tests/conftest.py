"""Options of the whole test suite."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from tests.helpers.pocket import WHOLE_RUN, copy_of_the_repository, dvc, ran
from tools.pocket import write_params

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as in the background of a shell: processes of tests inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.pop("MIMICNETS_EXECUTION", None)  # the user's own engine is none of the tests'


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--device cuda` runs the tests of training on a GPU."""
    parser.addoption(
        "--device", default="cpu", choices=("cpu", "cuda"), help="device of the tests of fit"
    )


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device asked for; tests that need an absent one are skipped."""
    name = request.config.getoption("--device")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    return torch.device(name)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pocket pipeline, run by DVC; tests copy it and leave it as it is."""
    folder = copy_of_the_repository(tmp_path_factory.mktemp("undisturbed") / "repository")
    write_params(folder, WHOLE_RUN)
    assert ran(dvc(folder, "repro")) == {
        *(
            "prepare",
            "teachers",
            "ensemble",
            "augment",
            "label",
            "tabulate",
            "assess",
            "draw",
            "page",
        ),
        *("students@mlp2-60k", "students@conv1-60k", "hard@conv2-180k"),
    }
    return folder
