"""rebuild: images from draws are the views that augment made."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from stages.fit.evaluate import mean_logits
from stages.fit.feed import Feed
from stages.images.draws import draw, order
from stages.images.hsv import Jitter
from stages.images.views import Views
from stages.settings.common import HSV
from stages.store import maps
from stages.store.epoch import read_epoch
from stages.store.maps import file_of
from stages.store.pieces import Chosen, Pieces
from stages.store.prepared import write_split
from stages.store.scratch import copies_in, read_copy
from stages.store.shards import write_images
from stages.store.transfer_manifest import TransferManifest
from stages.transfer import rebuild
from stages.transfer.rebuild import rebuilder
from tests.helpers.small_runs import make_net

CPU = torch.device("cpu")
HSV_RANGES = HSV(D_h=0.06, D_s=0.26, D_v=0.20, A_s=0.21, A_v=0.13)
INDEX = order(0, 0, "transfer", 6)
DRAWS = draw(0, 0, "transfer", 6, size_px=8, crop_min=6, mirror=True)


@pytest.fixture
def originals(tmp_path: Path) -> np.ndarray:
    """Images of data/prepared, under `tmp_path`."""
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    write_split(tmp_path / "prepared", "train", images, np.zeros(6, np.uint8), {"classes": ["a"]})
    return images


def write_manifest_of(folder: Path, store: Literal["images", "draws"] = "draws") -> Path:
    """The manifest of a transfer set of `originals`; its path."""
    TransferManifest(epochs=1, store=store, hsv=HSV_RANGES, crop_min_px=6, images=6).write(folder)
    return folder / "manifest.json"


def test_a_manifest_with_its_keys_in_another_order_gives_the_same_views(
    tmp_path: Path, originals: np.ndarray
) -> None:
    path = write_manifest_of(tmp_path / "augmented")
    contents = json.loads(path.read_text())
    shuffled = {**contents, "hsv": dict(reversed(contents["hsv"].items()))}
    assert list(shuffled["hsv"]) != list(contents["hsv"])
    path.write_text(json.dumps(dict(reversed(shuffled.items()))))

    again = rebuilder(tmp_path / "prepared", tmp_path / "augmented", CPU)
    assert again is not None
    expected = Views(originals, CPU, Jitter(0.06, 0.26, 0.20, 0.21, 0.13), 6)(INDEX, DRAWS)
    np.testing.assert_array_equal(again(INDEX, DRAWS), expected.numpy())


def test_originals_are_read_once_and_only_when_needed(
    tmp_path: Path, originals: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []

    def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
        reads.append(folder)
        return originals, np.zeros(6, np.int64)

    monkeypatch.setattr(rebuild, "read_transfer", read)
    write_manifest_of(tmp_path / "augmented")
    again = rebuilder(tmp_path / "prepared", tmp_path / "augmented", CPU)
    assert again is not None and reads == []
    np.testing.assert_array_equal(again(INDEX, DRAWS), again(INDEX, DRAWS))
    assert reads == [tmp_path / "prepared"]


def test_stored_images_are_not_rebuilt(tmp_path: Path) -> None:
    write_manifest_of(tmp_path / "augmented", "images")
    assert rebuilder(tmp_path / "prepared", tmp_path / "augmented", CPU) is None


@pytest.mark.parametrize("count", [1, 2, 5])
def test_many_images_come_back_in_pieces(
    tmp_path: Path, originals: np.ndarray, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    images = Views(originals, CPU, Jitter(0.06, 0.26, 0.20, 0.21, 0.13), 6)(INDEX, DRAWS).numpy()
    folder = tmp_path / "augmented"
    labels = np.arange(6)
    write_images(
        folder, 0, images=images, index=INDEX, labels=labels, draws=DRAWS, keep_images=False
    )
    write_manifest_of(folder)
    again = rebuilder(tmp_path / "prepared", folder, CPU)
    monkeypatch.setattr(maps, "PART_BYTES", 192)

    shard = read_epoch(folder, 0, again, count)
    assert isinstance(shard.images, Pieces) and shard.images.shape == images.shape
    for _ in range(2):
        pieces = list(shard.images.parts)
        assert [len(piece) for piece in pieces[:-1]] == [count] * (len(pieces) - 1)
        np.testing.assert_array_equal(np.concatenate(pieces), images)
    np.testing.assert_array_equal(shard.images.whole(), images)

    whole = read_epoch(folder, 0, again)
    assert isinstance(whole.images, np.ndarray)
    np.testing.assert_array_equal(whole.images, images)

    # A copy on the machine's own disk is made piece by piece, and is mapped then.
    copied = read_copy(copies_in(str(tmp_path)), folder, 0, again)
    assert isinstance(copied.images, np.ndarray) and file_of(copied.images) is not None
    np.testing.assert_array_equal(copied.images, images)


def test_images_in_pieces_with_another_hash_are_refused_after_the_last_one(
    tmp_path: Path, originals: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "augmented"
    labels = np.arange(6)
    write_images(
        folder, 0, images=originals, index=INDEX, labels=labels, draws=DRAWS, keep_images=False
    )
    write_manifest_of(folder)
    again = rebuilder(tmp_path / "prepared", folder, CPU)
    monkeypatch.setattr(maps, "PART_BYTES", 192)

    shard = read_epoch(folder, 0, again, 1)
    assert isinstance(shard.images, Pieces)
    taken = iter(shard.images.parts)
    for _ in range(6):
        next(taken)
    with pytest.raises(ValueError, match="epoch-000.*another hash.*dvc repro augment"):
        next(taken)
    with pytest.raises(ValueError, match="another hash"):
        read_epoch(folder, 0, again)

    copies = copies_in(str(tmp_path))
    with pytest.raises(ValueError, match="another hash"):
        read_copy(copies, folder, 0, again)
    assert not list(copies.glob("*.safetensors"))


def test_a_feed_and_an_ensemble_take_pieces(device: torch.device) -> None:
    images = np.random.default_rng(0).integers(0, 256, (23, 6, 6, 3), dtype=np.uint8)
    targets = np.arange(23)
    parts = [images[:8], images[8:16], images[16:]]
    pieces = Pieces(images.shape, images.dtype, parts)

    for resident in (0, 10**9):
        with Feed(lambda place: (pieces, targets), 1, device, resident) as feed:
            for epoch in range(2):
                found = list(feed(epoch))
                assert len(found) == (3 if device.type == "cpu" and not resident else 1)
                joined = [torch.cat(each).cpu().numpy() for each in zip(*found, strict=True)]
                np.testing.assert_array_equal(joined[0], images)
                np.testing.assert_array_equal(joined[1], targets)

    # Some of them, as a net on true labels takes them where others have no label.
    index = np.array([0, 3, 9, 22])
    for images_of in (pieces, images):
        for resident in (0, 10**9):
            read = partial(Chosen, images_of, targets, index)
            with Feed(lambda place, read=read: read(), 1, device, resident) as feed:
                for epoch in range(2):
                    found = list(feed(epoch))
                    lazy = device.type == "cpu" and not resident and images_of is pieces
                    assert len(found) == (3 if lazy else 1)
                    joined = [torch.cat(each).cpu().numpy() for each in zip(*found, strict=True)]
                    np.testing.assert_array_equal(joined[0], images[index])
                    np.testing.assert_array_equal(joined[1], targets[index])

    nets = [make_net(device, seed=seed) for seed in range(2)]
    wanted = mean_logits(nets, images, 4, "fp32", [2])[2]
    np.testing.assert_array_equal(mean_logits(nets, pieces, 4, "fp32", [2])[2], wanted)
