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
CENTRAL = ("stages.fit.feed", "stages.fit.schedule", "stages.images.views")


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0 and result.failed == 0


def test_central_classes_have_an_example() -> None:
    assert set(CENTRAL) <= set(MODULES)
