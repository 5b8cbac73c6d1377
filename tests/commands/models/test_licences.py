"""Licences of the data."""

from __future__ import annotations

from commands.models.licences import UNKNOWN, licence


def test_licences_are_said_or_said_to_be_unknown() -> None:
    for source in ("parquet", "image-folder", "npz"):
        assert licence(source) == UNKNOWN and "not known to this project" in UNKNOWN
    assert "names no licence" in licence("cifar10") and "non-commercial" in licence("svhn")
