"""The examples in docstrings of stages/ and commands/ run and give what they show."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tools.pocket import ROOT

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("stages", "commands")
    for path in (ROOT / folder).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
CENTRAL = {
    "stages.search.space": "Space",
    "stages.search.journal": "Journal",
    "stages.fit.schedule": "Schedule",
    "stages.fit.feed": "Feed",
    "stages.nets.families": "Plan",
    "stages.nets.layers": "chain",
    "stages.images.views": "Views",
}


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0 and result.failed == 0


@pytest.mark.parametrize("name", CENTRAL)
def test_central_classes_have_an_example(name: str) -> None:
    central = getattr(importlib.import_module(name), CENTRAL[name])
    assert ">>> " in central.__doc__
