"""Pixels of many pictures are the same in memory and on the disk, and bad pictures are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.images.pictures import PictureRule
from stages.images.sources import many, pixels
from stages.images.sources.labelled import Labelled, Source
from stages.images.sources.look import look
from stages.images.sources.many import read_pictures
from stages.images.sources.pixels import Pixels, taken
from stages.images.sources.split import by_content
from stages.store.maps import file_of
from stages.store.prepared import read_test, write_split
from tests.helpers import image_files

IMAGES = image_files.pixels(50, size=8)


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The images where no part may be in memory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pixels, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr(pixels, "PIECE_BYTES", 700)
    room = Pixels(50, 8, "x")
    for start in (30, 0):
        room.put(start, IMAGES[start : start + 30])
    whole = room.whole()
    assert file_of(whole) is not None and not list((tmp_path / "work").iterdir())
    return whole


def test_pixels_on_disk_are_those_that_were_put(on_disk: np.ndarray) -> None:
    np.testing.assert_array_equal(on_disk, IMAGES)
    assert not on_disk.flags.writeable


def test_images_at_places_are_copied_in_pieces(on_disk: np.ndarray) -> None:
    places = np.random.default_rng(0).permutation(50)[:33]
    found = taken(on_disk, places)
    np.testing.assert_array_equal(found, IMAGES[places])
    assert file_of(found) is not None


def test_what_is_made_of_them_is_the_same(on_disk: np.ndarray, tmp_path: Path) -> None:
    """Order by content, the look, and the file."""
    labels = np.arange(50) % 3
    one, other = by_content(Labelled(on_disk, labels)), by_content(Labelled(IMAGES, labels))
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.labels, other.labels)

    looks = [
        look({"train": part}, "abc", Source(part, None, ("a", "b", "c"))) for part in (one, other)
    ]
    assert looks[0] == looks[1]

    digests = [
        write_split(
            tmp_path, "test", part.images, part.labels.astype(np.uint8), {"classes": [*"abc"]}
        )
        for part in (one, other)
    ]
    assert digests[0] == digests[1]
    np.testing.assert_array_equal(read_test(tmp_path)[0], one.images)


def test_too_many_are_refused() -> None:
    with pytest.raises(ValueError, match=r"x: 6,000,000 images of 32 px are more than 16 GiB"):
        Pixels(6_000_000, 32, "x")


def test_progress_is_told_where_reading_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = image_files.encoded(IMAGES[0])
    monkeypatch.setattr(many, "AT_ONCE", 10)
    monkeypatch.setattr(many, "TELL_SECONDS", 0)
    read_pictures(25, ((str(i), lambda: data) for i in range(25)), PictureRule(8))
    said = capsys.readouterr().out.splitlines()
    assert said == [f"prepare: {n} of 25 pictures read, 0 min left" for n in (10, 20)]


def test_files_that_vanish_are_named_with_the_bad_ones(tmp_path: Path) -> None:
    def gone() -> bytes:
        return (tmp_path / "gone.png").read_bytes()

    items = [("gone.png", gone), ("bad.png", lambda: b"x"), ("sound", lambda: b"")]
    with pytest.raises(ValueError) as error:
        read_pictures(3, items, PictureRule(8))
    image_files.one_line(error, "3 of 3", "gone.png: No such file", "bad.png: not a readable")
