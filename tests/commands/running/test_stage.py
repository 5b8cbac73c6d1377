"""stage: what is set up before a stage runs, below DVC and without it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from commands.running import stage, unchanged
from stages.runtime import work
from stages.trials import earlier


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Stages that do nothing; what was set up when they ran."""
    found: dict[str, Any] = {}
    before = signal.getsignal(signal.SIGTERM)
    beginning = SimpleNamespace(check=lambda: None)
    monkeypatch.setattr(unchanged.Beginning, "now", lambda *words: beginning)
    monkeypatch.setattr(stage, "_look_at_params", lambda *words: found.update(looked=words))
    monkeypatch.setattr(earlier, "find", earlier.find)
    monkeypatch.setattr(work, "before_done", work.before_done)
    monkeypatch.setattr(sys, "argv", ["x"])
    monkeypatch.setenv("DVC_STAGE", "students@conv1-60k")

    nothing = earlier.find
    module = SimpleNamespace(main=lambda: found.update(finds=earlier.find is not nothing))
    monkeypatch.setattr(stage.importlib, "import_module", lambda name: module)
    yield found
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("name", "dvc", "finds"),
    [
        ("students", "dvc repro", True),
        ("teachers", "dvc exp run -S seed=1", True),
        ("students", "dvc repro --force", False),
        ("students", "dvc repro -sf", False),
        ("label", "dvc repro", False),
    ],
)
def test_searches_find_earlier_trials_unless_all_is_to_be_made_anew(
    seen: dict[str, Any], name: str, dvc: str, finds: bool
) -> None:
    stage.run([name], dvc.split())
    assert seen == {"looked": (name, dvc.split()), "finds": finds}
