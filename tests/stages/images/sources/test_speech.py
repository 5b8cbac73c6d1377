"""Kaldi's folders of features, written by kaldiio and by hand."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.images.sources import kaldi
from stages.images.sources.kaldi import integers, places_of, rows_of
from stages.images.sources.speech import speech, windows
from tests.helpers.image_files import one_line

LENGTHS = {"ann-1": 5, "ann-2": 3, "bob-1": 4}


def features(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, frames]).normal(size=(frames, 2)).astype(np.float32)


def matrix(values: np.ndarray) -> bytes:
    """A matrix of floats as Kaldi writes it in binary form."""
    rows, columns = values.shape
    return b"\0BFM " + struct.pack("<bibi", 4, rows, 4, columns) + values.astype("<f4").tobytes()


def listed(values: list[int]) -> bytes:
    """A list of integers as Kaldi writes it in binary form."""
    return b"\0B" + b"".join(struct.pack("<bi", 4, each) for each in [len(values), *values])


def archive(path: Path, entries: dict[str, bytes]) -> Path:
    """An .ark file and its .scp."""
    data = b""
    lines = []
    for key, entry in entries.items():
        data += key.encode() + b" "
        lines.append(f"{key} {path}:{len(data)}\n")
        data += entry
    path.write_bytes(data)
    path.with_suffix(".scp").write_text("".join(lines))
    return path


def write(folder: Path, lengths: dict[str, int] = LENGTHS, **files: str) -> Path:
    """A part of a corpus: features, and other files as text."""
    folder.mkdir(parents=True, exist_ok=True)
    archive(folder / "feats.ark", {key: matrix(features(n)) for key, n in lengths.items()})
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


WORDS = {"utt2label": "ann-1 yes\nann-2 no\nbob-1 yes\n"}
SPEAKERS = {"utt2spk": "ann-1 ann\nann-2 ann\nbob-1 bob\n"}


def test_bytes_are_those_that_kaldiio_writes(tmp_path: Path) -> None:
    kaldiio = pytest.importorskip("kaldiio")
    entries = {key: features(n) for key, n in LENGTHS.items()}
    kaldiio.save_ark(str(tmp_path / "a.ark"), entries)
    archive(tmp_path / "b.ark", {key: matrix(value) for key, value in entries.items()})
    assert (tmp_path / "a.ark").read_bytes() == (tmp_path / "b.ark").read_bytes()

    lists = {"x": np.array([3, 1, 70000], np.int32)}
    kaldiio.save_ark(str(tmp_path / "c.ark"), lists)
    archive(tmp_path / "d.ark", {"x": listed([3, 1, 70000])})
    assert (tmp_path / "c.ark").read_bytes() == (tmp_path / "d.ark").read_bytes()
    (place,) = places_of(tmp_path / "c.ark")
    assert integers(place).tolist() == [3, 1, 70000]


def test_labels_of_utterances(tmp_path: Path) -> None:
    pytest.importorskip("kaldiio")
    write(tmp_path / "train", **WORDS, **SPEAKERS)
    write(tmp_path / "dev", {"cat-1": 6}, text="cat-1 no\n")
    source = speech(tmp_path, (3, 2))
    assert source.classes == ("no", "yes") and source.validation is not None
    assert source.test is None and source.notes == ()
    assert source.train.images.shape == (12, 3, 2) and source.train.images.dtype == np.float32
    assert source.train.labels.tolist() == [1] * 5 + [0] * 3 + [1] * 4
    assert source.train.groups is not None and source.validation.groups is not None
    assert source.train.groups.tolist() == ["ann"] * 8 + ["bob"] * 4
    assert source.validation.groups.tolist() == ["cat-1"] * 6

    first = features(5)
    np.testing.assert_array_equal(source.train.images[0], first[[0, 0, 1]])
    np.testing.assert_array_equal(source.train.images[2], first[[1, 2, 3]])
    np.testing.assert_array_equal(source.train.images[4], first[[3, 4, 4]])


def test_labels_of_frames(tmp_path: Path) -> None:
    pytest.importorskip("kaldiio")
    folder = write(tmp_path / "train", **SPEAKERS)
    labels = {key: [(i + n) % 4 for i in range(n)] for key, n in LENGTHS.items()}
    archive(folder / "ali.ark", {key: listed(labels[key]) for key in reversed(LENGTHS)})
    source = speech(tmp_path, (2,))
    np.testing.assert_array_equal(
        source.train.images, np.concatenate([features(n) for n in LENGTHS.values()])
    )
    wanted = [label for key in LENGTHS for label in labels[key]]
    assert [int(source.classes[i]) for i in source.train.labels] == wanted

    (folder / "ali.scp").unlink()
    (folder / "feats.scp").unlink()
    again = speech(tmp_path, (2,))
    np.testing.assert_array_equal(again.train.images, source.train.images)
    np.testing.assert_array_equal(again.train.labels, source.train.labels)


def test_utterances_of_the_shape_are_one_vector_each(tmp_path: Path) -> None:
    pytest.importorskip("kaldiio")
    write(tmp_path / "train", dict.fromkeys(LENGTHS, 5), **WORDS)
    source = speech(tmp_path, (5, 2))
    assert source.train.images.shape == (3, 5, 2) and source.train.labels.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(source.train.images[0], features(5))
    assert source.notes == ("every utterance has 5 frames and is one vector",)
    assert source.train.groups is not None and source.train.groups.tolist() == list(LENGTHS)


@pytest.mark.parametrize("method", range(1, 8))
def test_compressed_features(tmp_path: Path, method: int) -> None:
    """Kaldi's compressions, as kaldiio reads them."""
    kaldiio = pytest.importorskip("kaldiio")
    folder = write(tmp_path / "train", **WORDS)
    entries = {key: np.abs(features(n)) for key, n in LENGTHS.items()}
    (folder / "feats.scp").unlink()
    kaldiio.save_ark(str(folder / "feats.ark"), entries, compression_method=method)
    made = speech(tmp_path, (2,)).train.images
    peer = [value for _, value in kaldiio.load_ark(str(folder / "feats.ark"))]
    np.testing.assert_array_equal(made, np.concatenate(peer).astype(np.float32))


def test_a_folder_that_was_moved(tmp_path: Path) -> None:
    pytest.importorskip("kaldiio")
    write(tmp_path / "a/train", **WORDS)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len(speech(tmp_path / "b", (2,)).train) == 12
    (tmp_path / "b/train/feats.ark").unlink()
    with pytest.raises(FileNotFoundError, match="no file .*feats.ark, which .*feats.scp names"):
        speech(tmp_path / "b", (2,))


def test_windows_are_centred() -> None:
    assert windows(4, 1).tolist() == [[0], [1], [2], [3]]
    assert windows(3, 4).tolist() == [[0, 0, 1, 2], [0, 1, 2, 2], [1, 2, 2, 2]]
    assert windows(9, 5)[4].tolist() == [2, 3, 4, 5, 6]


REFUSED: list[tuple[dict[str, str], tuple[str, ...]]] = [
    ({"utt2label": "ann-1 yes\n"}, ("no line for 2 of 3 utterances", "ann-2, bob-1")),
    ({"text": "ann-1 a b\nann-2 a\nbob-1 c\n"}, ("text: several words", "ann-1")),
    ({"utt2label": "ann-1\n"}, ("line 1, ann-1 stands alone",)),
    ({"utt2label": "ann-1 a\nann-1 b\n"}, ("line 2, ann-1 has a line before",)),
    ({**WORDS, "utt2spk": "ann-1 ann\n"}, ("utt2spk: no line for 2",)),
    ({**WORDS, "feats.scp": "ann-1 touch marker |\n"}, ("a command", "not run")),
    ({**WORDS, "feats.scp": "ann-1 feats.ark:6[0:3]\n"}, ("a part of a matrix",)),
    ({**WORDS, "feats.scp": "ann-1 feats.ark:99999\n"}, ("text, or no entry",)),
    ({**WORDS, "feats.scp": "\n"}, ("no utterances",)),
]


@pytest.mark.parametrize(("files", "words"), REFUSED, ids=[words[0][:30] for _, words in REFUSED])
def test_refused(
    tmp_path: Path, files: dict[str, str], words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("kaldiio")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "train", **files)
    with pytest.raises(ValueError) as error:
        speech(tmp_path, (2,))
    one_line(error, *words)
    assert not (tmp_path / "marker").exists()


def test_other_shapes_and_folders(tmp_path: Path) -> None:
    pytest.importorskip("kaldiio")
    with pytest.raises(FileNotFoundError, match="no folder .*train.*folders are none"):
        speech(tmp_path, (2,))
    write(tmp_path / "train")
    with pytest.raises(FileNotFoundError) as error:
        speech(tmp_path, (2,))
    one_line(error, "feats.ark, feats.scp", "ali.scp", "utt2label")

    write(tmp_path / "train", **WORDS)
    with pytest.raises(ValueError, match="2 features a frame, prepare.shape wants 40"):
        speech(tmp_path, (15, 40))
    with pytest.raises(ValueError, match=r"prepare.shape is \[15, 40, 3\]"):
        speech(tmp_path, (15, 40, 3))

    write(tmp_path / "dev", **SPEAKERS)
    archive(tmp_path / "dev/ali.ark", {key: listed([0] * n) for key, n in LENGTHS.items()})
    with pytest.raises(ValueError, match="one labels frames and the other utterances"):
        speech(tmp_path, (2,))
    write(tmp_path / "valid", **WORDS)
    with pytest.raises(ValueError, match="are both for validation"):
        speech(tmp_path, (2,))


def test_labels_that_do_not_fit_the_frames(tmp_path: Path) -> None:
    pytest.importorskip("kaldiio")
    folder = write(tmp_path / "train")
    for labels, words in (
        ({"ann-1": [0] * 5}, "no labels for 2 of 3"),
        ({key: [0] * 4 for key in LENGTHS}, "ann-1 has 4 labels and 5 frames"),
        ({key: [0, -1, *[0] * (n - 2)] for key, n in LENGTHS.items()}, "frame 1 of ann-1"),
    ):
        archive(folder / "ali.ark", {key: listed(value) for key, value in labels.items()})
        with pytest.raises(ValueError, match=words):
            speech(tmp_path, (2,))


SOUND = matrix(features(5))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (b"PKL" + b"N.", "text, or no entry"),
        (b"NPY\4\0\0\0\0", "text, or no entry"),
        (b" [\n 1 2 ]\n", "text, or no entry"),
        (b"\0BTM " + SOUND[5:], "of another kind"),
        (SOUND[:-1], "claims 5 x 2"),
        (SOUND[:9], "a damaged header"),
        (b"\0BFM " + struct.pack("<bibi", 4, 2**31 - 1, 4, 2**31 - 1), "claims 2,147,483,647"),
        (b"\0BFM " + struct.pack("<bibi", 4, -5, 4, 2) + bytes(40), "a damaged header"),
        (b"\0BFM " + struct.pack("<bibi", 5, 5, 4, 2) + bytes(40), "a damaged header"),
        (b"\0BCM " + struct.pack("<ffii", 0, 1, 2**31 - 1, 2), "claims 2,147,483,647"),
        (b"\0BFM " + SOUND[5:15] + b"\xff\xff\xff\x7f" * 10, "frame 0"),
    ],
)
@pytest.mark.parametrize("scp", [True, False])
def test_damaged_archives(
    tmp_path: Path, entry: bytes, words: str, scp: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is unpickled, whatever kaldiio would do."""
    pytest.importorskip("kaldiio")
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "train", utt2label="ann-1 a\n")
    archive(folder / "feats.ark", {"ann-1": entry})
    if not scp:
        (folder / "feats.scp").unlink()
    with pytest.raises(ValueError) as error:
        speech(tmp_path, (2,))
    one_line(error, folder / "feats.ark", "ann-1", words)
    assert not (tmp_path / "marker").exists()


def test_lists_that_claim_too_much(tmp_path: Path) -> None:
    for entry, words in (
        (b"\0B\4" + struct.pack("<i", 2**31 - 1), "claims 2,147,483,647 integers"),
        (b"\0B\4" + struct.pack("<i", -1), "claims -1"),
        (listed([1, 2])[:7] + b"\5" + listed([1, 2])[8:], "a damaged list"),
        (SOUND, "of another kind, wanted a list of integers"),
    ):
        archive(tmp_path / "a.ark", {"x": entry})
        with pytest.raises(ValueError, match=words):
            integers(places_of(tmp_path / "a.scp")[0])


def test_an_archive_without_keys(tmp_path: Path) -> None:
    file = tmp_path / "a.ark"
    for data in (b"x" * 9000, b"\xff " + SOUND, b"a " + SOUND + b"a " + SOUND, b" " + SOUND):
        file.write_bytes(data)
        with pytest.raises(ValueError, match="begins no entry of a new utterance"):
            places_of(file)


def test_rows_by_the_header(tmp_path: Path) -> None:
    archive(tmp_path / "a.ark", {"x": matrix(features(7)), "y": matrix(features(2))})
    assert [rows_of(place) for place in places_of(tmp_path / "a.ark")] == [(7, 2), (2, 2)]
    assert places_of(tmp_path / "a.ark") == places_of(tmp_path / "a.scp")


def test_kaldiio_is_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules: dict[str, Any] = {"kaldiio": None, "kaldiio.matio": None}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    write(tmp_path / "train", **WORDS)
    with pytest.raises(ValueError) as error:
        speech(tmp_path, (2,))
    one_line(error, "kaldiio", "pip install '.[speech]'")
    assert "kaldiio" not in vars(kaldi)
