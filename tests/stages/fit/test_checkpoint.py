"""checkpoint: a damaged state falls back to the one before it."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from stages.fit.checkpoint import Checkpoint


def test_checkpoint_falls_back_to_the_previous_file(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c.safetensors", seconds=0)
    assert checkpoint.load() is None
    for epoch in range(1, 4):
        checkpoint.save(
            [0.1 * epoch] * epoch, [1.0 / 3] * epoch, {"net.w": torch.full((2,), float(epoch))}
        )
    saved = checkpoint.load()
    assert saved.errors == [0.1 * 3] * 3 and saved.losses == [1.0 / 3] * 3
    assert torch.equal(saved.tensors["net.w"], torch.full((2,), 3.0))
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-1])
    assert len(checkpoint.load().errors) == 2
    # the damaged file must not take the place of the whole one
    checkpoint.save([0.5] * 9, [0.5] * 9, {"net.w": torch.zeros(2)})
    checkpoint.path.unlink()
    assert len(checkpoint.load().errors) == 2
    checkpoint.previous.write_bytes(b"")
    assert checkpoint.load() is None
    checkpoint.save([0.5], [0.5], {"net.w": torch.zeros(2)})
    checkpoint.clear()
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_is_due_after_its_seconds(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c", seconds=60)
    now = time.monotonic()
    assert not checkpoint.due(now + 30) and checkpoint.due(now + 61)
    checkpoint.save([], [], {})
    assert not checkpoint.due(time.monotonic() + 30)
