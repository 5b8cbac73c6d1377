"""Manifests of data folders: what they hold, with the sha256 of every file."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from stages.store.atomic import read_json, write_json

Contents = TypeVar("Contents")


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


def write_manifest(folder: Path, contents: Mapping[str, Any]) -> None:
    """Write manifest.json: `contents` and the sha256 of every other file of `folder`."""
    files = {
        path.relative_to(folder).as_posix(): file_hash(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }

    write_json(folder / "manifest.json", {**contents, "files": files})


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a data folder, with the sha256 of its `files`.

    Raises:
        FileNotFoundError: the folder or its manifest is missing.
        ValueError: it is not JSON, or not a mapping.
    """
    folder_hash(folder)
    manifest = read_json(folder / "manifest.json")

    if not isinstance(manifest, dict):
        raise ValueError(
            f"{folder / 'manifest.json'} is not a manifest: delete {folder} and run 'dvc repro' again"
        )

    return manifest


def read_manifest_as(kind: type[Contents], folder: Path) -> Contents:
    """The manifest of a data folder without its `files`, as a dataclass.

    Args:
        kind: a dataclass by `settings.read.strict`, with a field for each key.

    Raises:
        FileNotFoundError: the folder or its manifest is missing.
        ValueError: a key is missing, unknown or of another type.
    """
    contents = read_manifest(folder)
    contents.pop("files", None)

    try:
        return TypeAdapter(kind).validate_json(json.dumps(contents), strict=True)
    except (ValidationError, RecursionError) as error:
        raise ValueError(
            f"{folder / 'manifest.json'} is not the manifest that belongs there "
            f"({_first_fault(error)}): delete {folder} and run 'dvc repro' again"
        ) from None


def _first_fault(error: ValidationError | RecursionError) -> str:
    """The first key that is wrong, and what is wrong with it."""
    if isinstance(error, RecursionError):
        return "nested too deeply"

    fault = error.errors()[0]
    key = ".".join(map(str, fault["loc"])) or "all of it"
    return f"{key}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


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
