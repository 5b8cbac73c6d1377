"""host: tensors on the memory of arrays, and parts."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.images.host import as_tensor, on_device, split
from stages.store import maps
from stages.store.maps import parts
from tests.helpers.mapped import mapped, resident


def test_a_read_only_array_becomes_a_tensor_on_its_memory(tmp_path: Path) -> None:
    array = mapped(tmp_path / "x.safetensors", np.arange(12, dtype=np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = as_tensor(array)
    assert tensor.data_ptr() == array.__array_interface__["data"][0]
    assert tensor.tolist() == list(range(12))


def test_a_cpu_reads_the_array_itself_and_a_gpu_has_a_copy(
    tmp_path: Path, device: torch.device
) -> None:
    array = mapped(tmp_path / "x.safetensors", np.arange(12, dtype=np.uint8))
    there = on_device(array, device)
    if device.type == "cpu":
        assert there is array
    else:
        assert isinstance(there, torch.Tensor) and there.device.type == device.type
        assert there.tolist() == list(range(12))


def test_batches_are_those_of_torch_and_a_map_is_given_back(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (23, 1000, 1000), dtype=np.uint8)
    path = tmp_path / "x.safetensors"
    wanted = torch.from_numpy(images).split(5)

    most = 0
    for source in (mapped(path, images), images, torch.from_numpy(images)):
        for part, other in zip(split(source, 5), wanted, strict=True):
            assert torch.equal(part, other)
            most = max(most, resident(path))
    assert 0 < most < 12_000_000


@pytest.mark.parametrize(
    ("images", "each", "multiple", "wanted"),
    [
        (10, 25, 1, [4, 4, 2]),
        (8, 25, 1, [4, 4]),
        (3, 25, 1, [3]),
        (3, 1000, 1, [1, 1, 1]),
        (10, 25, 3, [3, 3, 3, 1]),
        (10, 25, 7, [7, 3]),
        (0, 25, 1, []),
    ],
)
def test_parts_are_as_large_as_they_may_be(
    monkeypatch: pytest.MonkeyPatch, images: int, each: int, multiple: int, wanted: list[int]
) -> None:
    monkeypatch.setattr(maps, "PART_BYTES", 100)
    found = parts(images, each, multiple)
    assert [part.stop - part.start for part in found] == wanted
    assert [place for part in found for place in range(images)[part]] == list(range(images))
