"""Images in NumPy files, in the layouts of MedMNIST, Keras, and one file a part."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.images.pictures import PictureRule
from stages.images.sources import npz
from stages.images.sources.images_npz import images_npz
from tests.helpers.image_files import one_line, pixels

RULE = PictureRule(8)


def medmnist(path: Path, grey: bool = False, **more: Any) -> Path:
    """`path` as MedMNIST writes it: 9, 4 and 3 images, labels uint8 (n, 1)."""
    arrays: dict[str, np.ndarray] = {}
    for k, (name, count) in enumerate((("train", 9), ("val", 4), ("test", 3))):
        images = pixels(count, seed=k, size=8)
        arrays[f"{name}_images"] = images[..., 0] if grey else images
        arrays[f"{name}_labels"] = (np.arange(count, dtype=np.uint8) % 3)[:, None]
    arrays |= more
    np.savez_compressed(
        path, **{name: value for name, value in arrays.items() if value is not None}
    )
    return path


@pytest.mark.parametrize("whole", [True, False])
def test_medmnist(tmp_path: Path, whole: bool) -> None:
    file = medmnist(tmp_path / "pathmnist.npz")
    source = images_npz(file if whole else tmp_path, RULE)
    assert source.validation is not None and source.test is not None
    np.testing.assert_array_equal(source.train.images, pixels(9, size=8))
    np.testing.assert_array_equal(source.validation.images, pixels(4, seed=1, size=8))
    np.testing.assert_array_equal(source.test.images, pixels(3, seed=2, size=8))
    assert source.train.labels.tolist() == [0, 1, 2] * 3 and source.test.labels.tolist() == [
        0,
        1,
        2,
    ]
    assert source.classes == ("0", "1", "2") and source.sizes == {"8 x 8": 16}


def test_grey_images_become_equal_red_green_and_blue(tmp_path: Path) -> None:
    source = images_npz(medmnist(tmp_path / "a.npz", grey=True), RULE)
    grey = pixels(9, size=8)[..., :1]
    np.testing.assert_array_equal(source.train.images, np.repeat(grey, 3, axis=3))


@pytest.mark.parametrize("grey", [False, True])
def test_images_of_another_size_become_what_pillow_makes_of_them(
    tmp_path: Path, grey: bool
) -> None:
    """Bicubic, as picture files are resized."""
    file = medmnist(tmp_path / "a.npz", grey)
    with pytest.raises(ValueError, match="picture 0: 8 x 8 px, wanted 6 x 6: set prepare.size_px"):
        images_npz(file, PictureRule(6))

    source = images_npz(file, PictureRule(6, "stretch"))
    for made, given in zip(source.train.images, pixels(9, size=8), strict=True):
        image = Image.fromarray(given[..., 0]).convert("RGB") if grey else Image.fromarray(given)
        wanted = image.resize((6, 6), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(made, np.asarray(wanted))


def test_keras(tmp_path: Path) -> None:
    """mnist.npz of Keras has grey images and labels uint8 (n,)."""
    grey = pixels(6, size=8)[..., 0]
    labels = np.array([7, 2, 1, 0, 4, 1], np.uint8)
    np.savez(
        tmp_path / "mnist.npz", x_test=grey[:2], x_train=grey, y_train=labels, y_test=labels[:2]
    )
    source = images_npz(tmp_path, RULE)
    assert source.test is not None and source.validation is None
    assert source.classes == ("0", "1", "2", "4", "7")
    assert [source.classes[i] for i in source.train.labels] == [str(i) for i in labels]
    np.testing.assert_array_equal(source.test.images[..., 2], grey[:2])


def test_a_file_for_each_part_with_names_and_groups(tmp_path: Path) -> None:
    """Names are matched, whatever the order in which a file lists them."""
    lists = {"train": ["ant", "bee", "cat"], "Valid": ["cat", "ant"], "test": ["bee", "cat", "ant"]}
    for name, classes in lists.items():
        images = np.asfortranarray(pixels(len(classes), size=8))
        np.savez(
            tmp_path / f"{name}.npz",
            images=images,
            labels=np.arange(len(classes)),
            classes=np.array(classes),
            groups=np.array([f"p{i // 2}" for i in range(len(classes))]),
        )
    source = images_npz(tmp_path, RULE, "groups")
    for part, classes in zip(("train", "validation", "test"), lists.values(), strict=True):
        held = source.parts[part]
        assert [source.classes[i] for i in held.labels] == classes
        assert held.groups is not None and held.groups.tolist() == ["p0", "p0", "p1"][: len(held)]
        np.testing.assert_array_equal(held.images, pixels(len(classes), size=8))

    assert source.notes == ()
    (note,) = images_npz(tmp_path, RULE).notes
    assert "set prepare.group to groups" in note


def test_only_a_training_part(tmp_path: Path) -> None:
    labels = np.array([b"dog", b"cat", b"dog"])
    np.savez(tmp_path / "mine.npz", images=pixels(3, size=8), labels=labels)
    source = images_npz(tmp_path, RULE)
    assert source.test is None and source.validation is None and source.classes == ("cat", "dog")
    assert source.train.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize("kind", [np.uint8, np.float32, bool])
def test_one_hot_labels(tmp_path: Path, kind: type) -> None:
    """As to_categorical of Keras makes them; with names, and without."""
    labels = np.array([2, 0, 1, 2, 2])
    arrays = {"images": pixels(5, size=8), "labels": np.eye(3)[labels].astype(kind)}
    np.savez(tmp_path / "mine.npz", **arrays, classes=np.array(["x", "a", "m"]))
    source = images_npz(tmp_path, RULE)
    assert source.classes == ("x", "a", "m") and source.train.labels.tolist() == labels.tolist()

    np.savez(tmp_path / "mine.npz", **arrays)
    assert images_npz(tmp_path, RULE).classes == ("0", "1", "2")


def one_hot(count: int, width: int) -> np.ndarray:
    return np.eye(width, dtype=np.uint8)[np.arange(count) % width]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"train_labels": one_hot(9, 3), "test_labels": one_hot(3, 2)}, ("3 columns", "2 classes")),
        ({"train_labels": one_hot(9, 2), "test_labels": one_hot(3, 3)}, ("2 columns", "3 classes")),
        (
            {"test_labels": one_hot(3, 2)},
            ("test_labels have 2 columns", "train_labels", "3 classes"),
        ),
        (
            {"train_labels": one_hot(9, 2) @ np.eye(2, 3), "classes": np.array(["a", "b"])},
            ("train_labels have 3 columns", "classes has 2 names"),
        ),
    ],
    ids=["fewer for test", "more for test", "numbers for training", "names"],
)
def test_one_hot_parts_have_all_columns(
    tmp_path: Path, arrays: dict[str, Any], words: tuple[str, ...]
) -> None:
    """As pandas.get_dummies, which leaves out a class that a part lacks."""
    file = medmnist(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError) as error:
        images_npz(file, RULE)
    one_line(error, file, *words)


def test_one_hot_parts_with_their_own_names(tmp_path: Path) -> None:
    """Columns are matched by name, so a part may have fewer."""
    for name, kinds in (("train", ["a", "b", "c"]), ("test", ["a", "c"])):
        count = len(kinds)
        arrays = {"images": pixels(count, size=8), "labels": one_hot(count, count)}
        np.savez(tmp_path / f"{name}.npz", **arrays, classes=np.array(kinds))
    test = images_npz(tmp_path, RULE).test
    assert test is not None and test.labels.tolist() == [0, 2]


OBJECTS = np.array(["a", "b", "c"], dtype=object)
REFUSED: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"classes": OBJECTS}, ("array classes holds Python objects", ".astype(str)")),
    ({"train_labels": OBJECTS}, ("array train_labels holds Python objects",)),
    ({"train_labels": np.zeros((9, 14), int)}, ("(9, 14)", "9 rows", "row 0", "one class each")),
    ({"train_labels": np.eye(9) + np.eye(9)[::-1]}, ("9 rows", "row 0", "one-hot")),
    ({"train_labels": np.zeros(8, int)}, ("(8,)", "allowed are integers (9,)")),
    ({"train_labels": np.zeros(9)}, ("float64",)),
    ({"train_labels": None}, ("train_images", "no train_labels", "test_labels")),
    ({"train_images": None}, ("'train_images'", "'x_train'", "val_images")),
    ({"train_images": pixels(9, size=8) / 255}, ("float64", ".astype(np.uint8)")),
    ({"train_images": pixels(9, size=8).transpose(0, 3, 1, 2)}, (".transpose(0, 2, 3, 1)",)),
    ({"train_images": np.zeros((9, 8, 8, 8), np.uint8)}, ("volumes",)),
    ({"train_images": np.zeros((9, 8, 8, 4), np.uint8)}, ("transparency", "[..., :3]")),
    ({"train_images": np.zeros((9, 64), np.uint8)}, ("(9, 64)", "prepare.shape")),
    ({"train_images": np.zeros((0, 8, 8), np.uint8)}, ("at least one picture",)),
    ({"test_labels": np.full((3, 1), 7)}, ("row 0 has label 7", "no training image")),
    ({"x_train": pixels(1, size=8), "y_train": np.zeros(1, int)}, ("both for train",)),
    ({"classes": np.array(["a", "b"])}, ("row 2 has label 2", "0 to 1")),
]


@pytest.mark.parametrize(("arrays", "words"), REFUSED, ids=[words[0] for _, words in REFUSED])
def test_other_arrays_are_refused(
    tmp_path: Path, arrays: dict[str, Any], words: tuple[str, ...]
) -> None:
    file = medmnist(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError) as error:
        images_npz(file, RULE)
    one_line(error, file, *words)


def test_a_wrong_group_names_the_arrays(tmp_path: Path) -> None:
    file = medmnist(tmp_path / "a.npz", train_patient=np.arange(8))
    with pytest.raises(ValueError) as error:
        images_npz(file, RULE, "doctor")
    one_line(error, "no array 'train_doctor'", "train_patient", "prepare.group")
    with pytest.raises(ValueError) as error:
        images_npz(file, RULE, "patient")
    one_line(error, "train_patient is int64 (8,)", "(9,)")


def test_wrong_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        images_npz(tmp_path / "nowhere", RULE)
    with pytest.raises(FileNotFoundError, match="no file .*train.npz"):
        images_npz(tmp_path, RULE)
    for name in ("bloodmnist", "dermamnist"):
        medmnist(tmp_path / f"{name}.npz")
    with pytest.raises(ValueError) as error:
        images_npz(tmp_path, RULE)
    one_line(error, "bloodmnist.npz, dermamnist.npz", "prepare.path")
    for name in ("val", "VALIDATION", "train"):
        medmnist(tmp_path / f"{name}.npz")
    with pytest.raises(ValueError, match="are both for validation"):
        images_npz(tmp_path, RULE)


def claiming(path: Path, shape: tuple[int, ...], dtype: str, data: bytes) -> None:
    """A file whose images' header promises this."""
    head = io.BytesIO()
    promise = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, promise)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("images.npy", head.getvalue() + data)
        label = io.BytesIO()
        np.save(label, np.zeros(shape[0] % 100, int))
        file.writestr("labels.npy", label.getvalue())


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((10**9, 8, 8), "|u1", "array images claims uint8 (1000000000, 8, 8), and has 192 bytes"),
        ((10**15, 8, 8, 3), "|u1", "array images claims"),
        ((4, 8, 8), "|u1", "array images claims uint8 (4, 8, 8), and has 192 bytes"),
        ((2, 8, 8), "|u1", "array images claims"),
        ((10**15, 8, 8), "<U0", "an array of <U0"),
    ],
)
def test_a_header_that_promises_something_else_is_refused(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, words: str
) -> None:
    file = tmp_path / "a.npz"
    claiming(file, shape, dtype, bytes(3 * 64))
    with pytest.raises(ValueError) as error:
        images_npz(file, RULE)
    one_line(error, file, "is not a file of numpy.savez", words)


def test_more_than_deflate_can_pack_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.npz"
    np.savez_compressed(file, images=np.zeros((9, 64, 64), np.uint8), labels=np.arange(9) % 2)
    assert len(images_npz(file, PictureRule(64)).train) == 9
    monkeypatch.setattr(npz, "_MOST_TIMES", 1)  # as if zeros could not be packed so well
    with pytest.raises(ValueError, match="array images claims more than its"):
        images_npz(file, PictureRule(64))


def test_more_than_is_allowed_is_refused_by_the_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = medmnist(tmp_path / "a.npz", train_labels=np.zeros((9, 1), "U999"))
    monkeypatch.setattr("stages.images.sources.npz_labels.MAX_LABEL_BYTES", 5000)
    with pytest.raises(ValueError, match="train_labels has 35,964 bytes, allowed are 5,000"):
        images_npz(file, RULE)


def test_damage_is_found(tmp_path: Path) -> None:
    file = medmnist(tmp_path / "a.npz")
    data = file.read_bytes()
    for bad in (b"", b"PK", data[:-40], data[:300] + b"\0\0\0\0" + data[304:]):
        file.write_bytes(bad)
        with pytest.raises(ValueError) as error:
            images_npz(file, RULE)
        one_line(error, file, "is not a file of numpy.savez", "prepare.path")


def test_arrays_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "PIECE_BYTES", 2 * 192)
    file = medmnist(tmp_path / "a.npz")
    assert [len(piece) for piece in npz.Arrays(file).pieces("train_images")] == [2, 2, 2, 2, 1]
    source = images_npz(file, RULE)
    np.testing.assert_array_equal(source.train.images, pixels(9, size=8))
