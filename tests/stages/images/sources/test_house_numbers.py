"""SVHN's full numbers: digits cut out of the pictures of houses."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.images.pictures import Box, PictureRule, ReadParts, read_parts, read_picture
from stages.images.sources.digit_struct import LIST_FILE, Digit, houses_of
from stages.images.sources.house_numbers import house_numbers
from stages.images.sources.split import split
from stages.settings.prepare import Prepare
from tests.helpers.house_files import Boxes, put, write_houses, write_list
from tests.helpers.image_files import encoded, one_line

h5py = pytest.importorskip("h5py")

EIGHT = PictureRule(8)
STRETCH = PictureRule(8, "stretch")
HOUSES: dict[str, Boxes] = {
    "1.png": [(2, 3, 8, 8, 1), (10, 3, 8, 8, 10)],
    "2.png": [(0, 0, 8, 8, 9)],
    "10.png": [(5, 1, 8, 8, 4), (6, 2, 8, 8, 4), (7, 4, 8, 8, 7)],
}


def test_digits_are_what_lies_in_their_boxes(tmp_path: Path) -> None:
    write_houses(tmp_path / "train", HOUSES)
    write_houses(tmp_path / "test", {"1.png": [(1, 2, 8, 8, 3)]})
    source = house_numbers(tmp_path, EIGHT)
    assert source.classes == tuple("0123456789") and source.validation is None
    assert source.train.labels.tolist() == [1, 0, 9, 4, 4, 7] and source.test is not None
    assert source.test.labels.tolist() == [3] and source.notes == ()
    assert source.sizes == {"8 x 8": 7}

    corners = [(2, 3, 0), (10, 3, 0), (0, 0, 1), (5, 1, 2), (6, 2, 2), (7, 4, 2)]
    for image, (left, top, house) in zip(source.train.images, corners, strict=True):
        assert (image[..., 0] == np.arange(left, left + 8)).all()
        assert (image[..., 1] == np.arange(top, top + 8)[:, None]).all()
        assert (image[..., 2] == house).all()

    assert source.train.groups is not None
    houses = ["1", "1", "2", "10", "10", "10"]
    assert source.train.groups.tolist() == [f"train/{name}.png" for name in houses]


def test_the_list_is_read_as_matlab_writes_it(tmp_path: Path) -> None:
    write_list(tmp_path / LIST_FILE, {"7.png": [(-1, 2, 5, 9, 10)], **HOUSES})
    houses = houses_of(tmp_path / LIST_FILE)
    assert [house.name for house in houses] == ["7.png", *HOUSES]
    assert houses[0].digits == [Digit(0, (-1, 2, 4, 11))]
    assert houses[3].digits[2] == Digit(7, (7, 4, 15, 12))


def test_boxes_end_at_the_border(tmp_path: Path) -> None:
    boxes: Boxes = [
        (-3, -2, 7, 9, 1),
        (17, 8, 30, 30, 2),
        (4, 0, 0, 5, 3),
        (-9, 0, 9, 5, 4),
        (20, 0, 5, 5, 1),
    ]
    write_houses(tmp_path / "train", {"1.png": boxes})
    source = house_numbers(tmp_path, STRETCH)
    assert source.train.labels.tolist() == [1, 2]
    assert source.sizes == {"4 x 7": 1, "3 x 4": 1}
    assert source.notes == ("passed over 3 digits of train/ whose boxes have no pixel, in 1.png",)

    cut = np.zeros((12, 20, 3), np.uint8)
    cut[..., 0], cut[..., 1] = np.arange(20), np.arange(12)[:, None]
    for image, part in zip(source.train.images, (cut[:7, :4], cut[8:, 17:]), strict=True):
        wanted = read_picture(encoded(part), "x", STRETCH).pixels
        np.testing.assert_array_equal(image, wanted)


def test_a_box_outside_its_picture_is_refused_by_name() -> None:
    with pytest.raises(ValueError) as error:
        read_picture(encoded(np.zeros((12, 20, 3), np.uint8)), "1.png", STRETCH, (20, 0, 25, 5))
    one_line(error, "1.png: the box from 20, 0 to 25, 5 has no pixel of its 20 x 12")


def test_boxes_without_any_pixel_leave_nothing(tmp_path: Path) -> None:
    write_houses(tmp_path / "train", {"1.png": [(20, 0, 5, 5, 1)]})
    with pytest.raises(ValueError, match=r"digitStruct\.mat: no digit with a pixel"):
        house_numbers(tmp_path, STRETCH)


def test_a_picture_that_is_missing_or_not_listed(tmp_path: Path) -> None:
    folder = write_houses(tmp_path / "train", HOUSES)
    (folder / "2.png").rename(folder / "3.png")
    with pytest.raises(ValueError, match=r"2\.png: No such file"):
        house_numbers(tmp_path, EIGHT)
    (folder / "2.png").write_bytes((folder / "3.png").read_bytes())
    notes = house_numbers(tmp_path, EIGHT).notes
    assert notes == ("passed over 1 pictures of train/ that its list does not name",)


def test_exact_is_about_the_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, and before pictures are decoded."""
    boxes: dict[str, Boxes] = {
        "1.png": [(0, 0, 8, 9, 1), (0, 0, 8, 8, 1)],
        "2.png": [(1, 1, 7, 8, 1)],
    }
    write_houses(tmp_path / "train", boxes, 8, 12)
    monkeypatch.setattr("stages.images.sources.house_numbers.read_pictures", None)
    with pytest.raises(ValueError) as error:
        house_numbers(tmp_path, EIGHT)
    one_line(error, "2 of 3 digits", "1.png: 8 x 9 px, wanted 8 x 8", "set prepare.fit")


@pytest.mark.parametrize("extra", [False, True])
def test_a_picture_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: bool
) -> None:
    write_houses(tmp_path / "train", HOUSES)
    write_houses(tmp_path / "extra", HOUSES)
    opened: list[str] = []

    def parts(data: bytes, name: str, rule: PictureRule, boxes: Sequence[Box]) -> ReadParts:
        opened.append(name)
        return read_parts(data, name, rule, boxes)

    monkeypatch.setattr("stages.images.sources.many.read_parts", parts)
    source = house_numbers(tmp_path, EIGHT, extra)
    folders = ("train", "extra") if extra else ("train",)
    wanted = [str(tmp_path / folder / name) for folder in folders for name in HOUSES]
    assert sorted(opened) == sorted(wanted) and len(source.train) == 6 * len(folders)


@pytest.mark.parametrize(("side", "threads"), [(300, True), (60, False)])
def test_threads_are_for_the_size_of_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, threads: bool
) -> None:
    """And not for that of the digits."""
    boxes: dict[str, Boxes] = {f"{i}.png": [(0, 0, 8, 8, 1)] for i in range(4)}
    write_houses(tmp_path / "train", boxes, side, side)
    monkeypatch.setattr("stages.images.sources.many.AT_ONCE", 2)
    used: list[bool] = []

    def parts(data: bytes, name: str, rule: PictureRule, boxes: Sequence[Box]) -> ReadParts:
        used.append(threading.current_thread() is not threading.main_thread())
        return read_parts(data, name, rule, boxes)

    monkeypatch.setattr("stages.images.sources.many.read_parts", parts)
    house_numbers(tmp_path, EIGHT)
    assert used == [True, True, threads, threads]


def test_extra_digits_are_mixed_with_the_others(tmp_path: Path) -> None:
    many: dict[str, Boxes] = {f"{i}.png": [(0, 0, 8, 8, 1), (1, 0, 8, 8, 2)] for i in range(30)}
    write_houses(tmp_path / "train", many)
    write_houses(tmp_path / "extra", many)
    train = house_numbers(tmp_path, EIGHT, True).train
    assert train.groups is not None and len(train) == 120
    first = [name.split("/")[0] for name in train.groups[:40].tolist()]
    assert 8 < first.count("extra") < 32
    assert ((train.images[:, 0, 0, 0] == 0) == (train.labels == 1)).all()
    house = [int(name[6:-4]) for name in train.groups.tolist()]
    assert train.images[:, 0, 0, 2].tolist() == house


def test_a_house_is_never_in_two_parts(tmp_path: Path) -> None:
    many: dict[str, Boxes] = {f"{i}.png": [(0, 0, 8, 8, 1), (1, 0, 8, 8, 2)] for i in range(30)}
    write_houses(tmp_path / "train", many)
    values: dict[str, Any] = {"path": "x", "split": "order", "train": None, "size_px": 8}
    values |= {"source": "svhn-full", "validation": 9, "test": 11, "shape": None}
    divided = split(Prepare(**values), house_numbers(tmp_path, EIGHT))
    groups = {name: set(part.groups.tolist()) for name, part in divided.parts.items()}  # type: ignore[union-attr]
    assert not groups["train"] & groups["validation"] and not groups["train"] & groups["test"]
    assert not groups["validation"] & groups["test"]
    assert [len(part) for part in divided.parts.values()] == [38, 9, 11]


def damaged(file: Path, fault: str) -> None:
    """One thing in a list is another."""
    write_list(file, HOUSES)
    with h5py.File(file, "r+") as opened:
        refs, top = opened["#refs#"], opened["digitStruct"]
        names, boxes = top["name"], top["bbox"]
        first = opened[boxes[1, 0]]
        match fault:
            case "no bbox":
                del top["bbox"]
            case "fewer boxes":
                del top["bbox"]
                top.create_dataset("bbox", (2, 1), h5py.ref_dtype)
            case "no reference":
                boxes[0, 0] = h5py.Reference()
            case "numbers for references":
                del top["name"]
                top["name"] = np.ones((3, 1))
            case "box for a name":
                names[0, 0] = first.ref
            case "name for a box":
                boxes[0, 0] = opened[names[0, 0]].ref
            case "a path":
                names[0, 0] = put(refs, np.array([[ord(c)] for c in "../a.png"]), b"char").ref
            case "twice":
                names[1, 0] = names[0, 0]
            case "label 11":
                first["label"][...] = 11
            case "half a pixel":
                first["left"][...] = 0.5
            case "not a number":
                first["top"][...] = np.nan
            case "text":
                del first["top"]
                first["top"] = np.array([[b"x"]])
            case "large":
                del first["top"]
                first.create_dataset("top", (2**40, 1), "f8", chunks=(2**10, 1))
            case "large piece":
                del first["top"]
                pieces = {"chunks": (2**28, 1), "maxshape": (None, 1), "compression": "gzip"}
                first.create_dataset("top", (1, 1), "f8", **pieces)
            case "other file":
                del first["top"]
                first.create_dataset("top", (1, 1), "f8", external=[("/etc/passwd", 0, 8)])
            case "other link":
                del top["bbox"]
                top["bbox"] = h5py.ExternalLink("other.mat", "/x")
            case "virtual":
                del first["top"]
                layout = h5py.VirtualLayout((1, 1), "f8")
                layout[:] = h5py.VirtualSource("other.mat", "x", (1, 1))
                first.create_virtual_dataset("top", layout)
            case "two tops":
                del first["top"]
                first["top"] = np.ones((2, 1))


FAULTS = {
    "no bbox": "not the list of houses",
    "fewer boxes": "3 names and 2 lists of boxes",
    "no reference": "empty reference",
    "numbers for references": "a number or an empty reference",
    "box for a name": "a group in the place of a data set",
    "name for a box": "a data set in the place of boxes",
    "a path": "a picture called '../a.png'",
    "twice": "it lists 1.png twice",
    "label 11": "label 11",
    "half a pixel": "left is [0.5]",
    "not a number": "top is [nan]",
    "text": "a data set of |S1",
    "large": "wanted (n, 1)",
    "large piece": "in pieces of 2,147,483,648 bytes",
    "other file": "lies in other files",
    "other link": "not the list of houses",
    "virtual": "lies in other files",
    "two tops": "boxes with [1, 2, 1, 1, 1]",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_lists(tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / LIST_FILE
    damaged(file, fault)
    with pytest.raises(ValueError) as error:
        houses_of(file)
    one_line(error, file, FAULTS[fault], "unpack the archive again")


def test_other_folders_and_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder .*train"):
        house_numbers(tmp_path, EIGHT)
    (tmp_path / "train").mkdir()
    with pytest.raises(FileNotFoundError, match="no file .*digitStruct.mat"):
        house_numbers(tmp_path, EIGHT)
    (tmp_path / "train/digitStruct.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(ValueError, match="not the list of houses that SVHN has"):
        house_numbers(tmp_path, EIGHT)


def test_h5py_is_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError) as error:
        houses_of(tmp_path / LIST_FILE)
    one_line(error, "h5py", "pip install '.[hdf5]'")
