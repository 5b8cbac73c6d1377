"""Tests of the sources of images; none of them uses the network or the user's own data."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMICNETS_OFFLINE", "1")
    monkeypatch.delenv("MIMICNETS_DATA", raising=False)
