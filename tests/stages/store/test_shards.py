"""shards: images are paired with their own logits, and sizes are known beforehand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stages.settings.inputs import Inputs
from stages.store import shards
from stages.store.epoch import read_epoch, read_targets
from stages.store.shards import check_pairs, shard_path
from stages.store.tensors import write_tensors
from tests.helpers.processes import PATIENCE
from tests.helpers.stored import transfer_set


def test_logits_of_other_images_are_refused(tmp_path: Path) -> None:
    transfer_set(tmp_path)
    first, second = (shard_path(tmp_path / "logits", i) for i in range(2))
    first.write_bytes(second.read_bytes())
    shard = read_epoch(tmp_path / "augmented", 0, None)
    with pytest.raises(ValueError, match="epoch-000.*logits of other images.*dvc repro label"):
        read_targets(tmp_path / "logits", 0, shard)
    with pytest.raises(ValueError, match="epoch-000.*logits of other images"):
        check_pairs(tmp_path / "augmented", tmp_path / "logits", 2)


def test_shards_under_another_epochs_name_are_refused(tmp_path: Path) -> None:
    """Also when their logits were moved along, so that the pair still matches."""
    transfer_set(tmp_path)
    for folder in ("augmented", "logits"):
        first, second = (shard_path(tmp_path / folder, i) for i in range(2))
        first.write_bytes(second.read_bytes())
    with pytest.raises(ValueError, match="epoch-000.*holds epoch 1"):
        read_epoch(tmp_path / "augmented", 0, None)
    with pytest.raises(ValueError, match="epoch-000.*holds epoch 1"):
        check_pairs(tmp_path / "augmented", tmp_path / "logits", 2)


def test_missing_damaged_and_swapped_shards(tmp_path: Path) -> None:
    transfer_set(tmp_path)
    with pytest.raises(FileNotFoundError, match="epoch-002"):
        check_pairs(tmp_path / "augmented", tmp_path / "logits", 3)
    with pytest.raises(ValueError, match="epoch-000.*no image shard"):
        read_epoch(tmp_path / "logits", 0, None)
    path = shard_path(tmp_path / "augmented", 0)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="epoch-000.*damaged"):
        read_epoch(tmp_path / "augmented", 0, None)
    write_tensors(path, {"x": np.zeros(1)}, {})
    with pytest.raises(ValueError, match="epoch-000"):
        check_pairs(tmp_path / "augmented", tmp_path / "logits", 2)


@pytest.mark.parametrize("keep", [True, False])
def test_sizes_are_known_before_writing(tmp_path: Path, keep: bool) -> None:
    index, draws = np.arange(40, dtype=np.int32), np.zeros((40, 9), np.uint16)
    images = np.zeros((40, 8, 8, 3), np.uint8)
    shards.write_images(
        tmp_path, 0, images=images, index=index, labels=index, draws=draws, keep_images=keep
    )
    head = shards.shard_path(tmp_path, 0).stat().st_size - shards.image_shard_bytes(
        40, Inputs.images(8).bytes, keep
    )
    assert 0 < head < 1000
    shards.write_logits(tmp_path, 1, np.zeros((40, 10), np.float32), "ab" * 32)
    assert (
        0 < shards.shard_path(tmp_path, 1).stat().st_size - shards.logits_shard_bytes(40, 10) < 1000
    )


SEVERAL = """
import os, sys, time
from pathlib import Path
import numpy as np
from stages.store.shards import read_or_make
folder, start = Path(sys.argv[1]), Path(sys.argv[2])
(start / str(os.getpid())).touch()
while len(list(start.iterdir())) < 3:
    time.sleep(0.001)
for epoch in range(40):
    def make():
        with (folder.parent / "made").open("a") as file:
            file.write(f"{epoch}\\n")
        return np.full((5, 3), epoch, np.float32)
    assert (read_or_make(folder, epoch, "ab" * 32, make) == epoch).all()
"""


def test_several_processes_leave_each_other_their_logits(tmp_path: Path) -> None:
    """Each epoch is made once; a writer never takes another's unfinished file for a torn one."""
    (start := tmp_path / "start").mkdir()
    words = [sys.executable, "-c", SEVERAL, str(tmp_path / "labels"), str(start)]
    running = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ends = [process.communicate(timeout=PATIENCE)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], "".join(ends)
    assert sorted(map(int, (tmp_path / "made").read_text().split())) == list(range(40))


def test_damaged_logits_are_made_again_and_others_kept(tmp_path: Path) -> None:
    first = shards.read_or_make(tmp_path, 0, "ab" * 32, lambda: np.zeros((2, 3), np.float32))
    assert (
        not first.any() and not shards.read_or_make(tmp_path, 0, "ab" * 32, lambda: first + 1).any()
    )
    shard_path(tmp_path, 0).write_bytes(b"torn")
    assert shards.read_or_make(tmp_path, 0, "ab" * 32, lambda: first + 1).all()
    assert not shards.read_or_make(tmp_path, 0, "cd" * 32, lambda: first).any(), (
        "those of other images do not count"
    )
