"""augmented: shards do not depend on the parts in which they are made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stages.images import views
from stages.images.vectors import Vectors
from stages.settings.common import HSV, Images
from stages.settings.transfer import Augment
from stages.store import maps
from stages.store.prepared import write_split
from stages.store.shards import images_hash, read_images
from stages.transfer import augmented
from stages.transfer.augmented import is_whole, make_shards
from stages.transfer.epochs import EpochsJob
from tests.helpers.stored import sha256

JITTER = HSV(D_h=0.06, D_s=0.26, D_v=0.20, A_s=0.21, A_v=0.13)
OFF = HSV(D_h=0.0, D_s=0.0, D_v=0.0, A_s=0.0, A_v=0.0)


def job_of(folder: Path, store: str = "images", hsv: HSV = JITTER) -> EpochsJob:
    """Two epochs of 37 images of 8 px."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (37, 8, 8, 3), dtype=np.uint8)
    write_split(
        folder / "prepared", "train", images, np.arange(37, dtype=np.uint8), {"classes": ["a"]}
    )
    section = Augment(epochs=2, store=store, hsv=hsv)
    return EpochsJob(
        folder / "whole", folder / "prepared", 5, section, Images(crop_min_px=6, mirror=True), "cpu"
    )


def hashes(job: EpochsJob) -> list[str]:
    return [sha256(job.work / f"epoch-00{epoch}.safetensors") for epoch in (0, 1)]


@pytest.mark.parametrize("store", ["images", "draws"])
@pytest.mark.parametrize("hsv", [JITTER, OFF])
def test_parts_do_not_change_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, hsv: HSV
) -> None:
    whole = job_of(tmp_path, store, hsv)
    make_shards(whole, [0, 1])

    # Parts of one and of five images, read from the file for each chunk.
    monkeypatch.setattr(views.Views.__init__, "__defaults__", (6, 0, None))
    for images in (1, 5):
        monkeypatch.setattr(maps, "PART_BYTES", images * 8 * 8 * 3)
        in_parts = replace(whole, work=tmp_path / f"{images}")
        make_shards(in_parts, [0, 1])
        assert hashes(in_parts) == hashes(whole)


def test_epochs_that_are_there_are_kept_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(tmp_path)
    make_shards(job, [0, 1])
    before = hashes(job)

    path = job.work / "epoch-000.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    kept = (job.work / "epoch-001.safetensors").stat().st_mtime_ns
    assert not is_whole(job.work, 0) and is_whole(job.work, 1)

    done: list[int] = []
    monkeypatch.setattr(maps, "PART_BYTES", 1000)
    make_shards(job, [0, 1], lambda: done.append(1))
    assert len(done) == 2 and hashes(job) == before
    assert (job.work / "epoch-001.safetensors").stat().st_mtime_ns == kept


def test_a_failure_in_the_middle_of_an_epoch_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(tmp_path)
    monkeypatch.setattr(maps, "PART_BYTES", 1000)
    calls: list[int] = []
    plain = views.Views.__call__

    def failing(self: views.Views, *arguments: np.ndarray) -> object:
        calls.append(1)
        if len(calls) == 12:
            raise MemoryError("asked for by a test")
        return plain(self, *arguments)

    monkeypatch.setattr(views.Views, "__call__", failing)
    with pytest.raises(MemoryError, match="asked for by a test"):
        make_shards(job, [0, 1])
    names = sorted(path.name for path in job.work.iterdir())
    assert names == ["epoch-000.safetensors"] and is_whole(job.work, 0)


def test_vectors_are_presented_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(37, 4, 3)).astype(np.float32)
    write_split(tmp_path / "prepared", "train", vectors, np.zeros(37, np.uint8), {"classes": ["a"]})
    section = Augment(epochs=2, store="images", hsv=OFF)
    job = EpochsJob(
        tmp_path / "work",
        tmp_path / "prepared",
        5,
        section,
        Images(crop_min_px=None, mirror=False),
        "cpu",
    )
    monkeypatch.setattr(maps, "PART_BYTES", 200)
    monkeypatch.setattr("stages.images.vectors.PART_BYTES", 0)
    make_shards(job, [0, 1])

    for epoch in (0, 1):
        arrays, header = read_images(job.work, epoch)
        np.testing.assert_array_equal(arrays["images"], vectors[arrays["index"]])
        assert header["images_sha256"] == images_hash(vectors[arrays["index"]])


def test_large_vectors_are_read_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    write_split(tmp_path, "train", vectors, np.zeros(9, np.uint8), {"classes": ["a"]})
    originals = augmented.read_transfer(tmp_path)[0]
    index = np.array([3, 0, 8, 3])
    draws = np.zeros((4, 9), np.uint16)

    kept = Vectors(originals, "cpu")(index, draws)
    monkeypatch.setattr("stages.images.vectors.PART_BYTES", 0)
    read = Vectors(originals, "cpu")(index, draws)
    np.testing.assert_array_equal(kept.numpy(), vectors[index])
    np.testing.assert_array_equal(read.numpy(), vectors[index])
