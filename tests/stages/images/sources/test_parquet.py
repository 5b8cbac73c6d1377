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

from stages.images.pictures import PictureRule
from stages.images.sources import many
from stages.images.sources import parquet as reader
from stages.images.sources.columns import Columns
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
    source = parquet(hub)
    train, test, classes = source.train, source.test, source.classes
    assert test is not None and source.sizes == {"32 x 32": 17}
    np.testing.assert_array_equal(train.images, pixels(12))
    np.testing.assert_array_equal(train.labels, [*range(10), 0, 1])
    np.testing.assert_array_equal(test.images, pixels(5, seed=1))
    assert classes == tuple("0123456789")


def test_parquet_other_columns_class_names_and_jpeg(tmp_path: Path) -> None:
    grey = np.full((32, 32), 77, np.uint8)
    for split in ("train", "test"):
        made = table([encoded(grey, "JPEG")], [2], ("image", "fine_label"), ["a", "b", "c"])
        pq.write_table(made, tmp_path / f"{split}-00000-of-00001.parquet")
    source = parquet(tmp_path)
    train = source.train
    assert source.classes == ("a", "b", "c") and train.labels.tolist() == [2]
    assert np.abs(train.images.astype(int) - 77).max() <= 2


def test_parquet_starts_at_the_data_folder(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMICNETS_DATA", str(hub.parent))
    assert len(parquet(hub.name).train) == 12


PNG = encoded(pixels(1)[0])


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        ([PNG, PNG], [0, -1], ("row 1", "label -1")),
        ([PNG, PNG], [0, None], ("row 1", "no label")),
        ([PNG, None], [0, 1], ("row 1", "no bytes")),
        ([PNG, b"hello"], [0, 1], ("row 1", "not a readable picture")),
        ([PNG, PNG[:200]], [0, 1], ("row 1", "damaged picture")),
        ([b"x", PNG, None, b""], [0, 1, 0, 1], ("3 of 4 pictures", "row 0", "row 2", "row 3")),
        ([PNG, encoded(pixels(1, size=28)[0])], [0, 1], ("row 1", "28 x 28", "32 x 32")),
        ([encoded(pixels(1)[0][:20])], [0], ("row 0", "32 x 20", "32 x 32")),
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
    source = parquet(hub)
    train, test, classes = source.train, source.test, source.classes
    assert classes == tuple(pets) and test is not None
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
    assert parquet(tmp_path).classes == tuple(str(i) for i in range(1, count + 1))


def test_parquet_takes_every_colour_mode(hub: Path) -> None:
    """What is transparent becomes white."""
    rgba = np.zeros((32, 32, 4), np.uint8)
    pq.write_table(table([encoded(rgba)], [0]), hub / "test-00000-of-00001.parquet")
    test = parquet(hub).test
    assert test is not None and (test.images == 255).all()


def test_parquet_refuses_test_images_of_another_size(hub: Path) -> None:
    small = encoded(pixels(1, size=28)[0])
    pq.write_table(table([small], [0]), hub / "test-00000-of-00001.parquet")
    with pytest.raises(ValueError, match="28 x 28 px, wanted 32 x 32"):
        parquet(hub)


def test_parquet_refuses_missing_files(hub: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        parquet(hub / "nowhere")
    one_line(error, hub / "nowhere", "prepare.path")
    (hub / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(FileNotFoundError) as error:
        parquet(hub)
    one_line(
        error, "train-*-of-00002.parquet", "2 files are promised, 1 are there", "00001 is the first"
    )
    (hub / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"is for training \(test-00000-of-00001.parquet\)"):
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
        (columns(a=[1], b=[2]), ("columns a, b", "img or image", "prepare.image_column")),
        (columns(img=["x"], label=[1]), ("column img is string", "prepare.image_column")),
        (columns(img=[{"bytes": b""}], label=[0.5]), ("column label is double",)),
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
    source = parquet(path)
    train, test, classes = source.train, source.test, source.classes
    assert test is not None
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


def written(folder: Path, *names: str, count: int = 4, **more: object) -> None:
    """Files of `count` pictures of two classes each."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        images = [encoded(pixels(1, seed=i)[0]) for i in range(count)]
        pq.write_table(table(images, [0, 1] * (count // 2), classes=["cat", "dog"]), folder / name)


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        (["train.parquet", "test.parquet"], (4, 0, 4)),
        (
            ["data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"],
            (4, 0, 4),
        ),
        (["train/0000.parquet", "train/0001.parquet", "test/0000.parquet"], (8, 0, 4)),
        (["train-0.parquet", "validation-0.parquet"], (4, 4, 0)),
        (
            ["train-00000-of-00001-1a2b.parquet", "valid-00000-of-00001-3c4d.parquet"],
            (4, 4, 0),
        ),
        (["birds_train_v2.parquet", "birds_dev_v2.parquet", "birds_test_v2.parquet"], (4, 4, 4)),
        (["part.0.parquet", "part.1.parquet"], (8, 0, 0)),
    ],
)
def test_parts_are_found_by_the_names_of_files_and_folders(
    tmp_path: Path, files: list[str], parts: tuple[int, int, int]
) -> None:
    written(tmp_path, *files)
    source = parquet(tmp_path)
    found = (source.train, source.validation, source.test)
    assert tuple(0 if part is None else len(part) for part in found) == parts
    assert source.classes == ("cat", "dog")


def test_files_of_no_part_are_passed_over_and_said(tmp_path: Path) -> None:
    written(tmp_path, "train-0.parquet", "test-0.parquet", "unsupervised-0.parquet")
    source = parquet(tmp_path)
    assert len(source.train) == 4
    assert source.notes == ("passed over, since no part is named: unsupervised-0.parquet",)


def test_shards_with_hashes_are_complete_and_there_once(tmp_path: Path) -> None:
    """`datasets` wrote such names until 2023: two downloads into one folder double the data."""
    names = [f"train-0000{i}-of-00002-{i}a2b3c4d5e6f7a8b.parquet" for i in range(2)]
    written(tmp_path, *names)
    assert len(parquet(tmp_path).train) == 8
    written(tmp_path, "train-00001-of-00002-ffffffffffffffff.parquet")
    with pytest.raises(ValueError) as error:
        parquet(tmp_path)
    one_line(error, "train-00001-of-00002 is there 2 times")
    for name in (names[1], "train-00001-of-00002-ffffffffffffffff.parquet"):
        (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match="2 files are promised, 1 are there, 00001"):
        parquet(tmp_path)


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        (["train-0-of-2", "train-1-of-2"], ""),
        (["train_00001_of_00002", "train_00002_of_00002"], ""),
        (["train/0001", "train/0002", "train/0003"], ""),
        (["train/2019", "train/2021"], ""),
        (
            ["train-0-of-2"],
            "train-*-of-2.parquet: 2 files are promised, 1 are there, 1 is the first",
        ),
        (
            ["train_00000_of_00002"],
            "train_*_of_00002.parquet: 2 files are promised, 1 are there, 00001",
        ),
        (
            ["train_1_of_3", "train_3_of_3"],
            "_of_3.parquet: 3 files are promised, 2 are there, 2 is",
        ),
        (
            ["train/0000", "train/0001", "train/0003"],
            "train/0002.parquet, and files before and behind",
        ),
    ],
)
def test_numbers_of_files(tmp_path: Path, names: list[str], lacking: str) -> None:
    written(tmp_path, *(f"{name}.parquet" for name in names))
    if not lacking:
        assert len(parquet(tmp_path).train) == 4 * len(names)
        return
    with pytest.raises(FileNotFoundError) as error:
        parquet(tmp_path)
    one_line(error, lacking, "complete the folder")


def test_two_sets_of_numbered_files_are_refused(tmp_path: Path) -> None:
    """A repository of the hub with two configurations."""
    written(tmp_path, "full/train-00000-of-00001.parquet", "cropped/train-00000-of-00001.parquet")
    with pytest.raises(ValueError) as error:
        parquet(tmp_path)
    one_line(error, "cropped/train, full/train", "point prepare.path to the folder of one")


NAMES = ["cat", "dog", "cat", "eel"]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(NAMES),
        pa.array(NAMES, pa.large_string()),
        pa.array(NAMES).dictionary_encode(),
        pa.array(NAMES, pa.large_string()).dictionary_encode(),
    ],
)
@pytest.mark.parametrize("column", ["label", "labels", "cls", "class", "category"])
def test_labels_may_be_names(tmp_path: Path, values: pa.Array, column: str) -> None:
    images = [encoded(each) for each in pixels(4)]
    for part, chosen in (("train", [0, 1, 2, 3]), ("test", [3, 3, 0, 1])):
        made = pa.table({"png": [images[i] for i in chosen], column: values.take(chosen)})
        pq.write_table(made, tmp_path / f"{part}.parquet")
    source = parquet(tmp_path)
    assert source.classes == ("cat", "dog", "eel") and source.test is not None
    assert source.train.labels.tolist() == [0, 1, 0, 2]
    assert source.test.labels.tolist() == [2, 2, 0, 1]
    np.testing.assert_array_equal(source.train.images, pixels(4))


def test_labels_may_be_true_and_false(tmp_path: Path) -> None:
    made = pa.table({"image": [PNG] * 3, "label": [True, False, True]})
    pq.write_table(made, tmp_path / "all.parquet")
    source = parquet(tmp_path)
    assert source.classes == ("false", "true") and source.train.labels.tolist() == [1, 0, 1]


def test_a_name_that_no_training_picture_has_is_refused(tmp_path: Path) -> None:
    for part, name in (("train", "dog"), ("test", "wolf")):
        made = pa.table({"image": [PNG] * 2, "label": ["cat", name]})
        pq.write_table(made, tmp_path / f"{part}.parquet")
    with pytest.raises(ValueError) as error:
        parquet(tmp_path)
    one_line(error, tmp_path / "test.parquet", "row 1", "'wolf'", "cat, dog")


def test_names_and_integers_do_not_mix(tmp_path: Path) -> None:
    for part, labels in (("train", ["cat", "dog"]), ("test", [0, 1])):
        pq.write_table(
            pa.table({"image": [PNG] * 2, "label": labels}), tmp_path / f"{part}.parquet"
        )
    with pytest.raises(ValueError, match="has names for labels, .* has integers"):
        parquet(tmp_path)


def test_columns_and_groups_are_named_by_settings(tmp_path: Path) -> None:
    made = pa.table(
        {
            "scan": [PNG] * 4,
            "image": [encoded(pixels(1, seed=9)[0])] * 4,
            "label": [0, 0, 1, 1],
            "grade": [3, 5, 3, 5],
            "patient": ["a", "a", "b", "b"],
        }
    )
    pq.write_table(made, tmp_path / "all.parquet")
    train = parquet(tmp_path, PictureRule(32), Columns("scan", "grade", "patient")).train
    np.testing.assert_array_equal(train.images[0], pixels(1)[0])
    assert train.labels.tolist() == [0, 1, 0, 1]
    assert train.groups is not None and train.groups.tolist() == ["a", "a", "b", "b"]
    for key, given in (
        ("image_column", ("foto", None, None)),
        ("label_column", (None, "kind", None)),
        ("group", (None, None, "house")),
    ):
        with pytest.raises(ValueError, match=f"columns scan, image, .*prepare.{key}"):
            parquet(tmp_path, PictureRule(32), Columns(*given))


def test_paths_without_bytes_are_refused_all_at_once(tmp_path: Path) -> None:
    """What to_parquet of an image folder writes without its pictures."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = pa.array([{"bytes": None, "path": f"{i}.png"} for i in range(30)], kind)
    pq.write_table(pa.table({"image": rows, "label": [0, 1] * 15}), tmp_path / "all.parquet")
    with pytest.raises(ValueError) as error:
        parquet(tmp_path)
    one_line(error, "30 of 30 pictures", "row 19: the picture has no bytes", "and 10 more")


def test_shards_may_have_other_integers_and_no_rows(tmp_path: Path) -> None:
    def write(name: str, labels: list[int], kind: pa.DataType) -> None:
        images = pa.array([PNG] * len(labels), pa.binary())
        pq.write_table(
            pa.table({"image": images, "label": pa.array(labels, kind)}), tmp_path / name
        )

    write("a.parquet", [0, 1], pa.int64())
    write("b.PARQUET", [1, 0], pa.uint64())
    write("c.parquet", [], pa.null())
    source = parquet(tmp_path)
    assert source.classes == ("0", "1") and source.train.labels.tolist() == [0, 1, 1, 0]

    write("b.PARQUET", [1, 2**63], pa.uint64())
    with pytest.raises(
        ValueError, match=r"b.PARQUET: row 1 has label 9223372036854775808, allowed"
    ):
        parquet(tmp_path)


def test_labels_may_be_views_of_strings(tmp_path: Path) -> None:
    labels = pa.array(["b", "a"], pa.string_view())
    pq.write_table(pa.table({"image": [PNG, PNG], "label": labels}), tmp_path / "a.parquet")
    assert parquet(tmp_path).train.labels.tolist() == [1, 0]


def test_a_column_is_there_once(tmp_path: Path) -> None:
    arrays = [pa.array([PNG]), pa.array([0]), pa.array([1])]
    made = pa.Table.from_arrays(arrays, ["image", "label", "label"])
    pq.write_table(made, tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="2 columns are called label, allowed is one"):
        parquet(tmp_path)


@pytest.mark.parametrize("values", [["a", None, ""], [1.0, float("nan"), None]])
def test_rows_without_a_group_are_refused(tmp_path: Path, values: list[object]) -> None:
    made = pa.table({"image": [PNG] * 3, "label": [0, 1, 1], "who": values})
    pq.write_table(made, tmp_path / "a.parquet")
    with pytest.raises(ValueError) as error:
        parquet(tmp_path, columns=Columns(group="who"))
    one_line(error, "2 of 3 rows have no who: 1, 2", "prepare.group")


def test_few_large_pictures_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes of a file can stand for many large values."""
    monkeypatch.setattr(many, "HELD_BYTES", 100_000)
    monkeypatch.setattr(reader, "MAX_FILE_BYTES", 300_000)
    values = [bytes(60_000)] * 5 + [bytes(400_000)]
    pq.write_table(pa.table({"image": values}), tmp_path / "a.parquet")
    items = reader.file_items(tmp_path / "a.parquet", "image")
    held = [[getattr(load, "nbytes", 0) for _, load in many._some(items)] for _ in range(4)]
    assert [len(each) for each in held] == [2, 2, 2, 0]
    assert held[2][1] == 0, "what is too large is not kept"
