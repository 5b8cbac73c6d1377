"""maps: a mapped file is an array like any other, and takes memory only while it is used."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from stages.store import maps
from stages.store.maps import file_of, in_pieces, map_file, release, rows
from tests.helpers.mapped import mapped, resident

SIZE = 24 * 2**20


def numbers(path: Path, shape: tuple[int, ...] = (40, 6, 5)) -> tuple[np.ndarray, np.ndarray]:
    """Random numbers, and the same in a mapped file."""
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return array, mapped(path, array)


def test_a_mapped_array_is_read_only_and_knows_its_file(tmp_path: Path) -> None:
    plain, found = numbers(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(found, plain)

    for view in (found, found[3:], found[2:9].reshape(-1), found[:, 1]):
        assert file_of(view) is file_of(found) is not None
    assert file_of(plain) is None and file_of(found.copy()) is None

    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


def test_memory_is_given_back_and_the_array_stays_valid(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    found = mapped(path, np.random.default_rng(0).integers(0, 256, SIZE, dtype=np.uint8))
    total = int(found.sum())
    assert resident(path) >= SIZE

    release(found[: SIZE // 2])
    assert SIZE // 3 < resident(path) < 2 * SIZE // 3
    release(found)
    assert resident(path) < 2**20
    assert int(found.sum()) == total


def test_what_is_in_memory_is_left_alone() -> None:
    array = np.arange(2_000_000)
    release(array)
    release(array[:0])
    assert array.sum() == 1_999_999 * 1_000_000


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_maps_of_numpy_are_given_back_unless_changes_would_be_lost(
    tmp_path: Path, mode: Literal["r", "r+", "c"]
) -> None:
    path = tmp_path / "raw"
    np.ones(SIZE, np.uint8).tofile(path)
    found = np.memmap(path, np.uint8, mode)
    if mode != "r":
        found[:1000] = 7
    assert int(found.sum()) == SIZE + (0 if mode == "r" else 6000)

    for view in (np.asarray(found)[: SIZE // 2], found[SIZE // 2 :]):
        release(view)
    assert (resident(path) < 2**20) == (mode != "c")
    assert int(found.sum()) == SIZE + (0 if mode == "r" else 6000)


def test_pieces_make_up_the_array_and_give_their_memory_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, small = numbers(tmp_path / "x.safetensors")
    monkeypatch.setattr(maps, "PIECE_BYTES", 28)  # seven numbers
    for array in (plain, small):
        pieces = list(in_pieces(array))
        assert {len(piece) for piece in pieces[:-1]} == {7}
        np.testing.assert_array_equal(np.concatenate(pieces), plain.reshape(-1))

    scalar = np.array(2.5)
    assert [piece.tolist() for piece in in_pieces(scalar)] == [[2.5]]
    assert list(in_pieces(plain[:0])) == []

    monkeypatch.setattr(maps, "PIECE_BYTES", 2**20)
    path = tmp_path / "large.safetensors"
    large = mapped(path, np.zeros(SIZE, np.uint8))
    most = 0
    for piece in in_pieces(large):
        piece.sum()
        most = max(most, resident(path))
    assert most < SIZE // 2


@pytest.mark.parametrize("start", [0, 7])
def test_rows_are_those_of_the_array(tmp_path: Path, start: int) -> None:
    plain, found = numbers(tmp_path / "x.safetensors")
    index = np.array([3, 0, 32, 3, 17], dtype=np.int32)
    for array in (plain, found):
        chosen = rows(array[start:], index)
        np.testing.assert_array_equal(chosen, plain[start:][index])
        chosen[:] = 0  # they are the caller's own
    np.testing.assert_array_equal(found, plain)
    assert rows(found, index[:0]).shape == (0, 6, 5)


def test_rows_are_read_without_mapping_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    found = mapped(path, np.zeros((SIZE // 1024, 1024), np.uint8))
    release(found)
    rows(found, np.arange(0, len(found), 50))
    assert resident(path) < 2**20


def test_rows_of_a_file_that_became_shorter_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    found = numbers(path)[1]
    os.truncate(path, path.stat().st_size - 100)
    assert rows(found, np.array([0, 38])).shape == (2, 6, 5)
    with pytest.raises(OSError, match="became shorter while it was used"):
        rows(found, np.array([0, 39]))


def test_a_file_that_is_replaced_keeps_its_content_here(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    plain, found = numbers(path)
    release(found)
    mapped(path, np.zeros_like(plain))
    np.testing.assert_array_equal(found, plain)
    np.testing.assert_array_equal(rows(found, np.arange(40)), plain)


def test_a_file_is_closed_with_its_last_array(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(b"abc")

    def handles() -> int:
        return sum(os.readlink(each) == str(path) for each in links())

    def links() -> list[Path]:
        return [each for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]

    with path.open("rb") as file:
        array = map_file(file.fileno())
    part = array[1:]
    del array
    gc.collect()
    assert handles() >= 1 and part.tobytes() == b"bc"

    del part
    gc.collect()
    assert handles() == 0
