"""prepared: splits come back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.settings.inputs import Inputs
from stages.store.manifest import write_manifest
from stages.store.maps import file_of
from stages.store.pieces import Pieces
from stages.store.prepared import PreparedManifest, read_train, write_split
from tests.helpers.mapped import resident


def test_prepared_split_round_trip(tmp_path: Path) -> None:
    images = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    write_split(tmp_path, "train", images, np.array([300, 1], dtype=np.uint16), {"classes": ["a"]})
    found, labels, header = read_train(tmp_path)
    assert labels.dtype == np.int64 and labels.tolist() == [300, 1]
    assert np.array_equal(found, images) and header == {"classes": ["a"]}


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_split_from_a_memory_map_or_in_pieces_has_the_same_bytes(
    tmp_path: Path, kind: type
) -> None:
    shape = (50, 8, 8, 3)
    images = np.random.default_rng(0).integers(0, 256, shape).astype(kind)
    labels = np.arange(50, dtype=np.uint16)
    images.tofile(tmp_path / "raw")
    sources = {
        "array": images,
        "map": np.memmap(tmp_path / "raw", kind, "r", shape=shape),
        "pieces": Pieces(shape, images.dtype, np.array_split(images, 7)),
    }

    for name, source in sources.items():
        write_split(tmp_path / name, "train", source, labels, {"classes": ["a"]})
    written = {(tmp_path / name / "train.safetensors").read_bytes() for name in sources}
    assert len(written) == 1
    np.testing.assert_array_equal(read_train(tmp_path / "map")[0], images)


def test_a_split_is_read_as_a_memory_map(tmp_path: Path) -> None:
    images = np.ones((8000, 32, 32, 3), dtype=np.uint8)
    write_split(tmp_path, "train", images, np.zeros(8000, np.uint8), {"classes": ["a"]})
    found, labels, _ = read_train(tmp_path)
    assert file_of(found) is not None and not found.flags.writeable
    assert resident(tmp_path / "train.safetensors") < images.nbytes // 4
    labels[:] = 1  # these are the reader's own


def test_the_manifest_of_images_and_of_vectors(tmp_path: Path) -> None:
    counts = {"train": 6, "validation": 3, "test": 2}
    common = {"classes": ["cat", "dog"], "source": "cifar10"}

    write_manifest(tmp_path / "images", {**common, "size_px": 32, "images": counts})
    images = PreparedManifest.read(tmp_path / "images")
    assert (images.classes, images.source, images.images) == (("cat", "dog"), "cifar10", counts)
    assert (images.size_px, images.shape) == (32, None)
    assert images.inputs == Inputs.images(32)

    shape = {"size_px": None, "shape": [8, 8]}
    write_manifest(tmp_path / "vectors", {**common, **shape, "images": counts})
    vectors = PreparedManifest.read(tmp_path / "vectors")
    assert (vectors.size_px, vectors.shape) == (None, (8, 8))
    assert vectors.inputs == Inputs.vectors([8, 8])

    write_manifest(tmp_path / "other", {"members": [1]})
    with pytest.raises(ValueError, match="manifest.json is not the manifest that belongs there"):
        PreparedManifest.read(tmp_path / "other")
