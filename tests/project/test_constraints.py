"""constraints.txt, and the tool that makes it: which packages it names, and in which versions."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools import constraints
from tools.pocket import ROOT

PINS = constraints.pinned(constraints.FILE.read_text())
DIRECT = constraints.direct(constraints.project())
Install = Callable[..., None]


# the file


def test_what_the_project_asks_for_is_pinned_within_its_bounds() -> None:
    for wanted in DIRECT:
        assert wanted.specifier.contains(PINS[canonicalize_name(wanted.name)]), wanted


def test_each_lower_bound_is_at_most_the_tested_version() -> None:
    for name, version in constraints.lowest(DIRECT).items():
        assert Version(version) <= Version(PINS[name]), name


def test_the_file_is_as_the_tool_writes_it_and_names_neither_us_nor_cuda() -> None:
    assert constraints.FILE.read_text() == constraints.text_of(PINS)
    assert constraints.project()["name"] not in PINS
    assert {name for name in PINS if name.startswith(constraints.CUDA)} <= {"nvidia-ml-py"}


@pytest.mark.parametrize(
    "line",
    ["torch==2.14.1+cu130", "torch @ file:///torch.whl", "-e .", "Flask==3.1.3", "torch>=2.11", ""],
)
def test_a_line_that_is_no_exact_version_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=rf"got {re.escape(repr(line))}, allowed is name==version"):
        constraints.pinned(f"numpy==2.4.6\n{line}\n")


@pytest.mark.parametrize(
    "name",
    [
        "Makefile",
        ".ci/run",
        ".github/workflows/ci.yml",
        ".devcontainer/devcontainer.json",
        "launchers/Dockerfile",
        "launchers/cloud.yaml",
    ],
)
def test_installing_the_project_takes_the_constraints(name: str) -> None:
    text = (ROOT / name).read_text()
    lines = [
        line for line in text.splitlines() if re.search(r"pip install .*\[(dev|test|ray)\b", line)
    ]
    assert lines
    for line in lines:
        assert re.search(r"-c (\S*/)?(constraints\.txt|\$\(CONSTRAINTS\)) ", line), line


def test_both_commands_of_the_readme_take_the_constraints() -> None:
    text = (ROOT / "README.md").read_text()
    commands = re.findall(r"<!-- (?:run|test) -->\n```sh\n(.*)\n```", text)
    assert len(commands) == 2
    assert all("pip install -q -c constraints.txt " in each for each in commands)


# the tool, on packages made here


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution before all others: `install("a", "1.0", "b>=2")`."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(name: str, version: str, *needs: str) -> None:
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {each}" for each in needs]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")

    return add


@pytest.fixture
def project_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A project in place of ours, with these dependencies and extras, and its own file."""

    def make(*needs: str, **extras: list[str]) -> None:
        said = {"name": "mimic.nets", "dependencies": needs, "optional-dependencies": extras}
        monkeypatch.setattr(constraints, "project", lambda: said)
        monkeypatch.setattr(constraints, "FILE", tmp_path / "constraints.txt")

    return make


def ran(monkeypatch: pytest.MonkeyPatch, option: str) -> object:
    """What the command exits with: None if it passes, otherwise its words."""
    monkeypatch.setattr(sys, "argv", ["constraints", option])
    try:
        constraints.main()
    except SystemExit as end:
        return end.code

    return None


def test_extras_and_markers_decide_what_is_needed(install: Install) -> None:
    install("zz_top", "1.0", "zz-plain", "zz-more; extra == 'more'", "zz-off; extra == 'off'")
    install("zz_plain", "2.0", "zz-old; python_version < '3'", "zz-top[more]>=1")
    install("zz_more", "3.0")
    versions, missing = constraints.installed([Requirement("ZZ.top>=1")])
    assert versions == {"zz-top": "1.0", "zz-plain": "2.0", "zz-more": "3.0"} and missing == []


def test_what_is_absent_is_named_and_a_local_version_is_cut(install: Install) -> None:
    install("zz_top", "2.14.1.post1+cu130", "zz-absent", "zz-gone")
    versions, missing = constraints.installed([Requirement("zz-top")])
    assert versions == {"zz-top": "2.14.1.post1"} and missing == ["zz-absent", "zz-gone"]


def test_libraries_of_cuda_are_left_to_torch_and_to_nobody_else(install: Install) -> None:
    needs = ("nvidia-zz", "cuda-zz", "triton-zz", "zz-plain")
    for name in (*needs, "nvidia-other"):
        install(name.replace("-", "_"), "1.0")

    install("torch", "99.0", *needs)
    install("zz_top", "1.0", "nvidia-other", "torch")
    versions, _ = constraints.installed([Requirement("zz-top")])
    assert set(versions) == {"zz-top", "nvidia-other", "torch", "zz-plain"}


def test_what_is_written_passes_the_check_until_something_changes(
    install: Install, project_of: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("zz_top", "1.0", "zz-plain")
    install("zz_plain", "2.0")
    project_of("zz-top>=1", dev=["mimic.nets[dev]"], bench=["zz-absent"])
    assert ran(monkeypatch, "--write") is None
    assert constraints.FILE.read_text() == constraints.HEAD + "zz-plain==2.0\nzz-top==1.0\n"
    assert ran(monkeypatch, "--check") is None

    constraints.FILE.write_text("zz-plain==2.1\n")
    assert ran(monkeypatch, "--check") == (
        "zz-plain: 2.0 is installed, constraints.txt has 2.1\n"
        "zz-top: 1.0 is installed, constraints.txt does not name it"
    )


def test_an_extra_may_be_absent_where_it_is_checked_but_not_where_it_is_written(
    install: Install, project_of: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("zz_top", "1.0")
    project_of("zz-top", s3=["zz-absent"])
    constraints.FILE.write_text("zz-top==1.0\n")
    assert ran(monkeypatch, "--check") is None
    assert "not installed: zz-absent" in str(ran(monkeypatch, "--write"))
    assert constraints.FILE.read_text() == "zz-top==1.0\n"

    project_of("zz-top", "zz-absent")
    assert ran(monkeypatch, "--check") == "zz-absent: not installed"


def test_lower_bounds_are_the_highest_named(
    project_of: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project_of("b.b[c]>=1.9,<3", "a==2", "free", "e<4", test=["B_b>=1.10", "a>=1"])
    assert ran(monkeypatch, "--lowest") is None
    assert capsys.readouterr().out == "a==2\nb-b==1.10\n"
