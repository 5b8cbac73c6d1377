"""disk_space: what does not fit is refused."""

from __future__ import annotations

import types
from pathlib import Path

import pytest

from stages.store import disk_space as space


def test_what_does_not_fit_is_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 5_000_000_000
    monkeypatch.setattr(space.shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=free))
    space.check_space(tmp_path, free, "the transfer set", "lower augment.epochs")
    with pytest.raises(
        OSError, match=r"the transfer set needs 19.9 GB and 5 GB are free .* lower augment.epochs"
    ):
        space.check_space(tmp_path, 19_900_000_000, "the transfer set", "lower augment.epochs")
