"""ensemble_manifest: the contract between ensemble and whoever reads its members."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stages.store.ensemble_manifest import EnsembleManifest, member_path
from stages.store.manifest import write_manifest


def test_the_file_is_as_it_has_always_been(tmp_path: Path) -> None:
    manifest = EnsembleManifest((7, 2), (0.5, 0.75))
    manifest.write(tmp_path)
    text = (tmp_path / "manifest.json").read_text()
    assert list(json.loads(text)) == ["members", "validation_accuracy", "files"]
    assert json.loads(text)["members"] == [7, 2]
    assert EnsembleManifest.read(tmp_path) == manifest


def test_the_best_of_a_sweep_have_no_path_of_choices(tmp_path: Path) -> None:
    EnsembleManifest((7, 2)).write(tmp_path)
    contents = json.loads((tmp_path / "manifest.json").read_text())
    assert contents == {"members": [7, 2], "files": {}}
    assert EnsembleManifest.read(tmp_path) == EnsembleManifest((7, 2))


def test_members_are_numbers_of_trials(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"members": ["first"]})
    with pytest.raises(ValueError, match=r"members.0: input should be a valid integer"):
        EnsembleManifest.read(tmp_path)


def test_members_are_files_by_place() -> None:
    assert member_path(Path("data/ensemble"), 3) == Path("data/ensemble/member-03.safetensors")
