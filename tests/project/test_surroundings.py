"""Figures and searches depend on nothing that a user has set for other programs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.runtime import executors
from stages.runtime.executors import Local
from tests.helpers import search_jobs
from tools.pocket import ROOT

DRAWS = """
import sys
from pathlib import Path
import stages
import numpy, GPyOpt
from stages.report.figures.theme import save
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
axes.plot([0, 1, 3], label="1,000")
axes.legend()
for name in ("figure.svg", "figure.png"):
    save(figure, Path(sys.argv[1]) / name)
"""
RC = """svg.fonttype: none
savefig.facecolor: black
path.simplify: False
text.usetex: True
axes.formatter.use_locale: True
lines.linewidth: 9
font.size: 30
"""


def drawn(folder: Path, cwd: Path, **variables: str) -> dict[str, str]:
    """Hashes of a small figure that is drawn in a process with these variables."""
    folder.mkdir()
    unset = {"MPLBACKEND", "MATPLOTLIBRC", "MPLCONFIGDIR"}
    plain = {name: value for name, value in os.environ.items() if name not in unset}
    environment = {**plain, "PYTHONPATH": str(ROOT), **variables}
    words = [sys.executable, "-c", DRAWS, str(folder)]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_matplotlibs_own_settings_change_no_figure(tmp_path: Path) -> None:
    """GPyOpt imports matplotlib too: a backend that is not there ended every search."""
    plain = drawn(tmp_path / "plain", tmp_path)
    assert set(plain) == {"figure.svg", "figure.png"}

    config = tmp_path / "config"
    config.mkdir()
    (config / "matplotlibrc").write_text(RC)
    variables = {"MPLCONFIGDIR": str(config), "MPLBACKEND": "module://not_there.backend_inline"}
    assert drawn(tmp_path / "config-folder", tmp_path, **variables) == plain
    named = {"MATPLOTLIBRC": str(config / "matplotlibrc"), "MPLBACKEND": "no such backend"}
    assert drawn(tmp_path / "named", tmp_path, **named) == plain
    assert drawn(tmp_path / "here", config) == plain


@pytest.fixture
def long_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A TMPDIR that is too long for the address of a socket in it."""
    folder = tmp_path / ("x" * 110)
    folder.mkdir()
    yield folder


TRIALS = """
import sys
from stages.runtime.executors import Local
from tests.helpers import search_jobs
if __name__ == "__main__":
    with Local(2) as executor:
        print([executor.submit(search_jobs.square, i).result() for i in (3, 4)])
"""


def test_trials_run_with_a_long_folder_for_temporary_files(long_folder: Path) -> None:
    """The standard library's fork server has its socket there."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(long_folder)}
    words = [sys.executable, "-c", TRIALS]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "[9, 16]\n", done.stderr
    assert not list(long_folder.iterdir())


def test_without_a_short_folder_it_is_said(
    long_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(long_folder))
    monkeypatch.setattr(executors, "SHORT_FOLDERS", (str(long_folder / "none"),))
    with Local(1) as executor, pytest.raises(ValueError, match="set TMPDIR to a folder of at most"):
        executor.submit(search_jobs.square, 3).result()
