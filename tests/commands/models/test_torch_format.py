"""torch_format: other loaders of torch models take an export, and nothing else in it changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch

from commands.models.torch_format import mark
from stages.store.tensors import read_tensors, write_tensors
from stages.store.weights import load_weights

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "ä": np.array(5, np.int64),
    "empty": np.zeros((0, 3), np.float64),
    "a": np.array([True, False, True]),
}
HEADER = {"classes": ["ä", "\n", "\udcff"], "nested": {"x": [1, None]}}


def metadata(path: Path) -> dict[str, str]:
    with safetensors.safe_open(path, "np") as file:
        return file.metadata()


def test_a_marked_file_is_the_same_with_a_format(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, ARRAYS, HEADER)
    before = metadata(path)
    mark(path)

    assert metadata(path) == {**before, "format": "pt"}
    start = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    assert start % 8 == 0  # arrays are aligned

    arrays, header = read_tensors(path)
    assert header == HEADER and set(arrays) == set(ARRAYS)
    mapped = read_tensors(path, mapped=True)[0]
    loaded = safetensors.torch.load_file(path)
    for name, array in ARRAYS.items():
        for found in (arrays[name], mapped[name], loaded[name].numpy()):
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array)


def test_marking_is_repeatable_and_gives_the_same_bytes(tmp_path: Path) -> None:
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path in files:
        write_tensors(path, ARRAYS, HEADER)
        mark(path)
    first = files[0].read_bytes()
    mark(files[0])
    assert files[0].read_bytes() == files[1].read_bytes() == first


def test_a_file_of_another_library_can_be_marked(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"x": torch.arange(3)}, path)
    mark(path)
    assert metadata(path) == {"format": "pt"}
    assert torch.equal(safetensors.torch.load_file(path)["x"], torch.arange(3))


def test_the_weights_of_both_kinds_of_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, ARRAYS, HEADER)
    before = load_weights(path)
    mark(path)
    after = load_weights(path)
    assert after[1] == before[1]
    assert all(torch.equal(after[0][name], before[0][name]) for name in ARRAYS)
