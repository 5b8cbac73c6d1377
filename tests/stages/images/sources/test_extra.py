"""Further test sets: what a folder holds decides how it is read, and what is wrong is named."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.images.pictures import PictureRule
from stages.images.sources.extra import read_all, read_extra
from stages.images.sources.extra_sets import ExtraSet
from stages.settings.prepare import ExtraTest
from tests.helpers import extra_sets
from tests.helpers.image_files import encoded, one_line, pixels
from tests.helpers.mapped import resident

CLASSES = ("airplane", "automobile", "bird")
LABELS = np.array([0, 1, 2, 2, 1, 0, 1])


def at(folder: Path, **columns: str) -> ExtraTest:
    """An entry of `prepare.extra_tests`."""
    return ExtraTest(str(folder), **columns)


def read(folder: Path, name: str = "mine", size_px: int = 32) -> list[ExtraSet]:
    return read_extra(name, at(folder), CLASSES, PictureRule(size_px))


def images_of(found: ExtraSet, part: int = 0) -> np.ndarray:
    return np.concatenate([*found.parts[part].blocks()])


def test_cifar_10_c(tmp_path: Path) -> None:
    folder = extra_sets.corrupted(tmp_path / "c", pixels(7), LABELS)
    (found,) = read(folder)

    assert found.name == "mine" and found.severities == 5
    assert [part.corruption for part in found.parts] == ["fog", "gaussian_noise", "spatter"]
    assert (found.labels == np.tile(LABELS, 5)).all() and found.labels.dtype == np.int64
    for place, part in enumerate(found.parts):
        assert (images_of(found, place) == np.load(folder / f"{part.corruption}.npy")).all()


def test_npy_files_are_mapped_and_read_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = read(extra_sets.corrupted(tmp_path / "c", pixels(7), LABELS))
    mapped = found.parts[0].images()
    assert isinstance(mapped, np.memmap) and not mapped.flags.writeable

    whole = found.parts[0].fingerprint()
    monkeypatch.setattr("stages.images.sources.extra_sets.BLOCK", 8)
    blocks = [*found.parts[0].blocks()]
    assert [len(block) for block in blocks] == [8, 8, 8, 8, 3]
    assert not any(isinstance(block, np.memmap) for block in blocks)
    assert (np.concatenate(blocks) == mapped).all() and found.parts[0].fingerprint() == whole

    # Large images are fewer at a time.
    monkeypatch.setattr("stages.images.sources.extra_sets.PART_BYTES", 5 * 32 * 32 * 3 + 1)
    assert [len(block) for block in found.parts[0].blocks()] == [5] * 7
    assert found.parts[0].fingerprint() == whole


def test_a_large_file_does_not_become_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = np.zeros((2800, 32, 32, 3), np.uint8), np.tile(LABELS, 400)
    (found,) = read(extra_sets.corrupted(tmp_path / "c", images, labels, ["fog"]))
    size = 5 * images.nbytes  # 43 MB
    monkeypatch.setattr("stages.images.sources.extra_sets.BLOCK", 100)

    for block in found.parts[0].blocks():
        assert len(block) == 100 and resident(tmp_path / "c/fog.npy") < size // 2


def test_a_fingerprint_is_that_of_the_pixels(tmp_path: Path) -> None:
    images = pixels(7)
    (one,) = read(extra_sets.corrupted(tmp_path / "one", images, LABELS))
    (same,) = read(extra_sets.corrupted(tmp_path / "same", images, LABELS[::-1]))
    images[3, 2, 1, 0] ^= 1
    np.save(tmp_path / "same/fog.npy", np.tile(images, (5, 1, 1, 1)))

    hashes = [part.fingerprint() for part in one.parts]
    others = [part.fingerprint() for part in same.parts]
    assert len(set(hashes)) == 3 and hashes[1:] == others[1:] and hashes[0] != others[0]


@pytest.mark.parametrize("versions", [("v6",), ("v4", "v6")])
def test_cifar_10_1(tmp_path: Path, versions: tuple[str, ...]) -> None:
    folder = extra_sets.versions(tmp_path / "v", pixels(7), LABELS, versions)
    sets = read(folder, "cifar10.1")

    names = ["cifar10.1"] if len(versions) == 1 else ["cifar10.1-v4", "cifar10.1-v6"]
    assert [found.name for found in sets] == names
    assert [len(found.labels) for found in sets] == [3, 7][-len(versions) :]
    assert (sets[-1].labels == LABELS).all() and (images_of(sets[-1]) == pixels(7)).all()
    assert {found.severities for found in sets} == {0}
    assert {part.corruption for found in sets for part in found.parts} == {""}


def test_an_image_folder(tmp_path: Path) -> None:
    folder = extra_sets.image_folder(tmp_path / "f", pixels(7), LABELS, CLASSES)
    (folder / ".DS_Store").touch()
    (folder / "bird/.hidden").touch()
    (found,) = read(folder)

    order = np.argsort(LABELS, kind="stable")  # classes are sorted by name, and so are their files
    assert (found.labels == LABELS[order]).all() and (images_of(found) == pixels(7)[order]).all()


def test_folders_that_are_links_are_noted(tmp_path: Path) -> None:
    folder = extra_sets.image_folder(tmp_path / "f", pixels(7), LABELS, CLASSES)
    extra_sets.image_folder(tmp_path / "g", pixels(7), LABELS, CLASSES)
    (folder / "bird/more").symlink_to(tmp_path / "g/bird")
    (found,) = read(folder)
    assert found.notes == ("passed over 1 folders that are links: bird/more",)
    assert len(found.labels) == 7


def test_a_folder_may_lack_classes(tmp_path: Path) -> None:
    folder = extra_sets.image_folder(tmp_path / "f", pixels(2), np.array([2, 2]), CLASSES)
    (found,) = read(folder)
    assert found.labels.tolist() == [2, 2]


@pytest.mark.parametrize("make", [extra_sets.image_folder, extra_sets.parquet])
def test_classes_in_another_form_of_unicode(tmp_path: Path, make: Callable[..., Path]) -> None:
    classes = ("Bär", "Köln", "a")
    labels = np.array([0, 1, 1])
    folder = make(tmp_path / "f", pixels(3), labels, tuple(normalize("NFD", n) for n in classes))
    test = ExtraTest(str(folder), None, None)
    (found,) = read_extra(
        "mine", test, tuple(normalize("NFC", n) for n in classes), PictureRule(32)
    )
    assert found.labels.tolist() == labels.tolist()


@pytest.mark.parametrize("named", [CLASSES, CLASSES[::-1], CLASSES[1:], None])
def test_parquet_labels_are_matched_by_name(tmp_path: Path, named: tuple[str, ...] | None) -> None:
    own = named or CLASSES
    labels = np.array([own.index(CLASSES[label]) for label in LABELS if CLASSES[label] in own])
    wanted = [label for label in LABELS if CLASSES[label] in own]
    folder = extra_sets.parquet(tmp_path / "p", pixels(len(labels)), labels, named)
    (found,) = read(folder)
    assert found.labels.tolist() == wanted
    assert (images_of(found) == pixels(len(labels))).all()


def test_of_parquet_files_those_of_the_test_split_are_read(tmp_path: Path) -> None:
    other = extra_sets.parquet(tmp_path, pixels(3, 1), LABELS[:3], CLASSES, "a.parquet")
    assert len(read(other)[0].labels) == 3
    extra_sets.parquet(tmp_path, pixels(3, 1), LABELS[:3], CLASSES, "train-0.parquet")
    both = extra_sets.parquet(tmp_path, pixels(7), LABELS, CLASSES, "new_test/0.parquet")
    assert len(read(both)[0].labels) == 7


@pytest.mark.parametrize("other", [(), ("a.parquet",)])
def test_parquet_files_of_other_parts_alone_are_no_test_set(
    tmp_path: Path, other: tuple[str, ...]
) -> None:
    for name in ("train-0.parquet", "val/0.parquet", *other):
        extra_sets.parquet(tmp_path, pixels(7), LABELS, CLASSES, name)
    with pytest.raises(ValueError) as error:
        read(tmp_path)
    one_line(error, "prepare.extra_tests.mine", "train-0.parquet, val/0.parquet are for training")


VALUES = ("1", "2", "10")
"""Classes of training labels without names: the values, in rising order."""


def of_numbers(folder: Path, kind: str, labels: list[int]) -> Path:
    images = pixels(len(labels))
    if kind == "parquet":
        return extra_sets.parquet(folder, images, np.array(labels), None)
    if kind == "npy":
        return extra_sets.versions(folder, images, np.array(labels), ("v6",))
    return extra_sets.corrupted(folder, images, np.array(labels))


@pytest.mark.parametrize("kind", ["parquet", "npy", "corrupted"])
@pytest.mark.parametrize("classes", [VALUES, VALUES[::-1], ("10", "1", "2")])
def test_numbers_are_values_where_the_training_classes_are(
    tmp_path: Path, kind: str, classes: tuple[str, ...]
) -> None:
    folder = of_numbers(tmp_path / "set", kind, [1, 2, 10, 1])
    (found,) = read_extra("mine", at(folder), classes, PictureRule(32))
    assert [classes[label] for label in found.labels[:4]] == ["1", "2", "10", "1"]
    assert found.labels.dtype == np.int64


def test_values_may_be_negative(tmp_path: Path) -> None:
    """As lists of pictures name them."""
    folder = of_numbers(tmp_path / "set", "parquet", [1, 0, -1])
    (found,) = read_extra("mine", at(folder), ("-1", "0", "1"), PictureRule(32))
    assert found.labels.tolist() == [2, 1, 0]


@pytest.mark.parametrize("kind", ["parquet", "npy", "corrupted"])
@pytest.mark.parametrize("label", [0, 3])
def test_values_that_no_training_image_has_are_refused(
    tmp_path: Path, kind: str, label: int
) -> None:
    folder = of_numbers(tmp_path / "set", kind, [1, 2, label, 1])
    with pytest.raises(ValueError) as error:
        read_extra("mine", at(folder), VALUES, PictureRule(32))
    one_line(error, f"row 2 has label {label}, which no training image has (1, 2, 10)", "mine: ")


@pytest.mark.parametrize("classes", [("0", "1", "2"), ("b", "1", "2"), ("1", "2", "2 (2)")])
def test_numbers_are_places_where_the_training_classes_have_names(
    tmp_path: Path, classes: tuple[str, ...]
) -> None:
    folder = of_numbers(tmp_path / "set", "parquet", [2, 0, 1])
    (found,) = read_extra("mine", at(folder), classes, PictureRule(32))
    assert found.labels.tolist() == [2, 0, 1]


def test_columns_are_those_of_the_training_data(tmp_path: Path) -> None:
    pictures = [encoded(image) for image in pixels(7)]
    table = pa.table({"photo": pictures, "kind": [CLASSES[label] for label in LABELS]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ValueError) as error:
        read(tmp_path)
    one_line(error, "columns photo, kind, ", "set prepare.extra_tests.mine.image_column, beside")

    rule = PictureRule(32)
    (found,) = read_extra(
        "x", at(tmp_path), CLASSES, rule, image_column="photo", label_column="kind"
    )
    assert found.labels.tolist() == LABELS.tolist() and (images_of(found) == pixels(7)).all()
    (of_all,) = read_all({"x": at(tmp_path)}, CLASSES, rule, "photo", "kind")
    assert of_all.found.labels.tolist() == LABELS.tolist()


def test_an_entry_may_name_its_own_columns(tmp_path: Path) -> None:
    """Two entries and the training data, each with other columns."""
    pictures = [encoded(image) for image in pixels(7)]
    rule = PictureRule(32)
    tests = {}
    for name in ("a", "b"):
        columns = {"image_column": f"photo {name}", "label_column": f"kind {name}"}
        # The usual names are there too, with other content: what is named counts.
        table = pa.table(
            {
                "image": pictures[::-1],
                "label": [0] * 7,
                "share": [0.5] * 7,
                columns["image_column"]: pictures,
                columns["label_column"]: LABELS,
            }
        )
        (tmp_path / name).mkdir()
        pq.write_table(table, tmp_path / name / "a.parquet")
        tests[name] = at(tmp_path / name, **columns)

    for each in read_all(tests, CLASSES, rule, "training photo", "training kind"):
        assert each.found.labels.tolist() == LABELS.tolist()
        assert (images_of(each.found) == pixels(7)).all()

    half = at(tmp_path / "a", label_column="kind a")
    (found,) = read_extra("mine", half, CLASSES, rule, "image", "training kind")
    assert found.labels.tolist() == LABELS.tolist() and (images_of(found) == pixels(7)[::-1]).all()

    wrong = at(tmp_path / "a", label_column="share")
    with pytest.raises(ValueError) as error:
        read_extra("mine", wrong, CLASSES, rule)
    one_line(error, "prepare.extra_tests.mine: ", "change prepare.extra_tests.mine.label_column,")
    assert "prepare.label_column" not in str(error.value)


@pytest.mark.parametrize("kind", ["corrupted", "versions", "image_folder"])
def test_columns_where_nothing_has_columns_are_refused(tmp_path: Path, kind: str) -> None:
    more = (CLASSES,) if kind == "image_folder" else ()
    folder = getattr(extra_sets, kind)(tmp_path / "x", pixels(7), LABELS, *more)
    with pytest.raises(ValueError) as error:
        read_extra("mine", at(folder, image_column="photo"), CLASSES, PictureRule(32))
    one_line(error, "prepare.extra_tests.mine: image_column is 'photo'", "set it to null")

    # Those of the training data are not meant for this one.
    assert read_extra("mine", at(folder), CLASSES, PictureRule(32), "photo", "kind")


SHARDS = [f"test-{place:05d}-of-00003" for place in range(3)]


@pytest.mark.parametrize("part", ["test", "corner"])
def test_numbered_files_must_all_be_there_once(tmp_path: Path, part: str) -> None:
    """With a part in their names, and without."""
    names = [shard.replace("test", part) for shard in SHARDS]
    for place, name in enumerate(names):
        own = slice(2 * place, 2 * place + 2)
        extra_sets.parquet(tmp_path, pixels(7)[own], LABELS[own], CLASSES, f"{name}.parquet")
    assert read(tmp_path)[0].labels.tolist() == LABELS[:6].tolist()

    again = f"{names[1]}-0123456789abcdef.parquet"
    extra_sets.parquet(tmp_path, pixels(2), LABELS[:2], CLASSES, again)
    with pytest.raises(ValueError) as error:
        read(tmp_path)
    one_line(error, "prepare.extra_tests.mine: ", f"{names[1]} is there 2 times")

    (tmp_path / again).unlink()
    (tmp_path / f"{names[1]}.parquet").unlink()
    with pytest.raises(FileNotFoundError) as missing:
        read(tmp_path)
    words = ("3 files are promised, 2 are there, 00001 is the first that is missing", "complete")
    one_line(missing, "prepare.extra_tests.mine: ", f"{part}-*-of-00003.parquet", *words)


def test_numbered_files_of_other_parts_may_be_missing(tmp_path: Path) -> None:
    """They are not read."""
    extra_sets.parquet(tmp_path, pixels(7), LABELS, CLASSES)
    extra_sets.parquet(tmp_path, pixels(1), LABELS[:1], CLASSES, "train-00001-of-00002.parquet")
    assert len(read(tmp_path)[0].labels) == 7


def test_two_sets_of_numbered_files_are_refused(tmp_path: Path) -> None:
    for name in ("full", "cropped"):
        file = f"{name}/test-00000-of-00001.parquet"
        extra_sets.parquet(tmp_path, pixels(7), LABELS, CLASSES, file)
    with pytest.raises(ValueError) as error:
        read(tmp_path)
    one_line(
        error, "cropped/test, full/test", "point prepare.extra_tests.mine to the folder of one"
    )


def test_hidden_arrays_are_passed_over(tmp_path: Path) -> None:
    """As macOS leaves them beside the files that it copies."""
    for folder, names in (
        (extra_sets.corrupted(tmp_path / "c", pixels(7), LABELS), ("._fog.npy", "._labels.npy")),
        (extra_sets.versions(tmp_path / "v", pixels(7), LABELS), ("._cifar10.1_v4_data.npy",)),
    ):
        for name in names:
            (folder / name).write_bytes(b"resource fork")
    (found,) = read(tmp_path / "c")
    assert [part.corruption for part in found.parts] == ["fog", "gaussian_noise", "spatter"]
    assert len(read(tmp_path / "v")) == 2


@pytest.mark.parametrize("part", ["", "test", "Testing"])
def test_pictures_lie_at_any_depth_beside_the_usual_files(tmp_path: Path, part: str) -> None:
    root = tmp_path / "set" / part
    extra_sets.image_folder(root, pixels(7), LABELS, [f"{name}/images" for name in CLASSES])
    for name in ("README.md", "bird/Thumbs.db", "bird/images/a.txt"):
        (root / name).touch()
    (found,) = read(tmp_path / "set")

    order = np.argsort(LABELS, kind="stable")
    assert (found.labels == LABELS[order]).all() and (images_of(found) == pixels(7)[order]).all()


@pytest.mark.parametrize("others", [("test", "train"), ("test", "bird"), ("val",)])
def test_parts_beside_a_test_part_are_refused(tmp_path: Path, others: tuple[str, ...]) -> None:
    for name in others:
        extra_sets.image_folder(tmp_path / "set" / name, pixels(7), LABELS, CLASSES)
    with pytest.raises(ValueError, match=r"no class of the nets is called (test|val)"):
        read(tmp_path / "set")


def test_two_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    of_two = extra_sets.versions(tmp_path / "v", pixels(7), LABELS)
    other = extra_sets.versions(tmp_path / "w", pixels(7), LABELS, ("v4",))
    with pytest.raises(ValueError) as error:
        list(read_all({"a": at(of_two), "a-v4": at(other)}, CLASSES, PictureRule(32)))
    one_line(error, "prepare.extra_tests has two sets called a-v4: rename one")


def test_names_that_classes_share_are_matched_as_prepare_stores_them(tmp_path: Path) -> None:
    stored = ("crane (0)", "crane (1)", "bird")
    folder = extra_sets.parquet(tmp_path, pixels(3), np.arange(3), ("crane", "crane", "bird"))
    (found,) = read_extra("mine", at(folder), stored, PictureRule(32))
    assert found.labels.tolist() == [0, 1, 2]


def test_a_relative_path_starts_at_mimicnets_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra_sets.versions(tmp_path / "data/v", pixels(7), LABELS)
    monkeypatch.setenv("MIMICNETS_DATA", str(tmp_path / "data"))
    assert len(read(Path("v"))) == 2
    with pytest.raises(FileNotFoundError) as error:
        read(Path("w"))
    one_line(error, tmp_path / "data/w", "prepare.extra_tests.mine", "MIMICNETS_DATA")


# ------------------------------------------------------------------------------------ what is wrong


def corrupted(change: Callable[[Path], object]) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        extra_sets.corrupted(folder, pixels(7), LABELS)
        change(folder)

    return make


def of_classes(change: Callable[[Path], object]) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        extra_sets.image_folder(folder, pixels(7), LABELS, CLASSES)
        change(folder)

    return make


def versions(change: Callable[[Path], object]) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        extra_sets.versions(folder, pixels(7), LABELS)
        change(folder)

    return make


def labels(values: object) -> Callable[[Path], object]:
    return corrupted(lambda folder: np.save(folder / "labels.npy", np.array(values)))


def fog(array: np.ndarray) -> Callable[[Path], object]:
    return corrupted(lambda folder: np.save(folder / "fog.npy", array))


def cut(folder: Path) -> None:
    data = (folder / "fog.npy").read_bytes()
    (folder / "fog.npy").write_bytes(data[:-1000])


def objects(folder: Path) -> None:
    np.save(folder / "fog.npy", np.array([{}, []], dtype=object), allow_pickle=True)


def open_bracket(folder: Path) -> None:
    """A header whose tuple does not end: numpy gives it to Python's tokenizer."""
    data = (folder / "fog.npy").read_bytes()
    (folder / "fog.npy").write_bytes(data.replace(b"3), }", b"3 , }"))


def archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "fog.npy", "w") as file:
        file.write(folder / "labels.npy", "labels.npy")


class Trap:
    """Unpickled, it makes a file."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (Path.touch, (Path("unpickled"),))


def trap(folder: Path) -> None:
    (folder / "fog.npy").write_bytes(pickle.dumps(Trap()))


def of_files(*names: str) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        folder.mkdir()
        for name in names:
            (folder / name).touch()

    return make


WRONG: list[tuple[str, Callable[[Path], object], tuple[str, ...]]] = [
    ("nothing there", of_files(), ("holds nothing", "CORRUPTION.npy", "_data.npy", "*.parquet")),
    ("other files", of_files("a.tar", "b.txt"), ("holds a.tar, b.txt", "folders CLASS")),
    ("no corruption", of_files("labels.npy"), ("labels.npy", "not a readable .npy")),
    ("labels alone", corrupted(lambda f: [p.unlink() for p in f.glob("*[gre].npy")]), ("no CORR",)),
    ("label too large", labels(np.tile([0, 1, 3], 5)), ("row 2 has label 3", "0 to 2")),
    ("label negative", labels(np.tile([0, -1, 2], 5)), ("row 1 has label -1", "0 to 2")),
    ("labels of floats", labels(np.tile(LABELS, 5) * 1.0), ("float64", "wanted are integers")),
    ("labels once", labels(LABELS), ("7 labels", "5 times")),
    ("labels of other images", labels([*np.tile(LABELS, 4), *LABELS[::-1]][:-1] + [1]), ("35",)),
    ("images of another size", fog(pixels(35, size=16)), ("(35, 16, 16, 3)", "(35, 32, 32, 3)")),
    ("fewer images", fog(pixels(34)), ("fog.npy", "(34, 32, 32, 3)")),
    ("floats", fog(pixels(35) / 255), ("float64", "uint8")),
    ("cut off", corrupted(cut), ("fog.npy", "not a readable .npy file", "download")),
    ("objects", corrupted(objects), ("fog.npy", "not a readable .npy file")),
    ("a pickle", corrupted(trap), ("fog.npy", "not a readable .npy file")),
    ("half a header", corrupted(open_bracket), ("fog.npy", "not a readable .npy file")),
    ("an archive", corrupted(archive), ("fog.npy", "an archive of arrays")),
    ("no labels", versions(lambda f: (f / "cifar10.1_v6_labels.npy").unlink()), ("v6_labels",)),
    ("unknown class", of_classes(lambda f: (f / "dog").mkdir()), ("called dog", "airplane, auto")),
    ("file among classes", of_classes(lambda f: (f / "x.png").touch()), ("x.png", "folders CLASS")),
    (
        "other files in a class",
        of_classes(lambda f: [(f / "bird" / n).touch() for n in ("x.mov", "y.npy")]),
        ("bird/x.mov", "bird/y.npy: other files, allowed are .png"),
    ),
    (
        "a pipe for a file",
        of_classes(lambda f: os.mkfifo(f / "bird/x.png")),
        ("bird/x.png: other",),
    ),
    ("no image", of_classes(lambda f: (f / "bird/x.png").touch()), ("bird/x.png",)),
    ("empty folders", of_classes(lambda f: [p.unlink() for p in f.rglob("*.png")]), ("no files",)),
    (
        "another size",
        of_classes(lambda f: (f / "bird/0.png").write_bytes(encoded(pixels(1, size=20)[0]))),
        ("bird/0.png", "20", "32 x 32"),
    ),
    (
        "unknown names",
        lambda f: extra_sets.parquet(f, pixels(2), np.arange(2), ("bird", "dog")),
        ("dog cannot be matched", "airplane"),
    ),
    (
        "unknown number",
        lambda f: extra_sets.parquet(f, pixels(2), np.array([1, 3]), None),
        ("row 1 has label 3", "choose another folder"),
    ),
    (
        "no rows",
        lambda f: extra_sets.parquet(f, pixels(0), np.arange(0), CLASSES),
        ("no rows",),
    ),
]


@pytest.mark.parametrize(("make", "words"), [pytest.param(*e[1:], id=e[0]) for e in WRONG])
def test_what_is_wrong_is_one_line_with_the_key(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], object],
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "set")
    with pytest.raises(ValueError) as error:
        read(tmp_path / "set")
    one_line(error, "prepare.extra_tests.mine: ", *words)
    assert "prepare.path" not in str(error.value) and not Path("unpickled").exists()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    extra_sets.versions(tmp_path / "v", pixels(7), LABELS)
    shutil.rmtree(tmp_path / "v")
    with pytest.raises(FileNotFoundError) as error:
        read(tmp_path / "v")
    one_line(error, tmp_path / "v", "prepare.extra_tests.mine")
