"""Folders of images: order, labels, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.images.sources.folder import image_folder
from tests.helpers.image_files import bomb, encoded, one_line, pixels


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
    train, test, classes = image_folder(tree)
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
        (_put("test/cat/x.png", encoded(pixels(1, size=9)[0])), ("9 x 9", "8 x 8")),
        (_put("train/cat/x.png", bomb(60000)), ("not a readable", "bomb")),
        (_put("train/cat/x.txt", b"text"), (".jpeg",)),
        (_put("train/x.png", SMALL), ("class folders",)),
        (_put("test/dog/x.png", SMALL), ()),
        (_drop, ("no images",)),
    ],
)
def test_folder_refuses(tree: Path, damage: Callable[[Path], Path], words: tuple[str, ...]) -> None:
    file = damage(tree)
    with pytest.raises(ValueError) as error:
        image_folder(tree, 8)
    one_line(error, file.parent if file.parent.name == "dog" else file, *words)


def test_folder_refuses_another_size_than_asked(tree: Path) -> None:
    with pytest.raises(ValueError, match="8 x 8 px, allowed is 32 x 32"):
        image_folder(tree, 32)


def test_folder_refuses_missing_folders(tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        image_folder(tree / "nowhere")
    (tree / "test").rename(tree / "tset")
    with pytest.raises(FileNotFoundError) as error:
        image_folder(tree)
    one_line(error, tree / "test")
