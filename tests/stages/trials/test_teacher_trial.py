"""teacher_trial: epochs of augmented images do not depend on the parts in which they are made."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stages.images import views
from stages.settings.teachers import OF_IMAGES
from stages.store import maps
from stages.store.prepared import write_split
from stages.trials.teacher_trial import augmented_epochs

JITTER = dict(zip(OF_IMAGES.jitter, (0.06, 0.26, 0.2, 0.21, 0.13), strict=True))


def job_of(folder: Path) -> SimpleNamespace:
    """What the epochs of a teacher need, with 37 images of 8 px."""
    images = np.random.default_rng(0).integers(0, 256, (37, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(37, dtype=np.uint8)
    write_split(folder, "train", images, labels, {"classes": ["a"]})
    settings = SimpleNamespace(crop_min_px=6, mirror=True)
    return SimpleNamespace(prepared=folder, names=OF_IMAGES, images=settings)


def test_an_epoch_in_parts_is_the_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    job = job_of(tmp_path)
    whole = augmented_epochs(job, JITTER, 5, device)  # type: ignore[arg-type]
    monkeypatch.setattr(views.Views.__init__, "__defaults__", (6, 0, None))
    monkeypatch.setattr(maps, "PART_BYTES", 10 * 8 * 8 * 3)
    in_parts = augmented_epochs(job, JITTER, 5, device)  # type: ignore[arg-type]

    for epoch in (0, 1):
        ((images, labels),) = whole(epoch)
        pieces = list(in_parts(epoch))
        assert [len(piece) for piece, _ in pieces] == [10, 10, 10, 7]
        assert torch.equal(torch.cat([piece for piece, _ in pieces]), images)
        assert torch.equal(torch.cat([part for _, part in pieces]), labels)
        assert sorted(labels.tolist()) == list(range(37))
