"""One undisturbed run for all tests of faults."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import CHANGES, repro
from pocket import copy_of_the_repository, write_params


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pocket pipeline; tests copy it and leave it as it is."""
    folder = copy_of_the_repository(tmp_path_factory.mktemp("undisturbed") / "repository")
    write_params(folder, CHANGES)
    code, output = repro(folder)
    assert code == 0, output
    return folder
