"""rebuild: images from draws are the views that augment made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from stages.images.draws import draw, order
from stages.images.hsv import Jitter
from stages.images.views import Views
from stages.settings.common import HSV
from stages.store.prepared import write_split
from stages.store.transfer_manifest import TransferManifest
from stages.transfer import rebuild
from stages.transfer.rebuild import rebuilder

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

    def read(folder: Path) -> tuple[np.ndarray, np.ndarray, dict[str, object]]:
        reads.append(folder)
        return originals, np.zeros(6, np.int64), {}

    monkeypatch.setattr(rebuild, "read_train", read)
    write_manifest_of(tmp_path / "augmented")
    again = rebuilder(tmp_path / "prepared", tmp_path / "augmented", CPU)
    assert again is not None and reads == []
    np.testing.assert_array_equal(again(INDEX, DRAWS), again(INDEX, DRAWS))
    assert reads == [tmp_path / "prepared"]


def test_stored_images_are_not_rebuilt(tmp_path: Path) -> None:
    write_manifest_of(tmp_path / "augmented", "images")
    assert rebuilder(tmp_path / "prepared", tmp_path / "augmented", CPU) is None
