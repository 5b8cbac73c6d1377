"""Tar files of pictures and labels, in the layouts in which they are published."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.images.pictures import PictureRule
from stages.images.sources import shards
from stages.images.sources.shards import check_complete, in_order
from stages.images.sources.webdataset import webdataset
from tests.helpers.image_files import encoded, one_line, pixels

RULE = PictureRule(8)
Member = tuple[str, bytes]


def tar(members: Sequence[Member | tarfile.TarInfo], packed: bool = False) -> bytes:
    """A tar file as Python's tarfile, and so webdataset, writes it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                file.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            file.addfile(info, io.BytesIO(member[1]))
    data = stream.getvalue()
    return gzip.compress(data) if packed else data


def samples(labels: Sequence[object], seed: int = 0) -> list[Member]:
    """A sample for every label: KEY.png and KEY.cls."""
    images = pixels(len(labels), seed, 8)
    made = []
    for i, label in enumerate(labels):
        made.append((f"{seed:02d}{i:04d}.png", encoded(images[i])))
        made.append((f"{seed:02d}{i:04d}.cls", str(label).encode()))
    return made


def write(root: Path, files: dict[str, list[Member]]) -> Path:
    for name, members in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(tar(members, name.endswith("gz")))
    return root


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz"])
def test_parts_by_the_names_of_files(tmp_path: Path, suffix: str) -> None:
    write(
        tmp_path,
        {
            f"flowers-train-000000{suffix}": samples([0, 1, 2], 0),
            f"flowers-train-000001{suffix}": samples([2, 5], 1),
            f"flowers-val-000000{suffix}": samples([5, 0], 2),
            f"flowers-test-000000{suffix}": samples([1], 3),
        },
    )
    source = webdataset(tmp_path, RULE)
    assert source.validation is not None and source.test is not None
    wanted = np.concatenate([pixels(3, 0, 8), pixels(2, 1, 8)])
    np.testing.assert_array_equal(source.train.images, wanted)
    np.testing.assert_array_equal(source.validation.images, pixels(2, 2, 8))
    assert source.classes == ("0", "1", "2", "5") and source.train.labels.tolist() == [
        0,
        1,
        2,
        2,
        3,
    ]
    assert source.test.labels.tolist() == [1] and source.notes == ()
    assert source.sizes == {"8 x 8": 8}


def test_parts_by_the_names_of_folders_with_names_of_classes(tmp_path: Path) -> None:
    """As CLIP's benchmarks publish them: numbers without zeros, classnames.txt, nshards.txt."""
    files = {f"train/{i}.tar": samples([i % 3], i) for i in range(11)}
    write(tmp_path, {**files, "test/0.tar": samples([2, 1], 20)})
    (tmp_path / "train/nshards.txt").write_text("11")
    (tmp_path / "classnames.txt").write_text("ant\nbee\ncat\n")
    source = webdataset(tmp_path, RULE)
    assert source.classes == ("ant", "bee", "cat") and source.test is not None
    assert source.train.labels.tolist() == [i % 3 for i in range(11)]
    np.testing.assert_array_equal(source.train.images[10], pixels(1, 10, 8)[0])
    assert source.test.labels.tolist() == [2, 1]

    (tmp_path / "train/nshards.txt").write_text("12\n")
    with pytest.raises(ValueError, match="nshards.txt says '12', and there are 11 tar files"):
        webdataset(tmp_path, RULE)


def test_the_nearest_name_says_the_part(tmp_path: Path) -> None:
    """The file's own, and then that of the folder above it."""
    files = {
        "birds_train_v2/train/0.tar": samples([0, 1, 2], 0),
        "birds_train_v2/val/0.tar": samples([2, 1], 1),
        "birds_train_v2/val/birds-test-0.tar": samples([0], 2),
    }
    source = webdataset(write(tmp_path, files), RULE)
    assert source.validation is not None and source.test is not None
    assert [len(part) for part in source.parts.values()] == [3, 2, 1]


def test_labels_in_json(tmp_path: Path) -> None:
    images = pixels(3, 0, 8)
    facts: list[dict[str, Any]] = [
        {"label": "dog", "patient": 7},
        {"class": "cat", "patient": 7},
        {"cls": "dog", "patient": "x"},
    ]
    members = []
    for i, each in enumerate(facts):
        members.append((f"./in.side/{i}.json", json.dumps(each).encode()))
        members.append((f"./in.side/{i}.JPG", encoded(images[i])))
        members.append((f"./in.side/{i}.txt", b"a caption"))
    source = webdataset(write(tmp_path, {"a.tar": members}), RULE, "patient")
    assert source.test is None and source.classes == ("cat", "dog")
    assert source.train.labels.tolist() == [1, 0, 1]
    assert source.train.groups is not None and source.train.groups.tolist() == ["7", "7", "x"]
    assert source.notes == ("passed over in tar files: 3 .txt",)

    with pytest.raises(ValueError) as error:
        webdataset(tmp_path, RULE, "doctor")
    one_line(error, "3 of 3", "its .json has label, patient", "prepare.group")


def test_a_class_in_cls_goes_before_json(tmp_path: Path) -> None:
    members = [*samples([3]), ("000000.json", b'{"label": 4}')]
    assert webdataset(write(tmp_path, {"a.tar": members}), RULE).classes == ("3",)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_members_in_any_order_within_a_file(tmp_path: Path, suffix: str) -> None:
    members = samples([4, 7, 9])
    mixed = [members[i] for i in (1, 4, 0, 3, 2, 5)]
    source = webdataset(write(tmp_path, {f"a{suffix}": mixed}), RULE)
    for image, label in zip(source.train.images, source.train.labels, strict=True):
        place = [4, 7, 9].index(int(source.classes[label]))
        np.testing.assert_array_equal(image, pixels(3, 0, 8)[place])


def test_links_are_passed_over(tmp_path: Path) -> None:
    link, hard, device = (tarfile.TarInfo(f"000009.{kind}") for kind in ("png", "jpg", "cls"))
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard.type, hard.linkname = tarfile.LNKTYPE, "../secret.png"
    device.type = tarfile.CHRTYPE
    outside = [("../../out.png", encoded(pixels(1, 5, 8)[0])), ("../../out.cls", b"1")]
    hidden = [("._000000.png", b"resource fork")]
    root = tmp_path / "in/side"
    write(root, {"none.tar": []})
    (root / "none.tar").rename(root / "a.tar")
    (root / "a.tar").write_bytes(tar([*samples([0, 1]), link, hard, device, *outside, *hidden]))
    source = webdataset(root, RULE)
    assert len(source.train) == 3
    assert source.notes == ("passed over in tar files: 3 links or devices, 1 other files",)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["a.tar", "in", "side"]


def test_missing_files_are_named(tmp_path: Path) -> None:
    names = [f"x-train-{i:06d}.tar" for i in (0, 1, 4, 6)]
    write(tmp_path, {name: samples([0]) for name in names})
    with pytest.raises(FileNotFoundError) as error:
        webdataset(tmp_path, RULE)
    one_line(error, *(f"x-train-{i:06d}.tar" for i in (2, 3, 5)), "complete the folder")


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        (["a-00000-of-00003.tar", "a-00002-of-00003.tar"], "a-00001-of-00003.tar"),
        (["a-00001-of-00002.tar", "a-00002-of-00002.tar"], ""),
        (["8.tar", "9.tar", "11.tar"], "10.tar"),
        (["w6/1.tar", "w6/2.tar", "w6/10.tar"], "no w6/3.tar, w6/4.tar"),
        (["2019.tar", "b.tar"], ""),
        (["a0.tar", "a999999999999.tar"], "a20.tar and 999,999,999,978 more"),
    ],
)
def test_numbers_of_files(names: list[str], lacking: str) -> None:
    files = [Path(name) for name in names]
    if not lacking:
        assert check_complete(files) == []
        return
    with pytest.raises(FileNotFoundError) as error:
        check_complete(files)
    one_line(error, lacking)


def test_numbers_that_begin_late_are_noted() -> None:
    assert check_complete([Path("v-05.tar"), Path("v-06.tar")]) == [
        "the numbers of v-*.tar begin at 5"
    ]
    assert check_complete([Path("v-01.tar"), Path("v-02.tar")]) == []
    assert in_order([Path("10.tar"), Path("9.tar")]) == [Path("9.tar"), Path("10.tar")]


SOUND = samples([0, 1])
JSON = "000000.json"
REFUSED: list[tuple[dict[str, list[Member]], tuple[str, ...]]] = [
    ({"a.tar": [*SOUND, ("000000.jpg", b"x")]}, ("two pictures", "000000.png", "000000.jpg")),
    ({"a.tar": [*SOUND, ("000000.cls", b"1")]}, ("two files .cls",)),
    ({"a.tar": [*SOUND, ("9.png", b"x"), ("8.webp", b"x")]}, ("2 of 4", "a.tar, 9: no label")),
    ({"a.tar": [*SOUND, ("9.cls", b"1")]}, ("a.tar, 9: no picture",)),
    ({"a.tar": [*SOUND, ("9.png", b"x"), ("9.cls", b"1")]}, ("9.png: not a readable picture",)),
    ({"a.tar": [*SOUND, *samples(["cat"], 1)]}, ("has 0 and", "has 'cat'", "not both")),
    ({"a.tar": [*SOUND, *samples([-1], 1)]}, ("label -1", "0 to 65,535")),
    ({"a.tar": [*SOUND, *samples([10**17], 1)]}, ("0 to 65,535",)),
    ({"a.tar": [SOUND[0], (JSON, b'{"label": true}')]}, ("label True",)),
    ({"a.tar": [SOUND[0], (JSON, b'{"label": 1.5}')]}, ("label 1.5",)),
    ({"a.tar": [SOUND[0], (JSON, b"[1]")]}, ("no names and values",)),
    ({"a.tar": [SOUND[0], (JSON, b"{")]}, (f"a.tar, {JSON}: not JSON",)),
    ({"a.tar": [SOUND[0], (JSON, b"[" * 10**5)]}, (f"a.tar, {JSON}: not JSON",)),
    ({"a.tar": [SOUND[0], ("000000.cls", b"\xff")]}, ("000000.cls: not text",)),
    ({"a.tar": [SOUND[0], ("000000.cls", b"1" * 5000)]}, ("5,000 bytes, allowed are 4,096",)),
    ({"train.tar": SOUND, "more.tar": SOUND}, ("more.tar names no part", "train, val")),
    ({"test.tar": SOUND}, ("none of test.tar is for training",)),
    ({"train.tar": SOUND, "val.tar": samples([7])}, ("row 0 has label 7",)),
    ({"train.tar": samples(["a", "b"]), "val.tar": samples(["c"])}, ("class 'c' is none of a, b",)),
    ({"train.tar": SOUND, "val.tar": [("a.txt", b"x")]}, ("no samples for validation",)),
]


@pytest.mark.parametrize(("files", "words"), REFUSED, ids=[words[0][:30] for _, words in REFUSED])
def test_refused(tmp_path: Path, files: dict[str, list[Member]], words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError) as error:
        webdataset(write(tmp_path, files), RULE)
    one_line(error, *words)


def test_no_tar_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no tar files in"):
        webdataset(tmp_path, RULE)
    with pytest.raises(FileNotFoundError, match="no folder"):
        webdataset(tmp_path / "none", RULE)


@pytest.mark.parametrize("text", ["ant\n\nbee\n", "", "ant\n"])
def test_lists_of_names(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"a.tar": SOUND})
    (tmp_path / "classes.txt").write_text(text)
    words = "row 1 has label 1, allowed are 0 to 0" if text == "ant\n" else "an empty line"
    with pytest.raises(ValueError, match=words):
        webdataset(tmp_path, RULE)
    (tmp_path / "classnames.txt").write_text("ant")
    with pytest.raises(ValueError, match="both list classes"):
        webdataset(tmp_path, RULE)


def header(name: str, size: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header whose size is these twelve bytes."""
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


WHOLE = tar(SOUND)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no tar file",
        bytes(512 * 20)[:300],
        WHOLE[: 512 * 2],  # cut where a member ends, which tarfile takes for the end
        WHOLE[: 512 * 2 + 100],  # cut within a header: the same
        WHOLE[: 512 * 2] + b"\xff" * 512 + WHOLE[512 * 3 :],  # a damaged header: the same
        WHOLE[: 512 * 3 + 1],
        WHOLE + WHOLE,  # which tarfile takes for the first alone
        header("a.png", b"\x80" + b"\0" * 10 + b"\x7f" * 1) + bytes(64),
        header("a", b"\xff" * 11 + b"\0", tarfile.XHDTYPE) + bytes(2048),
        header("a", b"77777777777\0", tarfile.XHDTYPE) + bytes(2048),
        header("a", b"77777777777\0", tarfile.GNUTYPE_LONGNAME) + bytes(2048),
        header("a", b"00000000001\0", tarfile.GNUTYPE_LONGNAME) * 4000,
        header("a.npy", b"77777777777\0") + bytes(2048),
    ],
)
def test_damaged_files(tmp_path: Path, data: bytes, packed: bool) -> None:
    file = tmp_path / ("a.tar.gz" if packed else "a.tar")
    file.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(ValueError) as error:
        webdataset(tmp_path, RULE)
    one_line(error, file, "not a sound tar file", "prepare.path")


@pytest.mark.parametrize("changed", [{"size": -1}, {"offset": 0}])
def test_a_member_that_leads_backwards_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, int]
) -> None:
    """The tarfile of Python 3.11.7 can be led round for ever; here by a stand-in for it."""
    (tmp_path / "a.tar").write_bytes(WHOLE)
    read = tarfile.TarFile.next
    calls = []

    def following(file: tarfile.TarFile) -> tarfile.TarInfo | None:
        member = read(file)
        calls.append(member)
        if member is not None and len(calls) > 1:
            for name, value in changed.items():
                setattr(member, name, value)
        return member

    monkeypatch.setattr(tarfile.TarFile, "next", following)
    with pytest.raises(ValueError, match="not a sound tar file"):
        webdataset(tmp_path, RULE)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [b"00010000000\0", b"\xff" * 10 + b"\xf0\0"])
def test_long_names_are_bounded_before_they_are_read(
    tmp_path: Path, kind: bytes, size: bytes
) -> None:
    """Two million bytes, and fewer than none, which tarfile takes for all that is left."""
    (tmp_path / "a.tar").write_bytes(header("a", size, kind) + bytes(3 << 20))
    with pytest.raises(ValueError, match="a header claims .* bytes, allowed are 1,048,576"):
        webdataset(tmp_path, RULE)


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large members of small files, one large picture, and endless members."""
    file = tmp_path / "a.tar.gz"
    for members, words in (
        ([*SOUND, ("a.npy", bytes(100 << 20))], "too many"),
        ([*SOUND, ("a.png", bytes(9 << 20)), ("a.cls", b"1")], "allowed are 8,388,608 a picture"),
    ):
        file.write_bytes(tar(members, packed=True))
        with pytest.raises(ValueError) as error:
            webdataset(tmp_path, RULE)
        one_line(error, file, words)

    monkeypatch.setattr(shards, "MAX_MEMBERS", 1000)
    file.write_bytes(gzip.compress(header("a.txt", b"00000000000\0") * 1001))
    with pytest.raises(ValueError, match="more than 1,000 members"):
        webdataset(tmp_path, RULE)


def test_damage_within_gzip(tmp_path: Path) -> None:
    file = tmp_path / "a.tar.gz"
    data = tar(samples(range(50)), packed=True)
    for bad in (data[:-9], data[: len(data) // 2], data[:200] + b"\0\0\0" + data[203:]):
        file.write_bytes(bad)
        with pytest.raises(ValueError) as error:
            webdataset(tmp_path, RULE)
        one_line(error, file)
