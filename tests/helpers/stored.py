"""Stored files for tests, and what looks at them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from stages.store.manifest import write_manifest
from stages.store.shards import images_hash, write_images, write_logits
from tests.helpers.processes import PATIENCE
from tools.pocket import ROOT


def python(code: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run `code` in a new interpreter that sees the project."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def transfer_set(folder: Path, epochs: int = 2, keep_images: bool = True) -> list[np.ndarray]:
    """Image shards under `folder`/augmented and their logits; returns the images."""
    rng = np.random.default_rng(0)
    views = []
    for epoch in range(epochs):
        images = rng.integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
        write_images(
            folder / "augmented",
            epoch,
            images=images,
            index=rng.permutation(5),
            labels=np.arange(5),
            draws=rng.integers(0, 2**16, (5, 9), dtype=np.uint16),
            keep_images=keep_images,
        )
        logits = rng.normal(size=(5, 3)).astype(np.float32)
        write_logits(folder / "logits", epoch, logits, images_hash(images))
        views.append(images)
    return views


def data_folder(root: Path) -> Path:
    """A data folder with a manifest."""
    folder = root / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"a")
    (folder / "deep" / "b.bin").write_bytes(b"b")
    write_manifest(folder, {"images": 2})
    return folder
