"""tensors: arrays come back as they were, and whatever has changed is noticed."""

from __future__ import annotations

import hashlib
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stages.store.pieces import Pieces
from stages.store.tensors import digest, read_header, read_tensors, write_tensors
from tests.helpers.mapped import resident
from tests.helpers.stored import python, sha256

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


def read_mapped(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file as a memory map."""
    return read_tensors(path, mapped=True)[0]


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
    assert checksum == digest(arrays) == digest(read_mapped(path))


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
        messages = set()
        for mapped in (False, True):
            with pytest.raises(ValueError, match=r"t\.safetensors") as caught:
                read_tensors(path, mapped=mapped)
            messages.add(str(caught.value))
        assert len(messages) == 1


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, {"x": np.arange(4, dtype=np.int32)}, {"epoch": 7})
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        for read in (read_header, read_tensors, read_mapped):
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


def in_rows(array: np.ndarray, each: int) -> Pieces:
    """An array that comes in pieces of so many rows."""
    parts = (array[start : start + each] for start in range(0, len(array), each))
    return Pieces(array.shape, array.dtype, parts)


def test_an_array_in_pieces_is_written_like_a_whole_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    large = rng.integers(0, 256, (50, 6, 6, 3), dtype=np.uint8)
    other = rng.normal(size=(50, 3)).astype(np.float32)
    arrays = {**ARRAYS, "large": large, "other": other, "none": large[:0]}
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    hashes = [sha_of(large), sha_of(ARRAYS["index"])]
    wanted = write_tensors(whole, arrays, {**HEADER, "large": hashes[0], "index": hashes[1]})

    for each in (1, 7, 50):
        made = {name: in_rows(arrays[name], each) for name in ("large", "other", "none")}
        found = write_tensors(
            pieces, {**arrays, **made}, HEADER, {"large": "large", "index": "index"}
        )
        assert found == wanted and pieces.read_bytes() == whole.read_bytes()


def sha_of(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: parts[:-1], "the pieces of x have 4 rows, needed are 6"),
        (lambda parts: [*parts, parts[0]], "the pieces of x have 8 rows, needed are 6"),
        (lambda parts: [parts[0].astype(np.int16)], "a piece of x is int16 .* needed is uint8"),
        (lambda parts: [parts[0][:, :2]], r"a piece of x is uint8 \(2, 2\), needed .*\(3,\)"),
    ],
)
def test_pieces_that_do_not_make_up_their_array_are_refused(
    tmp_path: Path, change: Callable[[list[np.ndarray]], list[np.ndarray]], message: str
) -> None:
    array = np.arange(18, dtype=np.uint8).reshape(6, 3)
    parts = change([array[:2], array[2:4], array[4:]])
    with pytest.raises(ValueError, match=message):
        write_tensors(tmp_path / "t", {"x": Pieces((6, 3), array.dtype, parts)}, {})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="array x is complex128"):
        write_tensors(tmp_path / "t", {"x": Pieces((6,), np.dtype(complex), [])}, {})


def test_an_array_in_pieces_is_never_there_as_a_whole(tmp_path: Path) -> None:
    def made() -> Iterator[np.ndarray]:
        for _ in range(40):
            yield np.ones((100, 32, 32, 3), dtype=np.uint8)

    shape = (4000, 32, 32, 3)
    tracemalloc.start()
    try:
        pieces = Pieces(shape, np.dtype(np.uint8), made())
        write_tensors(tmp_path / "t", {"x": pieces}, {"sha": ""}, {"sha": "x"})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.1 * pieces.nbytes
    assert read_mapped(tmp_path / "t")["x"].sum() == pieces.nbytes


def test_a_file_is_verified_and_copied_without_becoming_memory(tmp_path: Path) -> None:
    size = 24 * 2**20
    path, copy = tmp_path / "t", tmp_path / "copy"
    write_tensors(path, {"x": np.ones(size, np.uint8)}, {})
    arrays = read_mapped(path)
    assert resident(path) < size // 4

    write_tensors(copy, arrays, {})
    assert resident(path) < size // 4 and copy.read_bytes() == path.read_bytes()
