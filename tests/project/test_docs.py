"""What the pages say: links lead somewhere, and the worked example of the README works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.nets.budget import plan
from stages.settings import whole
from stages.settings.budgets import parse_budget
from stages.settings.students import row
from tools.pocket import ROOT, pocket_params

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_the_two_commands_are_whole() -> None:
    for mark, last in (("run", "dvc repro"), ("test", "python -m pytest")):
        command = re.search(rf"<!-- {mark} -->\n```sh\n(.*)\n```", README)
        assert command, mark
        assert command[1].startswith("python3 -m venv .venv && ") and command[1].endswith(last)


def test_the_example_row_is_trained_at_its_budgets() -> None:
    example = YAML(typ="safe").load(re.search(r"```yaml\n(.*?)```", README, re.S)[1])
    params = pocket_params({"students.rows": example["students"]["rows"]})
    params["rows"] |= example["rows"]
    whole.check(params)
    entry = row(params, "mimic", "conv2-narrow")
    for budget, box in entry.boxes.items():
        made = plan(entry.net, parse_budget(budget), [0.5, 0.5], box)
        assert abs(made.rel_err) < 0.02


def test_commands_of_the_readme_run() -> None:
    commands = re.findall(r"^python -m commands\S* .*--cost", README, re.M)
    commands += re.findall(r"`(python -m stages\.nets\.budget [^`]*)`", README)
    assert len(commands) == 2

    for command in commands:
        words = shlex.split(command)
        done = subprocess.run(
            [sys.executable, *words[1:]], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_no_page_or_source_names_a_package_index() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.split():
        if (
            name.endswith((".py", ".md", ".toml", ".yaml", ".txt"))
            and name != "tests/project/test_docs.py"
        ):
            assert "index-url" not in (ROOT / name).read_text(), name
