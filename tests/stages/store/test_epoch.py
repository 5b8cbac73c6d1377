"""epoch: images and targets of an epoch, also from draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.store import shards
from stages.store.epoch import read_epoch, read_targets
from stages.store.shards import check_pairs, read_logits
from tests.helpers.stored import transfer_set


def test_epoch_and_its_logits_come_back(tmp_path: Path) -> None:
    views = transfer_set(tmp_path)
    check_pairs(tmp_path / "augmented", tmp_path / "logits", 2)
    for epoch, images in enumerate(views):
        shard = read_epoch(tmp_path / "augmented", epoch, None)
        assert np.array_equal(shard.images, images)
        assert shard.labels.dtype == np.int64 and shard.labels.tolist() == [0, 1, 2, 3, 4]
        targets = read_targets(tmp_path / "logits", epoch, shard)
        assert targets.shape == (5, 3) and targets.dtype == np.float32


def test_images_are_made_again_from_their_draws(tmp_path: Path) -> None:
    views = transfer_set(tmp_path, keep_images=False)
    assert "images" not in shards.read_images(tmp_path / "augmented", 0)[0]
    seen = []

    def rebuild(index: np.ndarray, draws: np.ndarray) -> np.ndarray:
        seen.append((index.dtype, index.shape, draws.dtype, draws.shape))
        return views[1]

    shard = read_epoch(tmp_path / "augmented", 1, rebuild)
    assert seen == [(np.int32, (5,), np.uint16, (5, 9))]
    assert np.array_equal(shard.images, views[1])
    assert read_logits(tmp_path / "logits", 1, shard.images_sha256).shape == (5, 3)
    with pytest.raises(ValueError, match="epoch-000.*another hash"):
        read_epoch(tmp_path / "augmented", 0, rebuild)
    with pytest.raises(ValueError, match="epoch-000.*draws only"):
        read_epoch(tmp_path / "augmented", 0, None)
