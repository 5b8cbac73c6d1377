"""Every scale composes and is valid; the command writes params.yaml and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from commands.scale import compose, names
from commands.sizing.jobs import jobs
from stages.settings import whole
from stages.settings.read import SECTIONS, read_params
from tests.helpers.processes import PATIENCE
from tools.pocket import ROOT


@pytest.mark.parametrize("name", names())
def test_every_scale_composes_and_passes_the_checks(name: str) -> None:
    text = compose(name)
    params = YAML(typ="safe").load(text)
    whole.check(params)
    assert tuple(params) == SECTIONS and params["scale"] == name
    assert text == compose(name)
    found, stored = jobs(params)
    assert stored > 0 and all(job.flops > 0 for job in found)


def test_scales_are_listed_from_small_to_large() -> None:
    """The paper's experiment from small to large, then other data."""
    assert names() == ["smoke", "cpu", "gpu", "paper", "cifar100", "svhn", "imagenet64", "frames"]


def test_params_file_is_what_its_scale_composes() -> None:
    text = (ROOT / "params.yaml").read_text()
    assert text == compose(read_params(ROOT / "params.yaml")["scale"]), (
        "run python -m commands.scale NAME"
    )


@pytest.mark.parametrize("name", names())
def test_every_scale_has_the_papers_widths(name: str) -> None:
    params = YAML(typ="safe").load(compose(name))
    assert [params[section]["width_multiple"] for section in ("teachers", "students", "hard")] == [
        1,
        1,
        1,
    ]


def scale(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run `python -m commands.scale`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "commands.scale", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with the scales and nothing else."""
    (tmp_path / "scales").symlink_to(ROOT / "scales")
    return tmp_path


def test_unknown_scale_is_one_line_with_the_allowed(elsewhere: Path) -> None:
    done = scale("nonsense", cwd=elsewhere)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert all(name in done.stderr for name in ("nonsense", *names()))
    assert "did you mean 'smoke'" in scale("smok", cwd=elsewhere).stderr
    assert not (elsewhere / "params.yaml").exists()


def test_scale_writes_params_and_cost_does_not(elsewhere: Path) -> None:
    done = scale("paper", "--cost", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert "FLOP" in done.stdout and "GB" in done.stdout and "days on one H200" in done.stdout
    assert "students conv4 31.6M" in done.stdout and "teachers" in done.stdout
    assert not (elsewhere / "params.yaml").exists()

    missing = scale("--cost", cwd=elsewhere)
    assert missing.returncode == 1 and "params.yaml not found" in missing.stderr
    assert scale("cpu", cwd=elsewhere).returncode == 0
    assert (elsewhere / "params.yaml").read_text() == compose("cpu")
    assert scale("--cost", cwd=elsewhere).stdout in scale("cpu", "--cost", cwd=elsewhere).stdout
