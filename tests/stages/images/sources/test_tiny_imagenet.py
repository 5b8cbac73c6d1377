"""Tiny ImageNet in the layout of its archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.images.pictures import PictureRule
from stages.images.sources.folder import image_folder
from tests.helpers.image_files import encoded, one_line

RULE = PictureRule(8, "crop")
WNIDS = ("n01443537", "n01629819", "n01641577")
LABELS = {"val_0.JPEG": 2, "val_1.JPEG": 0, "val_2.JPEG": 2, "val_3.JPEG": 1}


def put(file: Path, grey: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encoded(np.full((8, 8, 3), grey, np.uint8), "JPEG"))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    root = tmp_path / "tiny-imagenet-200"
    for place, wnid in enumerate(WNIDS):
        for i in range(2):
            put(root / f"train/{wnid}/images/{wnid}_{i}.JPEG", 10 * place + i)
        boxes = "".join(f"{wnid}_{i}.JPEG\t0\t10\t63\t58\n" for i in range(2))
        (root / f"train/{wnid}/{wnid}_boxes.txt").write_text(boxes)

    lines = []
    for place, (name, label) in enumerate(LABELS.items()):
        put(root / "val/images" / name, 100 + place)
        lines.append(f"{name}\t{WNIDS[label]}\t0\t32\t44\t62\n")
    (root / "val/val_annotations.txt").write_text("".join(lines))
    for i in range(3):
        put(root / f"test/images/test_{i}.JPEG", 200 + i)
    (root / "wnids.txt").write_text("\n".join(reversed(WNIDS)))
    (root / "words.txt").write_text("n01443537\tgoldfish, Carassius auratus\nn00001740\tentity\n")
    return root


def test_as_it_is_downloaded(tiny: Path) -> None:
    source = image_folder(tiny, RULE)
    assert source.classes == WNIDS and source.test is None and source.validation is not None
    assert len(source.train) == 6
    assert (source.train.images[:, 0, 0, 0] // 10 == source.train.labels).all()

    greys = source.validation.images[:, 0, 0, 0] - 100
    assert sorted(greys.tolist()) == [0, 1, 2, 3]
    wanted = list(LABELS.values())
    assert source.validation.labels.tolist() == [wanted[grey] for grey in greys]
    assert source.notes == (
        "passed over 3 pictures of test/, which have no labels",
        "passed over files beside the pictures: 3 .txt",
    )


def test_without_a_test_part_or_with_one_in_class_folders(tiny: Path) -> None:
    (tiny / "test").rename(tiny.parent / "away")
    assert image_folder(tiny, RULE).test is None
    put(tiny / f"test/{WNIDS[1]}/images/0.JPEG", 1)
    test = image_folder(tiny, RULE).test
    assert test is not None and test.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("val_1.JPEG\tn01443537", "val_1.JPEG\tn99", "line 2: 'n99' is no folder of train"),
        ("val_1.JPEG\t", "val_1.JPEG ", "is no folder of train"),
        ("val_1.JPEG", "val_2.JPEG", "line 3: 'val_2.JPEG' has a line before; val_1.JPEG has no"),
        ("val_1.JPEG", "../val_1.JPEG", "line 2: '../val_1.JPEG' is not in images/"),
        ("val_3.JPEG\tn01629819\t0\t32\t44\t62\n", "", "val_3.JPEG has no line"),
    ],
)
def test_damaged_annotations(tiny: Path, old: str, new: str, words: str) -> None:
    file = tiny / "val/val_annotations.txt"
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))
    with pytest.raises(ValueError) as error:
        image_folder(tiny, RULE)
    one_line(error, file, words)


def test_annotations_that_are_no_text(tiny: Path) -> None:
    (tiny / "val/val_annotations.txt").write_bytes(b"\xff\n")
    with pytest.raises(ValueError, match=r"val_annotations\.txt: not text in UTF-8"):
        image_folder(tiny, RULE)
    (tiny / "val/val_annotations.txt").write_text("")
    for file in (tiny / "val/images").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="it has no lines"):
        image_folder(tiny, RULE)


@pytest.mark.parametrize("images", ["gone", "empty"])
@pytest.mark.parametrize("below", ["", "images/"])
def test_validation_pictures_that_were_sorted_into_class_folders(
    tiny: Path, images: str, below: str
) -> None:
    """As scripts do it, which leave the annotations where they are."""
    for name, label in LABELS.items():
        target = tiny / "val" / WNIDS[label] / below / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (tiny / "val/images" / name).rename(target)
    if images == "gone":
        (tiny / "val/images").rmdir()

    source = image_folder(tiny, RULE)
    assert source.validation is not None and source.classes == WNIDS and source.test is None
    wanted = list(LABELS.values())
    greys = source.validation.images[:, 0, 0, 0] - 100
    assert source.validation.labels.tolist() == [wanted[grey] for grey in greys]
    assert len(greys) == len(LABELS)


def test_pictures_in_class_folders_beside_those_of_the_annotations(tiny: Path) -> None:
    """No one can know which are meant."""
    put(tiny / f"val/{WNIDS[1]}/val_9.JPEG", 7)
    with pytest.raises(ValueError) as error:
        image_folder(tiny, RULE)
    one_line(error, tiny / "val", "images/ has pictures", WNIDS[1], "remove")
