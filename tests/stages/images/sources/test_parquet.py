"""Parquet files of the Hugging Face hub: what is read, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.images.sources.parquet import parquet
from tests.helpers.image_files import bomb, encoded, one_line, pixels


def table(
    images: list[object],
    labels: list[int | None],
    names: tuple[str, str] = ("img", "label"),
    classes: list[str] | None = None,
) -> pa.Table:
    rows = [{"bytes": image, "path": None} for image in images]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    made = pa.table({names[0]: pa.array(rows, kind), names[1]: pa.array(labels, pa.int64())})
    if classes:
        features = {names[1]: {"names": classes, "_type": "ClassLabel"}}
        metadata = json.dumps({"info": {"features": features}})
        made = made.replace_schema_metadata({"huggingface": metadata})
    return made


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """12 training images in two files and 5 test images, as PNG."""
    train, test = pixels(12), pixels(5, seed=1)
    parts = {
        "train-00000-of-00002": (train[:7], range(7)),
        "train-00001-of-00002": (train[7:], [7, 8, 9, 0, 1]),
        "test-00000-of-00001": (test, range(5)),
    }
    for name, (images, labels) in parts.items():
        pq.write_table(table([encoded(i) for i in images], [*labels]), tmp_path / f"{name}.parquet")
    return tmp_path


def test_parquet_reads_all_rows_in_order(hub: Path) -> None:
    train, test, classes = parquet(hub)
    np.testing.assert_array_equal(train.images, pixels(12))
    np.testing.assert_array_equal(train.labels, [*range(10), 0, 1])
    np.testing.assert_array_equal(test.images, pixels(5, seed=1))
    assert classes == tuple("0123456789")


def test_parquet_decodes_selected_rows_only(hub: Path) -> None:
    broken = table([b"no image"] * 5, [*range(5)])
    pq.write_table(broken, hub / "train-00001-of-00002.parquet")
    train, test, _ = parquet(hub, rows={"train": [6, 0, 3], "test": []})
    np.testing.assert_array_equal(train.images, pixels(12)[[6, 0, 3]])
    np.testing.assert_array_equal(train.labels, [6, 0, 3])
    assert test.images.shape == (0, 32, 32, 3)
    for bad in (-1, 12):
        with pytest.raises(ValueError, match="allowed are 0 to 11"):
            parquet(hub, rows={"train": [bad]})
    with pytest.raises(ValueError, match="'validation'"):
        parquet(hub, rows={"validation": [0]})


def test_parquet_selected_rows_across_files(hub: Path) -> None:
    train, _, _ = parquet(hub, rows={"train": [8, 6, 7]})
    np.testing.assert_array_equal(train.images, pixels(12)[[8, 6, 7]])
    np.testing.assert_array_equal(train.labels, [8, 6, 7])


def test_parquet_other_columns_class_names_and_jpeg(tmp_path: Path) -> None:
    grey = np.full((32, 32), 77, np.uint8)
    for split in ("train", "test"):
        made = table([encoded(grey, "JPEG")], [2], ("image", "fine_label"), ["a", "b", "c"])
        pq.write_table(made, tmp_path / f"{split}-00000-of-00001.parquet")
    train, _, classes = parquet(tmp_path)
    assert classes == ("a", "b", "c") and train.labels.tolist() == [2]
    assert np.abs(train.images.astype(int) - 77).max() <= 2


def test_parquet_starts_at_the_data_folder(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMICNETS_DATA", str(hub.parent))
    assert len(parquet(hub.name)[0].labels) == 12


PNG = encoded(pixels(1)[0])


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        ([PNG, PNG], [0, -1], ("row 1", "label -1")),
        ([PNG, PNG], [0, None], ("row 1", "no label")),
        ([PNG, None], [0, 1], ("row 1", "no bytes")),
        ([PNG, b"hello"], [0, 1], ("row 1", "not a readable PNG or JPEG")),
        ([PNG, PNG[:200]], [0, 1], ("row 1", "damaged")),
        ([PNG, encoded(pixels(1, size=28)[0])], [0, 1], ("row 1", "28 x 28", "32 x 32")),
        ([encoded(pixels(1)[0][:20])], [0], ("row 0", "32 x 20", "squares")),
        ([bomb(4000)], [0], ("row 0", "4000 x 4000")),
        ([bomb(60000)], [0], ("row 0", "decompression bomb")),
        ([], [], ("no rows",)),
    ],
)
def test_parquet_refuses_rows(
    hub: Path, images: list[object], labels: list[int | None], words: tuple[str, ...]
) -> None:
    for old in hub.glob("train-*"):
        old.unlink()
    file = hub / "train-00000-of-00001.parquet"
    pq.write_table(table(images, labels), file)
    pq.write_table(table([PNG], [0]), hub / "test-00000-of-00001.parquet")
    with pytest.raises(ValueError) as error:
        parquet(hub)
    one_line(error, file, *words)


def test_parquet_matches_labels_by_the_names_of_each_file(hub: Path) -> None:
    """The second shard and the test file are of other lists, as `datasets` writes parts of a whole."""
    pets = ["cat", "dog", "eel"]
    images = [PNG] * 3
    pq.write_table(table(images, [0, 1, 2], classes=pets), hub / "train-00000-of-00002.parquet")
    pq.write_table(
        table(images, [0, 1, 2], classes=pets[::-1]), hub / "train-00001-of-00002.parquet"
    )
    pq.write_table(
        table(images, [0, 1, 1], classes=["cat", "eel"]), hub / "test-00000-of-00001.parquet"
    )
    train, test, classes = parquet(hub)
    assert classes == tuple(pets)
    assert [train.labels.tolist(), test.labels.tolist()] == [[0, 1, 2, 2, 1, 0], [0, 2, 2]]

    for name in ("test-00000-of-00001", "train-00001-of-00002"):
        pq.write_table(table(images, [0, 1, 1]), hub / f"{name}.parquet")
        with pytest.raises(ValueError) as error:
            parquet(hub)
        one_line(error, f"{name}.parquet does not", "cat, dog, eel")


@pytest.mark.parametrize("count", [3, 12])
def test_parquet_counts_classes_that_have_no_names(tmp_path: Path, count: int) -> None:
    for part in ("train", "test"):
        made = table([PNG] * count, [*range(1, count + 1)])
        pq.write_table(made, tmp_path / f"{part}-00000-of-00001.parquet")
    assert parquet(tmp_path)[2] == tuple(str(i) for i in range(1, count + 1))


def test_parquet_refuses_colour_modes(hub: Path) -> None:
    rgba = np.zeros((32, 32, 4), np.uint8)
    pq.write_table(table([encoded(rgba)], [0]), hub / "test-00000-of-00001.parquet")
    with pytest.raises(ValueError) as error:
        parquet(hub)
    one_line(error, "test-00000-of-00001.parquet, row 0", "RGBA")


def test_parquet_refuses_test_images_of_another_size(hub: Path) -> None:
    small = encoded(pixels(1, size=28)[0])
    pq.write_table(table([small], [0]), hub / "test-00000-of-00001.parquet")
    with pytest.raises(ValueError, match="28 x 28 px, allowed is 32 x 32"):
        parquet(hub)


def test_parquet_refuses_missing_files(hub: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        parquet(hub / "nowhere")
    one_line(error, hub / "nowhere", "prepare.path")
    (hub / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(FileNotFoundError) as error:
        parquet(hub)
    one_line(error, "train-00000-of-00002.parquet", "one of 2")
    (hub / "test-00000-of-00001.parquet").unlink()
    (hub / "train-00000-of-00002.parquet").rename(hub / "train-0.parquet")
    with pytest.raises(FileNotFoundError, match="no test-"):
        parquet(hub)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[4:60] = bytes(56)
    file.write_bytes(data)


def columns(**made: object) -> Callable[[Path], None]:
    return lambda file: pq.write_table(pa.table(made), file)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, ("not a readable parquet",)),
        (flip, ()),
        (lambda file: file.write_bytes(b""), ("not a readable parquet",)),
        (columns(a=[1], b=[2]), ("columns a, b", "img or image")),
        (columns(img=[b""], label=[1]), ("column img is binary",)),
        (columns(img=[{"bytes": b""}], label=["x"]), ("column label is string",)),
    ],
)
def test_parquet_refuses_files(
    hub: Path, damage: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    file = hub / "train-00000-of-00002.parquet"
    damage(file)
    with pytest.raises(ValueError) as error:
        parquet(hub)
    one_line(error, file, *words)


@pytest.mark.middle
def test_parquet_real_cifar10() -> None:
    path = os.environ.get("MIMICNETS_CIFAR10_PARQUET")
    if not path:
        pytest.skip("MIMICNETS_CIFAR10_PARQUET is not set: it names a folder with CIFAR-10")
    train, test, classes = parquet(path)
    assert train.images.shape == (50000, 32, 32, 3) and test.images.shape == (10000, 32, 32, 3)
    np.testing.assert_array_equal(np.bincount(train.labels), [5000] * 10)
    np.testing.assert_array_equal(np.bincount(test.labels), [1000] * 10)
    assert len(classes) == 10


def test_names_that_are_no_text_are_one_line(hub: Path) -> None:
    """A name stands in several places of the file, and each is decoded by another part of pyarrow."""
    file = hub / "train-00000-of-00002.parquet"
    sound = file.read_bytes()
    places = [place for place in range(len(sound)) if sound.startswith(b"label", place)]
    refused = 0
    for place in places:
        file.write_bytes(sound[:place] + b"l\xe1bel" + sound[place + 5 :])
        try:
            parquet(hub)
        except ValueError as error:
            assert file.name in str(error), error
            refused += 1
    assert refused
