"""pieces: what is chosen of an epoch comes piece by piece, and never the epoch as a whole."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stages.store import maps
from stages.store.pieces import Array, Chosen, Pieces
from tests.helpers.mapped import mapped, resident

COUNT = 23
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4, 3), dtype=np.uint8)
LOGITS = np.random.default_rng(1).normal(size=(COUNT, 3)).astype(np.float32)
PARTS = [slice(0, 5), slice(5, 11), slice(11, 12), slice(12, COUNT)]


def as_it_is(folder: Path) -> Array:
    return IMAGES


def in_file(folder: Path) -> Array:
    return mapped(folder / "images.safetensors", IMAGES)


def made(folder: Path) -> Array:
    return Pieces(IMAGES.shape, IMAGES.dtype, [IMAGES[part] for part in PARTS])


@pytest.mark.parametrize("kind", [as_it_is, in_file, made])
@pytest.mark.parametrize("index", [[0], [22], [0, 1, 5, 6, 10, 12, 22], range(5, 12), range(COUNT)])
def test_chosen_rows_are_those_of_the_whole(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: Callable[[Path], Array],
    index: list[int] | range,
) -> None:
    monkeypatch.setattr(maps, "PART_BYTES", 3 * IMAGES[0].nbytes)
    rows = np.array(index)

    for targets in (LOGITS, mapped(tmp_path / "logits.safetensors", LOGITS), np.arange(COUNT)):
        chosen = Chosen(kind(tmp_path), targets, rows)
        assert chosen.nbytes == IMAGES[rows].nbytes + targets[rows].nbytes
        assert chosen.many == (kind is made or len(rows) > 3)

        for _ in range(2):  # in every epoch that uses it
            pieces = list(chosen.pieces())
            assert all(len(images) == len(of_them) > 0 for images, of_them in pieces)
            assert kind is made or max(len(images) for images, _ in pieces) <= 3
            for found in (map(np.concatenate, zip(*pieces, strict=True)), chosen.whole()):
                images, of_them = found
                np.testing.assert_array_equal(images, IMAGES[rows])
                np.testing.assert_array_equal(of_them, targets[rows])


def test_pieces_of_which_none_is_chosen_are_made_all_the_same() -> None:
    """Behind the last one the hash of all is verified."""
    reached = []

    def parts() -> Iterator[np.ndarray]:
        for part in PARTS:
            yield IMAGES[part]
        reached.append("end")

    chosen = Chosen(Pieces(IMAGES.shape, IMAGES.dtype, parts()), LOGITS, np.array([6, 7]))
    (piece,) = chosen.pieces()
    np.testing.assert_array_equal(piece[0], IMAGES[6:8])
    assert reached == ["end"]


@pytest.mark.parametrize("stored", [True, False])
def test_an_epoch_is_chosen_from_without_becoming_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    count, side, part = 8192, 32, 256
    size = count * side * side * 3  # 25 MB
    path, of_targets = tmp_path / "images.safetensors", tmp_path / "logits.safetensors"
    index = np.flatnonzero(np.random.default_rng(0).random(count) < 0.5)
    monkeypatch.setattr(maps, "PART_BYTES", part * side * side * 3)

    def images() -> Array:
        if stored:
            return mapped(path, np.zeros((count, side, side, 3), np.uint8))
        each = (np.zeros((part, side, side, 3), np.uint8) for _ in range(0, count, part))
        return Pieces((count, side, side, 3), np.dtype(np.uint8), each)

    chosen = Chosen(images(), mapped(of_targets, np.zeros((count, 500), np.float32)), index)
    tracemalloc.start()
    try:
        found = sum(len(piece) for piece, _ in chosen.pieces())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert found == len(index) and peak < 0.2 * size
    assert resident(of_targets) < 500 * count
    assert not stored or resident(path) < size // 4
