"""scratch: copies on a machine's own disk are the shards they stand for."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from stages.store import scratch
from stages.store.epoch import read_epoch, read_targets
from stages.store.shards import images_hash, shard_path, write_images
from stages.store.tensors import read_tensors, write_tensors
from tests.helpers.stored import transfer_set


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return scratch.copies_in(str(tmp_path / "disk"))


def test_a_copy_is_made_once_and_read_in_place_of_the_shard(
    tmp_path: Path, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    views, folder = transfer_set(tmp_path), tmp_path / "augmented"
    assert copies.parent == tmp_path / "disk" and copies.stat().st_mode & 0o777 == 0o700
    first = scratch.read_copy(copies, folder, 1, None)
    monkeypatch.setattr(scratch, "read_epoch", lambda *_: pytest.fail("the shard was read again"))
    second, plain = scratch.read_copy(copies, folder, 1, None), read_epoch(folder, 1, None)
    for shard in (first, second):
        assert np.array_equal(shard.images, views[1]) and shard.images_sha256 == plain.images_sha256
        assert np.array_equal(shard.labels, plain.labels) and shard.labels.dtype == np.int64
        assert read_targets(tmp_path / "logits", 1, shard).shape == (5, 3)
    assert [file.name for file in copies.glob("*.safetensors")] == [
        scratch.copy_path(copies, folder, 1).name
    ]


def test_a_copy_of_draws_holds_the_images(tmp_path: Path, copies: Path) -> None:
    views, folder, calls = transfer_set(tmp_path, keep_images=False), tmp_path / "augmented", []

    def rebuild(index: np.ndarray, draws: np.ndarray) -> np.ndarray:
        calls.append(1)
        return views[0]

    for _ in range(2):
        assert np.array_equal(scratch.read_copy(copies, folder, 0, rebuild).images, views[0])
    assert len(calls) == 1
    with pytest.raises(ValueError, match="epoch-001.*made from its draws have another hash"):
        scratch.read_copy(copies, folder, 1, rebuild)
    assert not scratch.copy_path(copies, folder, 1).exists()


@pytest.mark.parametrize("what", ["torn", "flipped", "other images", "other arrays"])
def test_a_damaged_copy_is_made_again(tmp_path: Path, copies: Path, what: str) -> None:
    views, folder = transfer_set(tmp_path), tmp_path / "augmented"
    scratch.read_copy(copies, folder, 0, None)
    path = scratch.copy_path(copies, folder, 0)
    whole = path.read_bytes()
    if what == "torn":
        path.write_bytes(whole[:-9])
    elif what == "flipped":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif what == "other images":
        scratch.read_copy(copies, folder, 1, None)
        scratch.copy_path(copies, folder, 1).rename(path)
    else:
        write_tensors(path, {"images": views[0]}, {"images_sha256": images_hash(views[0])})
    assert np.array_equal(scratch.read_copy(copies, folder, 0, None).images, views[0])
    assert path.read_bytes() == whole


def test_a_transfer_set_made_again_has_copies_of_its_own(tmp_path: Path, copies: Path) -> None:
    before = transfer_set(tmp_path)[0]
    scratch.read_copy(copies, tmp_path / "augmented", 0, None)
    folder = tmp_path / "augmented"
    other = before[::-1].copy()
    arrays = read_tensors(shard_path(folder, 0))[0]
    write_images(
        folder,
        0,
        images=other,
        index=arrays["index"],
        labels=arrays["labels"],
        draws=arrays["draws"],
        keep_images=True,
    )
    assert np.array_equal(scratch.read_copy(copies, folder, 0, None).images, other)
    write_images(
        folder,
        0,
        images=other,
        index=arrays["index"],
        labels=np.full(5, 7),
        draws=arrays["draws"],
        keep_images=True,
    )
    assert set(scratch.read_copy(copies, folder, 0, None).labels) == {7}


def test_bad_scratch_folders_are_one_line(
    tmp_path: Path, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        OSError, match=r"execution.scratch is .*file and .* cannot be made .*or set it to null"
    ):
        scratch.copies_in(str(tmp_path / "file"))
    transfer_set(tmp_path)
    folder, free = tmp_path / "augmented", shutil.disk_usage(copies).free
    scratch.read_copy(copies, folder, 0, None)
    scratch.check_scratch(copies, folder, range(1), free + 1)
    with pytest.raises(
        OSError,
        match="a copy of the transfer set needs .* delete those of earlier runs in .*scratch",
    ):
        scratch.check_scratch(copies, folder, range(2), 2 * free)
    monkeypatch.setattr(scratch.os, "getuid", lambda: 12345)
    (tmp_path / "disk/mimicnets-12345").mkdir()
    with pytest.raises(OSError, match="mimicnets-12345 there is not this user's"):
        scratch.copies_in(str(tmp_path / "disk"))
