"""Manifests of data folders: what they hold, with the sha256 of every file."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.store.atomic import read_json, write_json


def folder_hash(folder: Path) -> str:
    """sha256 of a data folder's manifest, which lists the digest of every file in it.

    Raises:
        FileNotFoundError: the folder or its manifest is missing.
    """
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise FileNotFoundError(
            f"{manifest} not found: run 'dvc repro' or 'dvc pull' to have {folder} made"
        )
    return hashlib.sha256(manifest.read_bytes()).hexdigest()


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write manifest.json: `facts` and the sha256 of every other file of `folder`."""
    files = {
        path.relative_to(folder).as_posix(): file_hash(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }
    write_json(folder / "manifest.json", {**facts, "files": files})


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a data folder."""
    folder_hash(folder)
    manifest = read_json(folder / "manifest.json")
    if not isinstance(manifest, dict):
        raise ValueError(
            f"{folder / 'manifest.json'} is no manifest: delete {folder} and run 'dvc repro' again"
        )
    return manifest


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fresh_folder(folder: Path) -> Path:
    """An empty output folder; DVC removes outputs before a stage runs, a user may not have."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
