"""docs/guide.md does what it says: its commands, in its order, in a pocket-sized git repository."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dvc.cli import DvcParserError, parse_args
from ruamel.yaml import YAML

from stages import (
    assess,
    augment,
    code,
    draw,
    ensemble,
    extra,
    label,
    page,
    prepare,
    tabulate,
    teachers,
)
from stages.settings import whole
from tests.helpers.pocket import ENVIRONMENT, dvc, ran, run_cell
from tools.pocket import ROOT, git, make, pocket_params, write_params

REPORT = ("extra", "tabulate", "assess", "draw", "page")
GUIDE = (ROOT / "docs/guide.md").read_text()
BLOCK = re.compile(
    r"(?:<!-- (?P<name>[\w-]+) -->\n)?```(?P<kind>sh|python|yaml)\n(?P<text>.*?)\n```", re.S
)
BLOCKS = {found["name"]: found["text"] for found in BLOCK.finditer(GUIDE) if found["name"]}
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/guide.md",
    "docs/faq.md",
    "docs/reliability.md",
    "docs/vectors.md",
)


def commands(text: str) -> Iterator[list[str]]:
    """The words of every `dvc` command in the sh blocks of a page."""
    for found in BLOCK.finditer(text):
        for line in (
            found["text"].replace("\\\n", " ").splitlines() if found["kind"] == "sh" else ()
        ):
            for part in re.split(r"&&|\|\|", line):
                words = shlex.split(part, comments=True)
                if "dvc" in words:
                    yield words[words.index("dvc") + 1 :]


@pytest.mark.parametrize("page", PAGES)
def test_every_dvc_command_is_one_that_dvc_knows(page: str) -> None:
    for words in commands((ROOT / page).read_text()):
        try:
            parse_args(words)
        except DvcParserError:
            pytest.fail(f"{page}: dvc {shlex.join(words)}")


def test_the_check_of_commands_can_fail() -> None:
    (words,) = commands("```sh\ncd x && dvc exp run --quee -S a=1  # no such option\n```")
    assert words == ["exp", "run", "--quee", "-S", "a=1"]
    with pytest.raises(DvcParserError):
        parse_args(words)


def test_every_block_of_commands_has_a_name_and_is_walked() -> None:
    unnamed = [found["text"] for found in BLOCK.finditer(GUIDE) if not found["name"]]
    assert unnamed == ["cd ../pocket"]
    assert list(BLOCKS) == list(WALK)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A git repository with a finished, committed pipeline of one mimic net."""
    folder, before = make(tmp_path_factory.mktemp("guide") / "pocket"), Path.cwd()
    write_params(folder, {"students.rows": ["conv1"]})
    os.chdir(folder)
    try:
        for stage in (code, prepare, teachers, ensemble, augment, label):
            stage.main()
        run_cell("mimic", "conv1", "60k")
        run_cell("hard", "conv2", "180k")
        for stage in (extra, tabulate, assess, draw, page):
            stage.main()
    finally:
        os.chdir(before)
    dvc(folder, "commit", "--force", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "First run")
    yield folder


@pytest.mark.middle
def test_an_experiment_shows_accuracies_by_row_and_budget_and_is_applied(finished: Path) -> None:
    before = json.loads((finished / "metrics/tables.json").read_text())
    assert "up to date" in dvc(finished, "status")
    output = dvc(
        finished,
        "exp",
        "run",
        "-n",
        "slow-start",
        "-S",
        "students.space.lr.high=0.0002",
        "tabulate",
    )
    assert ran(output) == {"students@conv1-60k", "tabulate"}
    after = json.loads((finished / "metrics/tables.json").read_text())
    old, new = before["conv1"]["60k"], after["conv1"]["60k"]
    assert old != new, "the change must show: choose another one"
    shown = table(dvc(finished, "exp", "diff", "--md"))
    assert shown["metrics/tables.json", "conv1.60k"] == [f"{old:g}", f"{new:g}"]
    assert shown["params.yaml", "students.space.lr.high"] == ["0.0003", "0.0002"]
    assert not [key for key in shown if key[0] == "metrics/tables.json" and key[1] != "conv1.60k"]
    every = table(dvc(finished, "exp", "diff", "--md", "--all"))
    rows = {f"{row}.{column}" for row, cells in after.items() for column in cells}
    assert {name for path, name in every if path == "metrics/tables.json"} == rows
    assert {"conv1.60k", "hard-conv2.180k", "ensemble.test", "teacher.best"} <= rows

    git(finished, "reset", "-q", "--hard")
    dvc(finished, "checkout", "--quiet")
    assert json.loads((finished / "metrics/tables.json").read_text()) == before
    dvc(finished, "exp", "apply", "slow-start")
    assert json.loads((finished / "metrics/tables.json").read_text()) == after
    assert (
        YAML(typ="safe").load(finished / "params.yaml")["students"]["space"]["lr"]["high"] == 0.0002
    )
    assert "students@conv1-60k" not in dvc(finished, "status")


def table(text: str) -> dict[tuple[str, str], list[str]]:
    """Lines of the tables of `dvc exp diff --md`: (path, name) to the old and the new value."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if "|" in line
    ]
    return {
        (line[0], line[1]): line[2:4]
        for line in lines
        if line[0] not in ("Path", "") and "---" not in line[0]
    }


def test_own_images_are_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS["own-data-files"], "guide.md", "exec"), {})
    changes = dict(re.findall(r"-S (prepare\.\w+)=(\S+)", BLOCKS["own-data"]))
    write_params(
        tmp_path,
        {name: int(value) if value.isdigit() else value for name, value in changes.items()},
    )
    prepare.main()
    manifest = json.loads((tmp_path / "data/prepared/manifest.json").read_text())
    assert manifest["source"] == "image-folder" and manifest["classes"] == list("0123456789")


def with_own_row(folder: Path) -> None:
    """What the guide says of params.yaml: lines of the row, its name in the list of rows."""
    yaml = YAML()
    params, lines = (
        yaml.load(folder / "params.yaml"),
        YAML(typ="safe").load(BLOCKS["own-row-lines"]),
    )
    params["rows"].update(lines["rows"])
    params["students"]["rows"] += list(lines["rows"])
    yaml.dump(params, folder / "params.yaml")


def test_the_own_row_passes_the_checks(tmp_path: Path) -> None:
    write_params(tmp_path)
    with_own_row(tmp_path)
    params = YAML(typ="safe").load(tmp_path / "params.yaml")
    whole.check(params)
    assert set(params["rows"]) - set(pocket_params()["rows"]) == {"conv2-narrow"}


# the walk


def up_to_date(folder: Path, output: str) -> None:
    assert ran(output) == set() and "Data and pipelines are up to date." in output


def ran_exactly(*stages: str) -> Callable[[Path, str], None]:
    def check(folder: Path, output: str) -> None:
        assert ran(output) == set(stages), output

    return check


def says(*words: str) -> Callable[[Path, str], None]:
    def check(folder: Path, output: str) -> None:
        for word in words:
            assert word in output, f"{word} is not in:\n{output}"

    return check


def clean(folder: Path, output: str) -> None:
    assert git(folder, "status", "--porcelain", "--untracked-files=no") == ""
    assert "up to date" in dvc(folder, "status")


def an_experiment(folder: Path, output: str) -> None:
    ran_exactly("students@mlp2-60k", "students@conv1-60k", *REPORT)(folder, output)
    shown = table(output[output.index("| Path") :])
    assert ("metrics/tables.json", "conv1.60k") in shown and (
        "params.yaml",
        "students.space.lr.high",
    ) in shown


def queued(folder: Path, output: str) -> None:
    deadline = time.monotonic() + 3600
    while dvc(folder, "queue", "status").count("Success") < 2:
        assert time.monotonic() < deadline and "Failed" not in dvc(folder, "queue", "status")
        time.sleep(5)
    narrow = dvc(folder, "queue", "logs", "narrow")
    assert ran(narrow) == {
        "students@mlp2-60k",
        "students@conv1-60k",
        *REPORT,
    }
    assert ran(dvc(folder, "queue", "logs", "level-90")) == {"assess", "draw", "page"}


def kept(folder: Path, output: str) -> None:
    assert "narrow-momentum" in git(folder, "branch")
    params = YAML(typ="safe").load(git(folder, "show", "narrow-momentum:params.yaml"))
    assert params["students"]["space"]["momentum"]["high"] == 0.9
    assert "level-90" not in dvc(folder, "exp", "list", "--all-commits")
    clean(folder, output)


def as_the_colleague(folder: Path, output: str) -> None:
    assert ran(output) == set()
    colleague = folder.parent / "colleague"
    for name in ("data/prepared/train.safetensors", "plots/figure1.svg", "metrics/tables.json"):
        assert (colleague / name).read_bytes() == (folder / name).read_bytes()


def linked(folder: Path, output: str) -> None:
    assert (folder / "data/prepared/train.safetensors").stat().st_nlink > 1 or "reflink" in output


def own_data(folder: Path, output: str) -> None:
    assert "prepare" in ran(output) and "(digits, " in output
    assert (
        json.loads((folder / "data/prepared/manifest.json").read_text())["source"] == "image-folder"
    )


def stopped(folder: Path, output: str) -> None:
    first, _, second = output.partition("stopped")
    finished_before = re.findall(r"Running stage '([^']+)'", first)[:-1]
    assert second and "draw" in ran(second) and not ran(second) & set(finished_before)
    clean(folder, output)


WALK: dict[str, Callable[[Path, str], None] | None] = {
    "pocket": says("dvc repro"),
    "first-run": says("Running stage 'draw'", "**Table 2.**"),
    "second-run": up_to_date,
    "read": says("| 1 conv. layer", "Verdict", "conv1.60k", "trial,", "dvc_plots/index.html"),
    "change": ran_exactly("assess", "draw", "page"),
    "back": clean,
    "refused": says("error: params.yaml: students.space.lr is", "refused, as it should be"),
    "experiment": an_experiment,
    "queue": queued,
    "compare": says(
        "slow-start", "narrow", "level-90", "students.space.momentum.high", "dvc_plots/index.html"
    ),
    "keep": kept,
    "remote": says("files pushed"),
    "clone": as_the_colleague,
    "exp-push": says("three-rows"),
    "s3": says("s3://my-bucket/mimicnets"),
    "ssh": clean,
    "links": linked,
    "own-data-files": None,
    "own-data": own_data,
    "own-data-back": clean,
    "own-row-lines": None,
    "own-row": ran_exactly("prepare", "students@conv2-narrow-60k", *REPORT),
    "stop": stopped,
    "verify": None,
    "space": says("Removed"),
}
"""Every block of the guide in its order, and what must be so after it."""


def walked(block: str, folder: Path, said: Path) -> str:
    """Output of a block, which must succeed; a file, since background processes keep it open."""
    with said.open("w") as file:
        words = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(
            words, cwd=folder, env=ENVIRONMENT, stdout=file, stderr=subprocess.STDOUT
        )
    output = said.read_text()
    assert done.returncode == 0, f"{block}\n{output}"
    return output


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_whole_walk(tmp_path: Path) -> None:
    folder = tmp_path / "pocket"
    for name, check in WALK.items():
        text = BLOCKS[name]
        if name == "own-row-lines":
            with_own_row(folder)
            continue
        if name == "own-data-files":
            text = f"python - <<'END'\n{text}\nEND"
        if name == "pocket":
            output = walked(text.replace("../pocket", str(folder)), ROOT, tmp_path / "output")
        else:
            output = walked(text, folder, tmp_path / "output")
        if check:
            check(folder, output)
