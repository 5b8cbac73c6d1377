"""Folders of images: order, labels, and what is refused."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest

from stages.images import pictures
from stages.images.pictures import PictureRule
from stages.images.sources import files
from stages.images.sources.columns import Columns
from stages.images.sources.files import file_bytes, path_below
from stages.images.sources.folder import image_folder
from tests.helpers.image_files import bomb, encoded, one_line, pixels

EIGHT = PictureRule(8)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes of 6 training images and 2 test images; the last ones are JPEG."""
    for split, count in (("train", 6), ("test", 2)):
        for c, name in enumerate(("cat", "ant")):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for i in range(count - 1):
                (folder / f"{i}.png").write_bytes(
                    encoded(np.full((8, 8, 3), 100 * c + i, np.uint8))
                )
            grey = np.full((8, 8), 100 * c + count - 1, np.uint8)
            (folder / "z.JPG").write_bytes(encoded(grey, "JPEG"))
    (tmp_path / "train" / ".DS_Store").write_bytes(b"")
    return tmp_path


def test_folder_mixes_classes_and_keeps_labels(tree: Path) -> None:
    source = image_folder(tree, EIGHT)
    train, test, classes = source.train, source.test, source.classes
    assert test is not None and source.validation is None
    assert source.sizes == {"8 x 8": 16}
    assert classes == ("ant", "cat")
    assert train.images.shape == (12, 8, 8, 3) and test.images.shape == (4, 8, 8, 3)
    np.testing.assert_array_equal(train.labels, (train.images[:, 0, 0, 0] < 90).astype(int))
    assert sorted(train.images[:, 0, 0, 0]) == [*range(6), *range(100, 106)]
    assert np.abs(np.diff(train.labels)).sum() > 2
    names = [f"{c}/{f}" for c in classes for f in ("0.png", "1.png", "2.png", "3.png", "4.png")]
    names = sorted(
        [*names, "ant/z.JPG", "cat/z.JPG"], key=lambda n: hashlib.sha256(n.encode()).digest()
    )
    assert [classes.index(n.split("/")[0]) for n in names] == train.labels.tolist()


def _drop(tree: Path) -> Path:
    for file in (tree / "test" / "cat").iterdir():
        file.unlink()
    return tree / "test" / "cat"


def _put(name: str, data: bytes) -> Callable[[Path], Path]:
    def put(tree: Path) -> Path:
        file = tree / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        return file

    return put


SMALL = encoded(pixels(1, size=8)[0])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_put("train/cat/x.png", b"text"), ("not a readable",)),
        (_put("train/cat/x.png", SMALL[:100]), ("damaged",)),
        (_put("test/cat/x.png", encoded(pixels(1, size=9)[0])), ("9 x 9", "8 x 8", "prepare.fit")),
        (_put("train/cat/x.png", bomb(60000)), ("not a readable", "bomb")),
        (_put("train/cat/x.npy", b"text"), (".jpeg",)),
        (_put("train/x.png", SMALL), ("class folders",)),
        (_put("test/dog/x.png", SMALL), ()),
        (_drop, ("no pictures",)),
    ],
)
def test_folder_refuses(tree: Path, damage: Callable[[Path], Path], words: tuple[str, ...]) -> None:
    file = damage(tree)
    with pytest.raises(ValueError) as error:
        image_folder(tree, EIGHT)
    one_line(error, file.parent if file.parent.name == "dog" else file, *words)


def test_folder_refuses_another_size_than_asked(tree: Path) -> None:
    with pytest.raises(ValueError, match="8 x 8 px, wanted 32 x 32"):
        image_folder(tree, PictureRule(32))


def test_folder_refuses_missing_folders(tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        image_folder(tree / "nowhere")
    (tree / "train").rename(tree / "tain")
    with pytest.raises(ValueError) as error:
        image_folder(tree)
    one_line(error, tree, "tain/, test/", "no folder train")


def put(root: Path, *names: str, size: int = 8) -> None:
    """A picture of its own at each of these places."""
    for place, name in enumerate(names):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(pixels(1, seed=place, size=size)[0]))


@pytest.mark.parametrize(
    "parts",
    [
        ("train", "val", "test"),
        ("train", "valid", "test"),
        ("Training", "Validation", "Testing"),
        ("train", "dev", "TEST"),
    ],
)
def test_parts_may_be_called_as_people_call_them(tmp_path: Path, parts: tuple[str, ...]) -> None:
    for count, part in zip((3, 2, 1), parts, strict=True):
        for kind in ("cat", "dog"):
            put(tmp_path, *(f"{part}/{kind}/{i}.png" for i in range(count)))
    source = image_folder(tmp_path, EIGHT)
    assert source.validation is not None and source.test is not None
    assert [len(source.train), len(source.validation), len(source.test)] == [6, 4, 2]


def test_pictures_may_lie_deeper_and_beside_other_files(tmp_path: Path) -> None:
    """Tiny ImageNet has CLASS/images/, and boxes beside them."""
    put(tmp_path, "train/cat/images/1.JPEG", "train/dog/images/2.JPEG")
    (tmp_path / "train/cat/cat_boxes.txt").write_text("1.JPEG 0 0 8 8")
    (tmp_path / "words.txt").write_text("cat")
    source = image_folder(tmp_path, EIGHT)
    assert source.classes == ("cat", "dog") and len(source.train) == 2
    assert source.notes == ("passed over files beside the pictures: 1 .txt",)
    assert source.test is None


def test_one_folder_of_classes_is_all_for_training(tmp_path: Path) -> None:
    """A class may be called as a part is: here railway trains."""
    put(tmp_path, "bus/1.png", "bus/2.png", "train/1.png", "car/1.png")
    source = image_folder(tmp_path, EIGHT)
    assert source.classes == ("bus", "car", "train")
    assert len(source.train) == 4 and source.test is None


def test_two_folders_for_one_part_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png")
    with pytest.raises(ValueError) as error:
        image_folder(tmp_path, EIGHT)
    one_line(error, "val", "valid", "both for validation")


def test_all_bad_pictures_are_named_at_once(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.png", "train/b/1.png")
    for place in range(25):
        (tmp_path / f"train/a/bad{place:02}.png").write_bytes(b"text")
    with pytest.raises(ValueError) as error:
        image_folder(tmp_path, EIGHT)
    one_line(error, "25 of 27 pictures are not usable", "and 5 more")
    assert str(error.value).count("not a readable picture") == 20


def test_pictures_of_any_size_are_made_to_fit(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png", size=8)
    put(tmp_path, "a/2.png", "b/2.png", size=20)
    source = image_folder(tmp_path, PictureRule(16, "stretch"))
    assert source.train.images.shape == (4, 16, 16, 3)
    assert source.sizes == {"8 x 8": 2, "20 x 20": 2}


def test_a_pattern_finds_the_group_of_each_picture(tmp_path: Path) -> None:
    put(tmp_path, "a/p01_1.png", "a/p01_2.png", "b/p02_1.png")
    groups = image_folder(tmp_path, EIGHT, Columns(group=r"/(p\d+)_")).train.groups
    assert groups is not None and sorted(groups) == ["p01", "p01", "p02"]
    with pytest.raises(
        ValueError, match=r"finds nothing in 3 of 3 names, such as .*prepare|change it"
    ):
        image_folder(tmp_path, EIGHT, Columns(group="patient"))
    with pytest.raises(ValueError, match="no regular expression"):
        image_folder(tmp_path, EIGHT, Columns(group="("))


def test_a_folder_of_nothing_says_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError) as error:
        image_folder(tmp_path, EIGHT)
    one_line(error, "notes.txt", "PART/CLASS/", ".csv", "prepare.path")


def test_parts_may_have_a_word_in_their_name(tmp_path: Path) -> None:
    for part in ("train_images", "valid_set", "test-set"):
        put(tmp_path, f"{part}/cat/1.png", f"{part}/dog/1.png")
    source = image_folder(tmp_path, EIGHT)
    assert list(source.parts) == ["train", "validation", "test"] and source.notes == ()


def test_classes_with_such_words_stay_classes(tmp_path: Path) -> None:
    put(tmp_path, "train station/a/1.png", "bus stop/a/1.png", "test tube/a/1.png")
    assert image_folder(tmp_path, EIGHT).classes == ("bus stop", "test tube", "train station")


def test_what_lies_beside_the_parts_is_noted(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.png", "train/b/1.png", "test/1.png", "extra/x/1.png", "loose.png")
    put(tmp_path, "train_old/a/1.png", "else/2.png")
    (tmp_path / "train/a/more").symlink_to(tmp_path / "else")
    assert image_folder(tmp_path, EIGHT).notes == (
        "passed over else/, which is no part",
        "passed over extra/, which is no part",
        "passed over test/, which has no class folders",
        "passed over train_old/, which is no part",
        "passed over 1 pictures beside the parts",
        "passed over 1 folders that are links: train/a/more",
    )


def test_a_class_train_is_not_taken_for_all(tmp_path: Path) -> None:
    put(tmp_path, *(f"{kind}/images/1.png" for kind in ("train", "car", "plane")))
    with pytest.raises(ValueError) as error:
        image_folder(tmp_path, EIGHT)
    one_line(error, "train/ may be the part for training, or a class as car/, plane/")


def test_parentheses_that_take_no_part_find_nothing(tmp_path: Path) -> None:
    put(tmp_path, "a/p1_1.png", "a/p2_1.png", "b/1.png")
    with pytest.raises(ValueError, match=r"finds nothing in 1 of 3 names, such as b/1\.png"):
        image_folder(tmp_path, EIGHT, Columns(group=r"(p\d+)?_?1"))


def test_names_of_other_encodings(tmp_path: Path) -> None:
    """A picture may have any name; the name of a class must be text."""
    put(tmp_path, "a/1.png", "b/1.png", os.fsdecode(b"b/caf\xe9.png"))
    assert len(image_folder(tmp_path, EIGHT).train) == 3
    put(tmp_path, os.fsdecode(b"caf\xe9/1.png"))
    with pytest.raises(ValueError) as error:
        image_folder(tmp_path, EIGHT)
    one_line(error, "class folder caf\\udce9 is not UTF-8", "rename")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "1.png"
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="a pipe or a device"):
        file_bytes(file)


def test_no_more_is_read_of_a_file_than_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of /proc say that they have no bytes."""
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 10)
    monkeypatch.setattr(pictures, "MAX_FILE_BYTES", 10)
    with pytest.raises(ValueError, match="11 bytes, allowed are 10"):
        file_bytes(Path("/proc/self/status"))


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 100_000])
def test_a_file_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * 400
    (tmp_path / "1.png").write_bytes(data[:size])
    assert file_bytes(tmp_path / "1.png") == data[:size]


@pytest.mark.parametrize("size_said", [0, 5])
def test_a_file_that_grows_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size_said: int
) -> None:
    file = tmp_path / "1.png"
    file.write_bytes(b"x" * size_said)
    early = file.stat()
    file.write_bytes(b"y" * 10)
    monkeypatch.setattr(Path, "stat", lambda _: early)
    assert file_bytes(file) == b"y" * 10


@pytest.mark.parametrize("root", [".", "/", "a", "../a/b", "/a"])
def test_a_path_below_a_folder_is_that_of_pathlib(root: str) -> None:
    for inside in ("1.png", "cat/1.png", "cat/x y/1.png"):
        file = Path(root) / inside
        assert path_below(file, Path(root)) == file.relative_to(root).as_posix() == inside


def test_class_folders_in_two_forms_of_unicode_are_one_class(tmp_path: Path) -> None:
    """A part that was copied from macOS, and one that was not."""
    nfc, nfd = normalize("NFC", "Köln"), normalize("NFD", "Köln")
    put(tmp_path, f"train/{nfc}/0.png", "train/a/0.png", f"val/{nfd}/0.png", "val/a/0.png")
    source = image_folder(tmp_path, EIGHT)
    assert source.classes == (nfc, "a") and source.validation is not None
    assert sorted(source.validation.labels.tolist()) == [0, 1]

    put(tmp_path, f"train/{nfd}/1.png")
    both = image_folder(tmp_path, EIGHT)
    assert both.classes == (nfd, "a") and np.bincount(both.train.labels).tolist() == [2, 1]
