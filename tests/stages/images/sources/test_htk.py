"""HTK's parameter files and label files, written by hand after the HTK Book 3.4, section 5.10."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from stages.images.sources.htk import Parameters, frame_values
from stages.images.sources.htk_labels import segments_of
from stages.images.sources.speech import speech
from tests.helpers.image_files import one_line

PERIOD = 100_000
MFCC, PLP_0, COMPRESSED, CHECKSUM = 6, 0o20013, 0o2000, 0o10000


def features(frames: int) -> np.ndarray:
    return np.random.default_rng([7, frames]).normal(size=(frames, 2)).astype(np.float32)


def plain(values: np.ndarray, kind: int = MFCC, order: str = ">") -> bytes:
    frames, columns = values.shape
    head = struct.pack(f"{order}iihH", frames, PERIOD, 4 * columns, kind)
    return head + values.astype(f"{order}f4").tobytes()


def packed(values: np.ndarray) -> bytes:
    """Two bytes a value: x A - B, where A and B make -32767 to 32767 of each column's range."""
    frames, columns = values.shape
    low, high = values.min(axis=0).astype(float), values.max(axis=0).astype(float)
    factor, shift = 2 * 32767 / (high - low), (high + low) * 32767 / (high - low)
    head = struct.pack(">iihH", frames + 4, PERIOD, 2 * columns, MFCC | COMPRESSED)
    scales = np.stack([factor, shift]).astype(">f4").tobytes()
    return head + scales + np.rint(values * factor - shift).astype(">i2").tobytes()


def put(file: Path, data: bytes | str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return file


def values_of(file: Path) -> np.ndarray:
    return frame_values(Parameters("u", file))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """TIMIT's folders: train/REGION/SPEAKER/SENTENCE, where two speakers have said the same."""
    for place, frames in (("dr1/ann/sa1", 4), ("dr1/bob/sa1", 3), ("dr2/cat/sx9", 5)):
        put(tmp_path / f"train/{place}.mfc", plain(features(frames)))
        half = frames // 2 * PERIOD
        text = f"0 {half} sil\n{half} {frames * PERIOD} aa\n"
        put(tmp_path / f"train/{place}.lab", text)
    return tmp_path


def test_plain_files_of_several_kinds(tmp_path: Path) -> None:
    values = features(5)
    for kind in (MFCC, PLP_0):
        np.testing.assert_array_equal(values_of(put(tmp_path / "a", plain(values, kind))), values)
    file = put(tmp_path / "b", plain(values, MFCC | CHECKSUM) + b"\x12\x34")
    np.testing.assert_array_equal(values_of(file), values)


def test_compressed_files(tmp_path: Path) -> None:
    """Nearer than a step of 16 bits, and a step that is known."""
    values = features(50)
    made = values_of(put(tmp_path / "a", packed(values)))
    step = np.ptp(values, axis=0) / 65534
    assert made.dtype == np.float32 and (np.abs(made - values) < step).all()

    head = struct.pack(">iihH", 5, PERIOD, 2, MFCC | COMPRESSED)
    file = put(tmp_path / "b", head + struct.pack(">ffh", 4.0, 6.0, -2))
    assert values_of(file).tolist() == [[1.0]]


def test_frames_with_label_files_beside_them(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kaldi's library is not needed, and a speaker is a folder."""
    monkeypatch.setitem(sys.modules, "kaldiio", None)
    source = speech(corpus, (2,))
    assert source.classes == ("aa", "sil") and source.test is None
    assert source.train.labels.tolist() == [1, 1, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0]
    wanted = np.concatenate([features(4), features(3), features(5)])
    np.testing.assert_array_equal(source.train.images, wanted)
    assert source.train.groups is not None
    assert source.train.groups.tolist() == ["dr1/ann"] * 4 + ["dr1/bob"] * 3 + ["dr2/cat"] * 5


@pytest.mark.parametrize("place", ["train/all.mlf", "train.mlf", "phones.mlf"])
def test_one_file_with_all_labels(corpus: Path, place: str) -> None:
    wanted = speech(corpus, (3, 2))
    lines = ["#!MLF!#"]
    for file in sorted(corpus.rglob("*.lab")):
        name = "/home/me/timit/" + file.relative_to(corpus).as_posix()
        lines += [f'"{name if "ann" in name else "*" + name[20:]}"', file.read_text().strip(), "."]
        file.unlink()
    put(corpus / place, "\n".join([*lines, ""]))
    source = speech(corpus, (3, 2))
    np.testing.assert_array_equal(source.train.images, wanted.train.images)
    np.testing.assert_array_equal(source.train.labels, wanted.train.labels)
    assert source.classes == wanted.classes


def test_words_for_utterances_and_parts(tmp_path: Path) -> None:
    for part, words in (("train", ("yes", "no", "5")), ("test", ("no", "yes", "no"))):
        for place, word in enumerate(words):
            put(tmp_path / part / f"{place}.htk", plain(features(4)))
            put(tmp_path / part / f"{place}.lab", word + "\n")
    source = speech(tmp_path, (4, 2))
    assert source.classes == ("5", "no", "yes") and source.train.images.shape == (3, 4, 2)
    assert source.train.labels.tolist() == [2, 1, 0] and source.train.groups is not None
    assert source.train.groups.tolist() == ["0", "1", "2"]
    assert source.test is not None and source.test.labels.tolist() == [1, 2, 1]


def test_kaldi_lists_label_and_name_speakers_of_htk_files(corpus: Path) -> None:
    keys = ("dr1/ann/sa1", "dr1/bob/sa1", "dr2/cat/sx9")
    put(corpus / "train/utt2label", "".join(f"{key} {i % 2}\n" for i, key in enumerate(keys)))
    put(corpus / "train/utt2spk", "".join(f"{key} x\n" for key in keys))
    train = speech(corpus, (2,)).train
    assert train.labels.tolist() == [0] * 4 + [1] * 3 + [0] * 5
    assert train.groups is not None and set(train.groups) == {"x"}


def test_a_frame_has_the_label_of_its_middle(tmp_path: Path) -> None:
    """A label that ends in the middle of a frame does not have it."""
    put(tmp_path / "train/a.mfc", plain(features(4)))
    for end, wanted in ((149_999, [0, 1, 1, 1]), (150_000, [0, 1, 1, 1]), (150_001, [0, 0, 1, 1])):
        put(tmp_path / "train/a.lab", f"0 {end} a\n{end} 400000 b\n")
        assert speech(tmp_path, (2,)).train.labels.tolist() == wanted


def test_lines_of_label_files() -> None:
    lines = [
        "0 10 s2 -70.5 aa -200.1 word",
        "10 20 s3 -60.0",
        "",
        "20 30 s2 -1e3 b",
        "///",
        "0 30 x",
    ]
    found = segments_of(lines, "a.lab")
    assert [each.name for each in found] == ["aa[2]", "aa[3]", "b[2]"] and found[1].end == 20
    phones = segments_of(["0 10 sh -70.5 she", "10 20 iy -3"], "a.lab")
    assert [each.name for each in phones] == ["sh", "iy"]
    names = segments_of([r'0 1 "a"', r"1 2 \344\366\303", r"2 3 \"x"][:1], "a.lab")
    assert names[0].name == "a"
    assert segments_of([r"\303\244\'"], "a.lab")[0].name == "ä'"


REFUSED = [
    ({"train/a.lab": "0 100000 x\n"}, ("a.lab: frame 1 has no label", "0 to 100,000", "400,000")),
    ({"train/a.lab": "0 9000000 x\n"}, ("a.lab: labels go on behind the last frame",)),
    ({"train/a.lab": "0 300000 x\n200000 400000 y\n"}, ("labels x and y overlap", "200,000")),
    ({"train/a.lab": "0 400000\n"}, ("line 1 is '0 400000'", "[start end] name")),
    ({"train/a.lab": "0 x\n"}, ("line 1 is '0 x'",)),
    ({"train/a.lab": "400000 0 x\n"}, ("line 1 is '400000 0 x'",)),
    ({"train/a.lab": "0 400000 x\ny\n"}, ("lines with and without times",)),
    ({"train/a.lab": "\n"}, ("no labels",)),
    ({"train/a.lab": "x\ny\n"}, ("2 names without times",)),
    ({"train/a.lab": '0 400000 "x y"\n'}, ("a name with blanks",)),
    ({"train/a.lab": "0 400000 \\377\n"}, ("no UTF-8",)),
    ({"train/a.lab": b"\xff"}, ("not text in UTF-8",)),
    ({"train/a.mlf": '"*/a.lab"\nx\n.\n'}, ("first line is not #!MLF!#",)),
    ({"train/a.mlf": '#!MLF!#\n"*/b.lab"\nx\n.\n'}, ("no entry for a",)),
    ({"train/a.mlf": '#!MLF!#\n"*/a.lab"\nx\n.\n"*/a.lab"\ny\n.\n'}, ("2 entries for a",)),
    ({"train/a.mlf": '#!MLF!#\n"*/a.lab"\nx\n'}, ("ends within",)),
    ({"train/a.mlf": '#!MLF!#\n"*a*" -> "x"\n'}, ("line 2 is",)),
    (
        {"train/a.mlf": '#!MLF!#\n"*/a.lab" -> "labs"\n"*/b.lab"\nx\n.\n'},
        ("line 2 is", "a path to"),
    ),
    (
        {f"train/{n}.mlf": '#!MLF!#\n"*/a.lab"\nx\n.\n' for n in "ab"},
        ("a.mlf", "b.mlf", "2 entries for a", "wanted is one"),
    ),
    ({"train/a.plp": plain(features(4))}, ("a.mfc", "a.plp", "both for a")),
    ({"train/b/a.mfc": plain(features(4))}, ("1 of 2 label files are missing", "a.lab")),
]


@pytest.mark.parametrize(("files", "words"), REFUSED, ids=[words[0][:30] for _, words in REFUSED])
def test_refused(tmp_path: Path, files: dict[str, bytes | str], words: tuple[str, ...]) -> None:
    put(tmp_path / "train/a.mfc", plain(features(4)))
    put(tmp_path / "train/a.lab", "0 400000 x\n")
    for name, data in files.items():
        put(tmp_path / name, data)
    with pytest.raises(ValueError) as error:
        speech(tmp_path, (2,))
    one_line(error, *words)


def test_an_entry_for_two_utterances_is_refused(corpus: Path) -> None:
    """Two speakers say sa1, at other times."""
    put(corpus / "train/all.mlf", '#!MLF!#\n"*/sa1.lab"\nx\n.\n"*/sx9.lab"\nx\n.\n')
    with pytest.raises(ValueError, match="may be dr1/ann/sa1 or dr1/bob/sa1"):
        speech(corpus, (2,))


def test_times_in_some_label_files_only(corpus: Path) -> None:
    put(corpus / "train/dr1/bob/sa1.lab", "x\n")
    with pytest.raises(ValueError, match="has times and .*sa1.lab has none"):
        speech(corpus, (2,))


SOUND = plain(features(4))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes are no parameter file"),
        (SOUND[:-1], "claims 4 frames of 8 bytes, and has 31"),
        (SOUND + b"\0", "claims 4 frames of 8 bytes, and has 33"),
        (struct.pack(">iihH", 2**31 - 1, PERIOD, 32767, MFCC), "claims 2,147,483,647 frames"),
        (struct.pack(">iihH", -1, PERIOD, -4, MFCC) + bytes(4), "a damaged header"),
        (struct.pack(">iihH", 1, PERIOD, 6, MFCC) + bytes(6), "a damaged header"),
        (struct.pack(">iihH", 1, -1, 8, MFCC) + bytes(8), "a damaged header"),
        (struct.pack(">iihH", 4, PERIOD, 4, MFCC | COMPRESSED) + bytes(16), "a damaged header"),
        (struct.pack(">iihH", 5, PERIOD, 4, MFCC | COMPRESSED) + bytes(20), "is zero"),
        (plain(features(4), 0), "it holds WAVEFORM"),
        (plain(features(4), 10), "it holds DISCRETE"),
        (plain(features(4), 12), "it holds kind 12"),
        (plain(features(4), MFCC, "<"), "the order of a PC"),
        (plain(np.full((4, 2), np.nan)), "frame 0 has something else than finite numbers"),
        (plain(np.zeros((4, 3))), "3 features a frame, prepare.shape wants 2"),
    ],
)
def test_damaged_parameter_files(tmp_path: Path, data: bytes, words: str) -> None:
    put(tmp_path / "train/a.lab", "x\n")
    file = put(tmp_path / "train/a.mfc", data)
    with pytest.raises(ValueError) as error:
        speech(tmp_path, (2,))
    one_line(error, file, words)


def test_folders_of_speakers_that_are_links_are_noted(corpus: Path) -> None:
    (corpus / "train/dr1/bob").rename(corpus / "away")
    (corpus / "train/dr1/bob").symlink_to(corpus / "away")
    source = speech(corpus, (2,))
    assert len(source.train) == 9
    assert source.notes == ("passed over 1 folders that are links: train/dr1/bob",)

    (corpus / "test").mkdir()
    (corpus / "test/bob").symlink_to(corpus / "away")
    with pytest.raises(FileNotFoundError) as error:
        speech(corpus, (2,))
    one_line(error, corpus / "test", "no files of HTK", "links: bob", "prepare.path")


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (plain(features(4), PLP_0), "PLP_0, each 100,000"),
        (plain(features(4), MFCC | 0o100), "MFCC_E, each 100,000"),
        (struct.pack(">iihH", 1, 2 * PERIOD, 8, MFCC) + bytes(8), "MFCC, each 200,000"),
    ],
    ids=["PLP", "energy", "period"],
)
def test_files_of_other_kinds_or_periods(corpus: Path, part: str, data: bytes, words: str) -> None:
    file = put(corpus / part / "x/u.mfc", data)
    put(file.with_suffix(".lab"), "0 400000 aa\n")
    with pytest.raises(ValueError) as error:
        speech(corpus, (2,))
    first = corpus / "train/dr1/ann/sa1.mfc"
    one_line(error, first, "MFCC, a frame each 100,000 times", file, words, "HCopy")


def test_files_may_be_compressed_and_have_a_checksum(corpus: Path) -> None:
    put(corpus / "train/x/u.mfc", packed(features(4)))
    put(corpus / "train/x/v.mfc", plain(features(4), MFCC | CHECKSUM) + b"\x12\x34")
    for name in "uv":
        put(corpus / f"train/x/{name}.lab", "0 400000 aa\n")
    assert len(speech(corpus, (2,)).train) == 20


@pytest.mark.parametrize("small", [False, True])
def test_how_large_an_utterance_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: bool
) -> None:
    """The limit is of the values in memory: 32 bytes of 4 frames."""
    for data in (plain(features(4)), packed(features(4))):
        file = put(tmp_path / "a.mfc", data)
        monkeypatch.setattr("stages.images.sources.htk.MAX_ENTRY_BYTES", 31 if small else 32)
        if not small:
            assert values_of(file).shape == (4, 2)
            continue
        with pytest.raises(ValueError, match="4 frames of 2 values have 32 bytes, allowed are 31"):
            values_of(file)


def test_a_period_of_zero_is_of_no_use_for_times_alone(tmp_path: Path) -> None:
    file = put(tmp_path / "train/a.mfc", struct.pack(">iihH", 1, 0, 8, MFCC) + bytes(8))
    put(tmp_path / "train/a.lab", "x\n")
    assert speech(tmp_path, (2,)).train.labels.tolist() == [0]
    put(tmp_path / "train/a.lab", "0 100000 x\n")
    with pytest.raises(ValueError) as error:
        speech(tmp_path, (2,))
    one_line(error, file, "period of its frames is 0", "a.lab has times")


def test_several_files_with_all_labels(corpus: Path) -> None:
    """As a large one is divided."""
    wanted = speech(corpus, (2,)).train
    for place, file in enumerate(sorted(corpus.rglob("*.lab"))):
        name = file.relative_to(corpus / "train").as_posix()
        put(corpus / f"train/{place}.mlf", f'#!MLF!#\n"*/{name}"\n{file.read_text()}.\n')
        file.unlink()
    train = speech(corpus, (2,)).train
    assert train.labels.tolist() == wanted.labels.tolist()
