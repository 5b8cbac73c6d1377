"""The files around the code: citation, changelog, Makefile, workflow, container, pages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from ruamel.yaml import YAML

from tools.pocket import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = (
    *("help", "setup", "lint", "types", "test", "middle", "slow"),
    *("pocket", "smoke", "bench", "docs", "versions", "clean"),
)


def loaded(name: str) -> Any:
    """A YAML file of the repository."""
    return YAML(typ="safe").load((ROOT / name).read_text())


# citation and changelog: what we use of the schema of the Citation File Format 1.2.0, nothing else
# allowed

exactly = dataclass(config=ConfigDict(extra="forbid"), kw_only=True)
Text = Annotated[str, Field(min_length=1)]


@exactly
class Named:
    name: Text


Person = Annotated[dict[Literal["given-names", "family-names"], Text], Field(min_length=2)]


@exactly
class Identifier:
    type: Literal["doi", "url", "swh", "other"]
    value: Text
    description: Text | None = None


REFERENCE = {
    "type": Literal["conference-paper"],
    "title": Text,
    "authors": Annotated[list[Person], Field(min_length=1)],
    "year": int,
    "collection-title": Text,
    "conference": Named,
    "url": Annotated[str, Field(pattern="^https://")],
    "identifiers": list[Identifier],
}
CITATION = {
    "cff-version": Literal["1.2.0"],
    "message": Text,
    "type": Literal["software", "dataset"],
    "title": Text,
    "abstract": Text,
    "version": Text,
    "date-released": date,
    "license": Literal["MIT"],
    "keywords": list[Text],
    "authors": Annotated[list[Named | Person], Field(min_length=1)],
    "references": Annotated[list[dict[str, Any]], Field(min_length=1)],
}


def valid(record: dict[str, Any], schema: dict[str, Any]) -> None:
    """Every key is known and there, and its value of its type."""
    assert set(record) == set(schema)
    for key, kind in schema.items():
        TypeAdapter(kind).validate_python(record[key])


def test_the_citation_is_valid_and_names_version_and_paper() -> None:
    citation = loaded("CITATION.cff")
    valid(citation, CITATION)
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
    (paper,) = citation["references"]
    valid(paper, REFERENCE)
    licence = " ".join((ROOT / "README.md").read_text().partition("## Licence")[2].split())
    named = re.split(", | and ", licence.partition("is by ")[2].partition(":")[0])
    assert [
        f"{person['given-names']} {person['family-names']}" for person in paper["authors"]
    ] == named
    assert "1603.05691" in paper["url"] and "1603.05691" in licence


def test_the_check_of_the_citation_can_fail() -> None:
    citation = loaded("CITATION.cff")
    with pytest.raises(AssertionError):
        valid({**citation, "titel": "x"}, CITATION)
    with pytest.raises(ValidationError):
        valid({**citation, "authors": [{"given-names": "A"}]}, CITATION)


def test_the_changelog_has_this_version() -> None:
    heads = re.findall(
        r"^## \[(.*?)\](?: - (\d{4}-\d{2}-\d{2}))?$", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    assert heads[0] == ("Unreleased", "")
    released = dict(heads[1:])
    assert (
        date.fromisoformat(released[PROJECT["project"]["version"]])
        == loaded("CITATION.cff")["date-released"]
    )
    kinds = set(re.findall(r"^### (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M))
    assert kinds <= {
        "Added",
        "Changed",
        "Changed results",
        "Deprecated",
        "Removed",
        "Fixed",
        "Security",
    }


# Makefile, workflow, container, hooks


def make(*words: str) -> str:
    """Output of make in the root."""
    done = subprocess.run(
        ["make", "--no-print-directory", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_make_help_lists_every_target() -> None:
    declared = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    assert sorted(declared) == sorted(TARGETS)
    assert [line.split()[0] for line in make("help").splitlines()] == declared
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert phony and phony[1].split() == declared


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_runs_what_is_there(target: str) -> None:
    commands = make("--dry-run", target)
    for module in re.findall(
        r"python -m ((?:stages|commands|tools|benchmarks)\.[a-z_]+)", commands
    ):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    for name in re.findall(r"for name in (.*?);", commands):
        listed = {
            path.stem
            for path in (ROOT / "benchmarks").glob("*.py")
            if "--quick" in path.read_text() or "arguments" in path.read_text()
        } - {"measure", "page", "__init__"}
        assert set(name.split()) == listed


def readme_command(mark: str) -> str:
    found = re.search(rf"<!-- {mark} -->\n```sh\n(.*)\n```", (ROOT / "README.md").read_text())
    assert found
    return found[1]


def test_setup_and_test_are_the_command_of_the_readme() -> None:
    made = f"{make('--dry-run', 'setup').strip()} && {make('--dry-run', 'test').strip()}"
    assert made == readme_command("test").replace(".[test]", ".[dev]")
    extras = PROJECT["project"]["optional-dependencies"]
    assert "mimicnets[test]" in extras["dev"]
    assert {re.split(r"\W", each)[0] for each in extras["dev"]} == {
        "mimicnets",
        "mypy",
        "pre",
        "ray",
        "shellcheck",
    }


def test_the_workflow_runs_the_targets_of_the_makefile() -> None:
    workflow = loaded(".github/workflows/ci.yml")
    checks, readme = workflow["jobs"]["checks"], workflow["jobs"]["readme"]
    ran = [step["run"] for step in checks["steps"] if "run" in step]
    assert ran == [
        "pip install -q packaging && python -m tools.constraints --lowest > lowest.txt",
        "make setup CONSTRAINTS=${{ matrix.constraints }}",
        "make lint && make types && .venv/bin/python -m tools.constraints --check",
        "make test",
        "make middle",
    ]
    assert [step["run"] for step in readme["steps"] if "run" in step] == [".ci/run"]
    least = PROJECT["project"]["requires-python"].removeprefix(">=")
    rows = checks["strategy"]["matrix"]
    assert rows["python"] == ["3.11", "3.12", "3.13"] and least == "3.11"
    assert rows["constraints"] == ["constraints.txt"]
    assert [(row["python"], row["constraints"]) for row in rows["include"]] == [
        ("3.13", "/dev/null"),
        (least, "lowest.txt"),
    ]
    runs = [step["run"] for step in workflow["jobs"]["cluster"]["steps"] if "run" in step]
    assert (
        runs[-1] == 'python -m pytest -n 0 -m "ray and not slow"'
        and runs[-1] in (ROOT / ".ci/run").read_text()
    )
    used = [
        step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step
    ]
    assert used and all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in used)
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    assert not re.search(r"index|pypi|http", text, re.I)


def test_the_container_is_set_up_as_by_make_and_needs_no_gpu() -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert container["hostRequirements"]["gpu"] == "optional"
    assert container["postCreateCommand"] == make("--dry-run", "setup").strip()


def test_hooks_download_nothing() -> None:
    config = loaded(".pre-commit-config.yaml")
    for repo in config["repos"]:
        assert repo["repo"] == "local"
        for hook in repo["hooks"]:
            assert hook["language"] == "system" and hook["entry"].startswith("python -m ")
    clientlib = pytest.importorskip("pre_commit.clientlib", reason="pre-commit is in the extra dev")
    assert clientlib.load_config(ROOT / ".pre-commit-config.yaml")


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_forms_are_what_github_takes(form: Path) -> None:
    content = YAML(typ="safe").load(form)
    if form.stem == "config":
        assert content == {"blank_issues_enabled": True}
        return
    assert (
        set(content) <= {"name", "description", "labels", "body"}
        and content["name"]
        and content["description"]
    )
    ids = [element["id"] for element in content["body"]]
    assert len(ids) == len(set(ids)) and any(
        e.get("validations", {}).get("required") for e in content["body"]
    )
    for element in content["body"]:
        assert element["type"] in ("textarea", "checkboxes") and element["attributes"]["label"]
        assert element["type"] != "checkboxes" or all(
            "label" in each for each in element["attributes"]["options"]
        )


def test_the_type_check_leaves_out_nothing_of_ours() -> None:
    settings = PROJECT["tool"]["mypy"]
    assert settings["strict"] and {"stages", "commands", "tools"} <= set(settings["files"])
    for each in settings["overrides"]:
        assert set(each) == {"module", "ignore_missing_imports"}, each
        assert not [
            module
            for module in each["module"]
            if module.split(".")[0] in ("stages", "commands", "tools")
        ]


@pytest.mark.slow
def test_types_pass() -> None:
    pytest.importorskip("mypy", reason="mypy is in the extra dev")
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# pages


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text()
    linked = {(ROOT / "docs" / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)", index)}
    pages = {*(ROOT / "docs").glob("*.md"), ROOT / "docs/results/README.md"} - {
        ROOT / "docs/README.md"
    }
    assert pages <= linked, sorted(path.name for path in pages - linked)
    assert "(docs/README.md)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    "page", ["CONTRIBUTING.md", "CHANGELOG.md", ".github/pull_request_template.md"]
)
def test_links_and_files_of_pages_in_the_root(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        assert target.startswith("https://") or (ROOT / target).exists(), target
    for target in re.findall(r"`((?:stages|commands|tests|scales|docs|tools)/[\w./-]*)`", text):
        assert "NAME" in target or (ROOT / target).exists(), target
    for target in re.findall(r"`make (\w+)`", text):
        assert target in TARGETS
