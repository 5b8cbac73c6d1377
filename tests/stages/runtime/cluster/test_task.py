"""What a node of a cluster must have."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.runtime.cluster import task as cluster_task


def checked(here: Path, **changes: Any) -> str | None:
    """What a node that is this machine says of a driver's project."""
    (here / "probe").touch()
    project = dataclasses.replace(cluster_task.project_here(), **changes)
    return cluster_task.check(project, "10.0.0.7", here / "probe")


def test_a_node_with_other_data_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    folders = [Path("data/prepared"), Path("data/logits")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(f'{{"folder": "{folder}"}}')
    data = cluster_task.project_here(folders).data
    assert list(data) == ["data/prepared", "data/logits"] and len(set(data.values())) == 2
    assert checked(tmp_path, data=data) is None
    (folders[1] / "manifest.json").write_text("{}")
    said = checked(tmp_path, data=data)
    assert said and said.startswith(
        f"node 10.0.0.7 has other data in {tmp_path}/data/logits than the driver"
    )
    (folders[1] / "manifest.json").unlink()
    said = checked(tmp_path, data=data)
    assert said and "digest is none there" in said


def test_a_node_that_cannot_use_scratch_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert (
        checked(tmp_path, scratch=str(tmp_path / "new/disk")) is None
        and (tmp_path / "new/disk").is_dir()
    )
    (tmp_path / "file").touch()
    said = checked(tmp_path, scratch=str(tmp_path / "file/disk"))
    assert said and "which node 10.0.0.7 cannot use" in said and said.endswith("or set it to null")
    monkeypatch.setattr("os.access", lambda *_: False)
    said = checked(tmp_path, scratch=str(tmp_path / "new"))
    assert said and "(it may not be written to)" in said
