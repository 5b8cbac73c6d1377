"""Which files each stage runs, with their hashes: what the stage `code` writes, and others compare."""

from __future__ import annotations

from pathlib import Path

from stages.runtime.code import ROOT, code_files, hashes
from stages.store.atomic import read_json

LISTS = Path("metrics/code")
CODE = "code"
"""The stage that makes the lists; it has none itself."""

READ = {
    "stages/report/paper.py": ["stages/report/paper.json"],
    "stages/report/page/html.py": ["stages/report/page/templates/*"],
}
"""Files that are read and not imported, by the file that reads them."""


def stage_names() -> list[str]:
    """The stages: the files of stages/."""
    names = (path.stem for path in (ROOT / "stages").glob("*.py"))
    return sorted(name for name in names if name != "__init__")


def list_of(stage: str) -> Path:
    """Where the list of a stage is kept."""
    return LISTS / f"{stage}.json"


def listing(stage: str) -> dict[str, str]:
    """Every file that a stage runs or reads, from the root, and its sha256; sorted.

    Raises:
        OSError: no such stage.
        SyntaxError: one of its files is not Python.
    """
    files = set(code_files(ROOT / "stages" / f"{stage}.py"))

    for name, patterns in READ.items():
        if ROOT / name in files:
            files |= {path for pattern in patterns for path in ROOT.glob(pattern)}

    return hashes(sorted(files))


def check_code(stage: str) -> None:
    """Refuse a stage whose files are not those of its list: its result would be put down to them.

    Raises:
        ValueError: a file differs, is new or is gone; or there is no list.
    """
    path = list_of(stage)
    remedy = "run 'dvc repro code', or 'dvc repro' without --single-item"
    if not path.is_file():
        raise ValueError(f"{path} is missing, which lists the code of the stage: {remedy}")

    listed = read_json(path)
    actual = listing(stage)
    other = sorted(file for file in {*listed, *actual} if listed.get(file) != actual.get(file))

    if other:
        more = f" and {len(other) - 1} more" if other[1:] else ""
        raise ValueError(
            f"{other[0]}{more} changed after the stage code listed it in {path}: {remedy}"
        )
