"""store: files that are whole or absent, checked when read; work folders; how a door ends."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.fit.checkpoint import Checkpoint
from stages.runtime import entry, work
from stages.runtime.code import code_files, code_hash
from stages.runtime.work import DONE, work_folder
from stages.store import atomic, scratch, shards
from stages.store import disk_space as space
from stages.store.epoch import read_epoch, read_targets
from stages.store.manifest import folder_hash, fresh_folder, read_manifest, write_manifest
from stages.store.prepared import read_train, write_split
from stages.store.shards import (
    check_pairs,
    images_hash,
    read_logits,
    shard_path,
    write_images,
    write_logits,
)
from stages.store.tensors import digest, read_header, read_tensors, write_tensors
from stages.store.weights import load_weights, save_weights
from stages.trials.folder import TrialFolder, total_seconds
from stages.trials.progress import SweepProgress
from stages.trials.tables import TABLE_COLUMNS, write_table
from tools.pocket import ROOT

ARRAYS = {
    "images": np.arange(48, dtype=np.uint8).reshape(4, 4, 3),
    "index": np.array([3, 1, 2], dtype=np.int32),
    "empty": np.zeros((0, 5), dtype=np.float32),
    "scalar": np.array(2.5, dtype=np.float64),
    "flags": np.array([True, False]),
}
HEADER = {
    "epoch": 3,
    "names": ["a", "ü"],
    "loss": 0.1,
    "nothing": None,
    "by_size": {"10": 1, "9": 2},
}


def python(code: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run `code` in a new interpreter that sees the project."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# atomic


@pytest.mark.parametrize("broken", ["replace", "fsync", "chmod"])
def test_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "file.json"
    atomic.write_text(path, "old")

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, broken, fail)
    with pytest.raises(OSError, match="No space"):
        atomic.write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_write_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic.os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_bytes(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


def test_buffers_are_joined_and_a_failing_one_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    atomic.write_buffers(path, (b"a", memoryview(b"bc"), b"", b"d" * 100_000))
    assert path.read_bytes() == b"abc" + b"d" * 100_000

    def broken() -> Iterator[bytes]:
        yield b"new"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        atomic.write_buffers(path, broken())
    assert path.stat().st_size == 100_003 and list(path.parent.iterdir()) == [path]


def test_write_replaces_read_only_links_and_not_what_they_point_to(tmp_path: Path) -> None:
    """DVC's outputs may be read-only hard links into its cache."""
    cached, path = tmp_path / "cache", tmp_path / "deep" / "file"
    cached.write_bytes(b"old")
    cached.chmod(0o444)
    atomic.link_or_copy(cached, path)
    assert path.samefile(cached)
    atomic.write_bytes(path, b"new")
    assert (cached.read_bytes(), path.read_bytes()) == (b"old", b"new")
    assert path.stat().st_mode & 0o777 == 0o644


def test_link_or_copy_copies_where_links_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"x")
    target.write_bytes(b"old")
    monkeypatch.setattr(
        atomic.os, "link", lambda *a: (_ for _ in ()).throw(OSError("cross-device"))
    )
    atomic.link_or_copy(source, target)
    assert target.read_bytes() == b"x" and not target.samefile(source)


def test_json_round_trip_and_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    atomic.write_json(path, {"b": 0.1, "a": [1, None, "ü"]})
    assert list(atomic.read_json(path)) == ["b", "a"]
    assert atomic.read_json(path) == {"b": 0.1, "a": [1, None, "ü"]}
    with pytest.raises(ValueError, match="JSON compliant"):
        atomic.write_json(path, float("nan"))
    assert atomic.read_json(path)["b"] == 0.1
    for bad in (b"{", b"\xff", b""):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="x.json is not valid JSON"):
            atomic.read_json(path)
    with pytest.raises(FileNotFoundError, match="y.json"):
        atomic.read_json(tmp_path / "y.json")


# tensors


def test_tensors_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a" / "t.safetensors"
    strided = ARRAYS["images"][:, ::2]
    checksum = write_tensors(path, {**ARRAYS, "strided": strided}, HEADER)
    arrays, header = read_tensors(path)
    assert header == HEADER == read_header(path)
    assert set(arrays) == {*ARRAYS, "strided"}
    for name, array in {**ARRAYS, "strided": strided}.items():
        assert arrays[name].dtype == array.dtype and arrays[name].shape == array.shape
        np.testing.assert_array_equal(arrays[name], array)
    assert checksum == digest(arrays)


def test_files_are_plain_safetensors_with_one_metadata_key(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save

    path = tmp_path / "t.safetensors"
    kinds = ["?", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8"]
    typed = {f"é {kind}": np.arange(kind != "?", 6, dtype=np.int64).astype(kind) for kind in kinds}
    arrays = {**ARRAYS, **typed, "big-endian": np.arange(3, dtype=">i4")}
    write_tensors(path, arrays, HEADER)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        assert list(metadata) == ["json"] and set(file.keys()) == set(arrays)
        for name, array in arrays.items():
            found = file.get_tensor(name)
            assert found.dtype == array.dtype.newbyteorder("=") and np.array_equal(found, array)
    # the library of today writes the same bytes
    assert save(
        {name: np.asarray(a, a.dtype.newbyteorder("=")) for name, a in arrays.items()}, metadata
    ) == (path.read_bytes())
    with pytest.raises(ValueError, match="array x is complex128, allowed are bool"):
        write_tensors(path, {"x": np.zeros(2, dtype=complex)}, {})


def test_golden_file(tmp_path: Path) -> None:
    """Renew only when it is intended that no file written before can be found again by its hash."""
    write_tensors(tmp_path / "t.safetensors", ARRAYS, HEADER)
    found = sha256(tmp_path / "t.safetensors")
    assert found == "f0c47890dd8a513ff3fbf263ae456d90f6563c2432bf1ba06a9dcfb8a47ac984", (
        f"the format changed; if intended, put {found} here"
    )


def test_reading_and_writing_copy_no_more_than_they_must(tmp_path: Path) -> None:
    arrays = {
        "images": np.ones((2000, 32, 32, 3), dtype=np.uint8),
        "logits": np.ones((2000, 10), dtype=np.float32),
    }
    size = sum(array.nbytes for array in arrays.values())
    tracemalloc.start()
    try:
        write_tensors(tmp_path / "t.safetensors", arrays, {})
        written = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        found = read_tensors(tmp_path / "t.safetensors")[0]
        read = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert written < 0.1 * size and size < read < 1.1 * size
    found["images"][:] = 0  # arrays are the reader's own
    assert read_tensors(tmp_path / "t.safetensors")[0]["images"].all()


def test_digest_sees_names_types_shapes_and_values() -> None:
    base = np.arange(6, dtype=np.int32)
    variants = [
        {"a": base},
        {"b": base},
        {"a": base.reshape(2, 3)},
        {"a": base.view(np.uint32)},
        {"a": base + 1},
        {"a": base[:3], "b": base[3:]},
        {"a": np.array(0, dtype=np.int32)},
        {"a": np.array([0], dtype=np.int32)},
    ]
    assert len({digest(v) for v in variants}) == len(variants)
    assert digest({"a": base, "b": base}) == digest({"b": base, "a": base})


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, {"x": np.arange(4, dtype=np.int32)}, {"errors": [0.25, 0.5], "epoch": 7})
    whole = path.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place % 7)
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"t\.safetensors"):
            read_tensors(path)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, {"x": np.arange(4, dtype=np.int32)}, {"epoch": 7})
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        for read in (read_header, read_tensors):
            with pytest.raises(ValueError, match=r"t\.safetensors"):
                read(path)


def test_header_is_checked_without_the_arrays(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, {"x": np.zeros(3)}, {"images_sha256": "abc"})
    path.write_bytes(
        path.read_bytes().replace(b'images_sha256\\": \\"abc', b'images_sha256\\": \\"abd')
    )
    with pytest.raises(ValueError, match="header does not match"):
        read_header(path)


def test_foreign_and_missing_files(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "t.safetensors"
    for read in (read_header, read_tensors):
        with pytest.raises(FileNotFoundError, match=r"t\.safetensors not found"):
            read(path)
    for metadata in (
        None,
        {"json": "[]"},
        {"json": "{"},
        {"json": '{"header": {}}'},
        {"other": "x"},
    ):
        save_file({"x": np.zeros(3)}, path, metadata=metadata)
        with pytest.raises(ValueError, match=r"t\.safetensors"):
            read_tensors(path)
    path.write_bytes(b"PK\x03\x04 a zip file, or a pickle")
    with pytest.raises(ValueError, match=r"t\.safetensors") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)


WRITE = """
import sys, numpy as np
from pathlib import Path
from stages.store.tensors import write_tensors
arrays = {name: np.arange(50, dtype=t) for name, t in zip("fbdace", ("f4", "u1", "i8", "f8", "u2", "i4"))}
if sys.argv[2] == "other order":
    arrays = dict(reversed(arrays.items()))
write_tensors(Path(sys.argv[1]), arrays, {"z": 1, "a": {"y": [1.5], "b": None}})
"""


def test_bytes_do_not_change_between_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = set()
    for i in range(3):
        monkeypatch.setenv("PYTHONHASHSEED", str(i))
        done = python(WRITE, str(tmp_path / f"{i}.st"), "other order" if i == 1 else "")
        assert done.returncode == 0, done.stderr
        hashes.add(sha256(tmp_path / f"{i}.st"))
    for i in range(2):
        monkeypatch.setattr(sys, "argv", ["", str(tmp_path / f"here{i}.st"), ""])
        exec(WRITE, {})  # noqa: S102
        hashes.add(sha256(tmp_path / f"here{i}.st"))
    assert len(hashes) == 1


def test_weights_round_trip_in_any_memory_format(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    net = net.to(memory_format=torch.channels_last)
    checksum = save_weights(tmp_path / "w.safetensors", net.state_dict(), {"widths": [4]})
    state, description = load_weights(tmp_path / "w.safetensors")
    assert description == {"widths": [4]}
    assert state.keys() == net.state_dict().keys()
    for name, tensor in net.state_dict().items():
        assert state[name].shape == tensor.shape and state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)
    plain = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    assert save_weights(tmp_path / "plain.safetensors", plain, {"widths": [4]}) == checksum
    assert sha256(tmp_path / "w.safetensors") == sha256(tmp_path / "plain.safetensors")


def test_prepared_split_round_trip(tmp_path: Path) -> None:
    images = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    write_split(tmp_path, "train", images, np.array([300, 1], dtype=np.uint16), {"classes": ["a"]})
    found, labels, header = read_train(tmp_path)
    assert labels.dtype == np.int64 and labels.tolist() == [300, 1]
    assert np.array_equal(found, images) and header == {"classes": ["a"]}


# shards


def transfer_set(folder: Path, epochs: int = 2, keep_images: bool = True) -> list[np.ndarray]:
    """Image shards under `folder`/augmented and their logits; returns the images."""
    rng = np.random.default_rng(0)
    views = []
    for epoch in range(epochs):
        images = rng.integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
        write_images(
            folder / "augmented",
            epoch,
            images=images,
            index=rng.permutation(5),
            labels=np.arange(5),
            draws=rng.integers(0, 2**16, (5, 9), dtype=np.uint16),
            keep_images=keep_images,
        )
        logits = rng.normal(size=(5, 3)).astype(np.float32)
        write_logits(folder / "logits", epoch, logits, images_hash(images))
        views.append(images)
    return views


def test_epoch_and_its_logits_come_back(tmp_path: Path) -> None:
    views = transfer_set(tmp_path)
    check_pairs(tmp_path / "augmented", tmp_path / "logits", 2)
    for epoch, images in enumerate(views):
        shard = read_epoch(tmp_path / "augmented", epoch, None)
        assert np.array_equal(shard.images, images)
        assert shard.labels.dtype == np.int64 and shard.labels.tolist() == [0, 1, 2, 3, 4]
        targets = read_targets(tmp_path / "logits", epoch, shard)
        assert targets.shape == (5, 3) and targets.dtype == np.float32


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


def test_a_transfer_set_made_anew_has_copies_of_its_own(tmp_path: Path, copies: Path) -> None:
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


def test_images_are_made_again_from_their_draws(tmp_path: Path) -> None:
    views = transfer_set(tmp_path, keep_images=False)
    assert "images" not in shards.read_images(tmp_path / "augmented", 0)[0]
    seen = []

    def rebuild(index: np.ndarray, draws: np.ndarray) -> np.ndarray:
        seen.append((index.dtype, index.shape, draws.dtype, draws.shape))
        return views[1]

    shard = read_epoch(tmp_path / "augmented", 1, rebuild)
    assert seen == [(np.int32, (5,), np.uint16, (5, 9))]
    assert np.array_equal(shard.images, views[1])
    assert read_logits(tmp_path / "logits", 1, shard.images_sha256).shape == (5, 3)
    with pytest.raises(ValueError, match="epoch-000.*another hash"):
        read_epoch(tmp_path / "augmented", 0, rebuild)
    with pytest.raises(ValueError, match="epoch-000.*draws only"):
        read_epoch(tmp_path / "augmented", 0, None)


# work folders


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a manifest."""
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"a")
    (folder / "deep" / "b.bin").write_bytes(b"b")
    write_manifest(folder, {"images": 2})
    return folder


def test_manifest_lists_every_file(data: Path) -> None:
    held = read_manifest(data)
    assert held["images"] == 2
    assert held["files"] == {
        "a.bin": sha256(data / "a.bin"),
        "deep/b.bin": sha256(data / "deep" / "b.bin"),
    }
    before = folder_hash(data)
    write_manifest(data, {"images": 2})
    assert folder_hash(data) == before
    (data / "a.bin").write_bytes(b"c")
    write_manifest(data, {"images": 2})
    assert folder_hash(data) != before
    with pytest.raises(FileNotFoundError, match="missing/manifest.json.*dvc repro"):
        read_manifest(data / "missing")


def test_key_changes_with_settings_code_and_inputs(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(settings: dict[str, Any], inputs: list[Path], door: str = entry.__file__) -> str:
        with work_folder("stage", settings, inputs, door, tmp_path / "work") as folder:
            return folder.name

    base = key({"seed": 1}, [data])
    assert key({"seed": 1}, [data]) == base
    others = [
        key({"seed": 2}, [data]),
        key({"seed": 1}, []),
        key({"seed": 1}, [data], work.__file__),
    ]
    write_manifest(data, {"images": 3})
    others.append(key({"seed": 1}, [data]))
    write_manifest(data, {"images": 2})
    assert key({"seed": 1}, [data]) == base
    monkeypatch.setattr(work, "code_hash", lambda path: "edited")
    others.append(key({"seed": 1}, [data]))
    assert len({base, *others}) == 6
    with pytest.raises(FileNotFoundError, match="manifest.json"):
        key({}, [tmp_path / "nothing"])


def test_code_hash_follows_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.runtime import code

    files = {
        "stages/door.py": "def f():\n    from stages.room.b import x\n",
        "stages/room/b.py": "from . import c\n",
        "stages/room/c.py": "import numpy\n",
        "stages/room/unused.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code, "ROOT", tmp_path.resolve())
    start = tmp_path / "stages/door.py"
    names = [p.relative_to(tmp_path.resolve()).as_posix() for p in code_files(start)]
    assert names == ["stages/door.py", "stages/room/b.py", "stages/room/c.py"]
    before = code_hash(start)
    (tmp_path / "stages/room/unused.py").write_text("x = 1\n")
    assert code_hash(start) == before
    (tmp_path / "stages/room/c.py").write_text("import scipy\n")
    assert code_hash(start) != before


HOLD = """
import sys
from pathlib import Path
from stages.runtime import entry
from stages.runtime.work import work_folder
with work_folder("stage", {"seed": 1}, [], entry.__file__, Path(sys.argv[1])) as folder:
    print("held", flush=True)
    sys.stdin.read()
"""


def test_second_holder_is_refused_with_the_pid(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=f"in use by process {holder.pid}:"):
            with work_folder("stage", {"seed": 1}, [], entry.__file__, tmp_path):
                pass
        with work_folder("stage", {"seed": 2}, [], entry.__file__, tmp_path):
            pass
        holder.kill()
        holder.wait()
    with work_folder("stage", {"seed": 1}, [], entry.__file__, tmp_path) as folder:
        assert (folder / "lock").read_text() == str(os.getpid())
        assert json.loads((folder / "key.json").read_text())["settings"] == {"seed": 1}


def test_finished_older_folders_are_pruned_and_unfinished_kept(tmp_path: Path) -> None:
    def use(seed: int, fail: bool = False) -> Path:
        with work_folder("stage", {"seed": seed}, [], entry.__file__, tmp_path) as folder:
            (folder / "result").write_text("kept")
            if fail:
                raise InterruptedError
        return folder

    finished = use(1)
    assert (finished / DONE).is_file()
    with pytest.raises(InterruptedError):
        use(2, fail=True)
    unfinished = [f for f in (tmp_path / "stage").iterdir() if (f / "result").is_file()]
    assert len(unfinished) == 1 and unfinished[0] != finished, (
        "the finished one went when seed 2 started"
    )
    last = use(3)
    assert sorted(tmp_path.glob("stage/*")) == sorted([unfinished[0], last])
    assert use(2) == unfinished[0]
    assert not last.exists()


def test_a_finished_folder_in_use_again_is_not_pruned(tmp_path: Path) -> None:
    def folder_of(seed: int) -> Any:
        return work_folder("stage", {"seed": seed}, [], entry.__file__, tmp_path)

    with folder_of(1):
        pass
    with folder_of(1) as again:
        (again / "result").write_text("x")
        with folder_of(2):
            assert (again / "result").is_file()
        (again / DONE).touch()  # even so: it is locked
        with folder_of(3):
            assert (again / "result").is_file()
    with folder_of(1):
        pass
    with pytest.raises(InterruptedError), folder_of(1):
        raise InterruptedError
    with folder_of(2):
        assert again.is_dir(), "what was finished once and is now in the middle again is unfinished"


def test_fresh_folder_is_empty(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    (fresh_folder(folder) / "x").write_text("x")
    assert list(fresh_folder(folder).iterdir()) == []


# trials and checkpoints


def test_finished_only_for_the_same_values_and_seed(tmp_path: Path) -> None:
    trial = TrialFolder(tmp_path, 7)
    values = {"lr": 0.1 + 0.2, "momentum": 0.9, "width": 3}
    assert trial.finished(values, 1) is None
    trial.finish(values, 1, {"value": None, "reason": "loss is nan"}, 2.5)
    assert trial.finished(values, 1) == {"value": None, "reason": "loss is nan"}
    assert trial.finished(dict(reversed(values.items())), 1) is not None
    assert trial.finished(values, 2) is None
    assert trial.finished({**values, "lr": 0.3}, 1) is None
    assert trial.finished({"lr": values["lr"]}, 1) is None
    assert TrialFolder(tmp_path, 8).finished(values, 1) is None
    result = tmp_path / "trials" / "007" / "result.json"
    for torn in ("", '{"values"', "[]", "{}"):
        result.write_text(torn)
        assert trial.finished(values, 1) is None
    TrialFolder(tmp_path, 9).finish(values, 1, {}, 1.25)
    assert total_seconds(tmp_path) == 3.75


def test_result_is_the_last_file_of_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(
        "stages.trials.folder.write_json", lambda path, value: written.append(path.name)
    )
    TrialFolder(tmp_path, 0).finish({}, 1, {}, 1.0)
    assert written[-1] == "result.json"


def test_table_columns_and_best_so_far(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    errors = [None, 0.5, 0.6, None, 0.25]
    rows = [
        {
            "trial": i,
            "validation_error": e,
            "test_accuracy": None,
            "widths": [3, i],
            "why": None,
            "spare": 1,
        }
        for i, e in enumerate(errors)
    ]
    write_table(path, rows, ("widths", "why", "lr"))
    with path.open(newline="") as file:
        table = list(csv.reader(file))
    assert tuple(table[0]) == (*TABLE_COLUMNS, "widths", "why", "lr")
    assert [line[1] for line in table[1:]] == ["", "0.5", "0.6", "", "0.25"]
    assert [line[2] for line in table[1:]] == ["", "0.5", "0.5", "0.5", "0.25"]
    assert table[5] == ["4", "0.25", "0.25", "", "3 4", "", ""]
    assert b"\r" not in path.read_bytes()


def test_progress_file_and_bar(tmp_path: Path) -> None:
    trial = TrialFolder(tmp_path, 0)
    trial.report(3, float("inf"), 0.25)
    assert json.loads(trial.progress.read_text()) == {"epoch": 3, "loss": None, "error": 0.25}
    with SweepProgress("x", 3, 8, lambda i: TrialFolder(tmp_path, i).progress) as progress:
        progress.event("start", 0, {})
        progress.event("start", 1, {})
        progress._show()
        assert progress.bar.n == 0.5
        assert "#0 epoch 4/8 error 0.250" in progress.bar.postfix
        progress.event("done", 0, {"value": 0.2})
        progress.event("done", 1, {"value": None})
        progress._show()
        assert progress.bar.n == 2 and progress.best == 0.2


def test_checkpoint_falls_back_to_the_previous_file(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c.safetensors", save_weights, load_weights, seconds=0)
    assert checkpoint.load() is None
    for epoch in range(1, 4):
        checkpoint.save(
            [0.1 * epoch] * epoch, [1.0 / 3] * epoch, {"net.w": torch.full((2,), float(epoch))}
        )
    saved = checkpoint.load()
    assert saved.errors == [0.1 * 3] * 3 and saved.losses == [1.0 / 3] * 3
    assert torch.equal(saved.tensors["net.w"], torch.full((2,), 3.0))
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-1])
    assert len(checkpoint.load().errors) == 2
    # the damaged file must not take the place of the whole one
    checkpoint.save([0.5] * 9, [0.5] * 9, {"net.w": torch.zeros(2)})
    checkpoint.path.unlink()
    assert len(checkpoint.load().errors) == 2
    checkpoint.previous.write_bytes(b"")
    assert checkpoint.load() is None
    checkpoint.save([0.5], [0.5], {"net.w": torch.zeros(2)})
    checkpoint.clear()
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_is_due_after_its_seconds(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c", save_weights, load_weights, seconds=60)
    now = time.monotonic()
    assert not checkpoint.due(now + 30) and checkpoint.due(now + 61)
    checkpoint.save([], [], {})
    assert not checkpoint.due(time.monotonic() + 30)


# door

DOOR = """
import sys, time
from stages.runtime import entry
def main():
    if sys.argv[1] == "wait":
        print("ready", flush=True)
        time.sleep(60)
    if sys.argv[1] != "fine":
        raise {
            "value": ValueError("lr is 9:\\n  allowed is 0 .. 1 \\u00fc"),
            "file": FileNotFoundError("x.json not found"),
            "stop": KeyboardInterrupt(),
            "bug": KeyError("x"),
        }[sys.argv[1]]
entry.run(main)
"""


@pytest.mark.parametrize(
    ("what", "code", "line"),
    [
        ("fine", 0, ""),
        ("value", 1, "error: lr is 9: allowed is 0 .. 1 ü (details: work/last-error.txt)\n"),
        ("file", 1, "error: x.json not found (details: work/last-error.txt)\n"),
        ("stop", 130, "stopped; 'dvc repro' goes on where it was\n"),
    ],
)
def test_door_ends_with_one_line(tmp_path: Path, what: str, code: int, line: str) -> None:
    done = python(DOOR, what, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (code, line)
    details = tmp_path / "work" / "last-error.txt"
    assert details.is_file() == (code == 1)
    if code == 1:
        assert (
            "Traceback" in details.read_text(encoding="utf-8") and "in main" in details.read_text()
        )


def test_door_shows_tracebacks_of_bugs_and_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = python(DOOR, "bug", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" in done.stderr
    monkeypatch.setenv("MIMICNETS_TRACEBACK", "1")
    done = python(DOOR, "value", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" in done.stderr


def test_door_in_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file is in the way")
    done = python(DOOR, "file", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "error: x.json not found\n")


def test_door_exits_143_on_sigterm(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DOOR, "wait"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 143
    assert errors == "terminated; 'dvc repro' goes on where it was\n"


def test_what_does_not_fit_is_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 5_000_000_000
    monkeypatch.setattr(space.shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=free))
    space.check_space(tmp_path, free, "the transfer set", "lower augment.epochs")
    with pytest.raises(
        OSError, match=r"the transfer set needs 19.9 GB and 5 GB are free .* lower augment.epochs"
    ):
        space.check_space(tmp_path, 19_900_000_000, "the transfer set", "lower augment.epochs")


@pytest.mark.parametrize("keep", [True, False])
def test_sizes_are_known_before_writing(tmp_path: Path, keep: bool) -> None:
    index, draws = np.arange(40, dtype=np.int32), np.zeros((40, 9), np.uint16)
    images = np.zeros((40, 8, 8, 3), np.uint8)
    shards.write_images(
        tmp_path, 0, images=images, index=index, labels=index, draws=draws, keep_images=keep
    )
    head = shards.shard_path(tmp_path, 0).stat().st_size - shards.image_shard_bytes(
        40, shards.input_bytes(8), keep
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
    ends = [process.communicate(timeout=120)[1] for process in running]
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
