"""Pixels of many pictures are the same in memory and on the disk, and bad pictures are told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
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


@pytest.mark.parametrize("buffer", [2, 500, 1 << 20])
def test_pixels_may_be_put_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffer: int
) -> None:
    """One by one, with places left out, and over what is there; what is not put is black."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pixels, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr(pixels, "WRITE_BYTES", buffer)
    rng = np.random.default_rng(0)
    room = Pixels(50, 8, "x")
    wanted = np.zeros_like(IMAGES)

    for start in [*range(10), *rng.integers(0, 45, 40), 45, 46, 48]:
        count = rng.integers(1, 3)
        block = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        wanted[start : start + count] = block
        room.put(int(start), block)

    np.testing.assert_array_equal(room.whole(), wanted)


@pytest.mark.parametrize("cores", [1, 3, 64])
def test_pictures_are_in_order_whatever_reads_them(
    monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr(many, "AT_ONCE", 9)
    files = [image_files.encoded(image) for image in IMAGES]
    items = [(str(place), lambda file=file: file) for place, file in enumerate(files)]
    for least in (0, 64, 1 << 13):
        monkeypatch.setattr(many, "SMALL_PIXELS", least)
        found, sizes = read_pictures(50, items, PictureRule(8))
        np.testing.assert_array_equal(found, IMAGES)
        assert sizes == {"8 x 8": 50}


def test_small_pictures_are_read_by_one_thread_and_larger_ones_by_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the ones before them were: four at a time; a thread waits until the others have some."""
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr(many, "AT_ONCE", 4)
    monkeypatch.setattr(many, "SMALL_PIXELS", 8 * 8)
    small = image_files.encoded(IMAGES[0])
    large = image_files.encoded(image_files.pixels(1, size=9)[0])
    readers: list[int] = []

    def item(place: int, data: bytes) -> tuple[str, Callable[[], bytes]]:
        def load() -> bytes:
            readers.append(threading.get_ident())
            time.sleep(0.05)
            return data

        return str(place), load

    files = [*[small] * 8, *[large] * 8]
    read_pictures(16, list(map(item, range(16), files)), PictureRule(8, "crop"))
    here = threading.get_ident()
    assert len(set(readers[:4])) > 1 and here not in readers[:4]
    assert set(readers[4:12]) == {here}
    assert len(set(readers[12:])) > 1 and here not in readers[12:]


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
