"""Nets are found by the names of their cells."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.models import find as chosen
from tests.helpers.exports import CELL


def test_cells_have_short_names(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen.find("conv1-60k") == chosen.find(CELL) == chosen.find(f"data/{CELL}/")
    assert set(chosen.nets()) == {
        CELL,
        "hard/conv2-180k",
        *(f"teachers/00{i}" for i in range(4)),
        "ensemble/00",
        "ensemble/01",
    }

    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no finished nets under data: run 'dvc repro'"):
        chosen.find(CELL)
