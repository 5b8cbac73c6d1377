"""Pictures without labels: a folder of any depth, or parquet files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.images.pictures import PictureRule
from stages.images.sources import pixels as room
from stages.images.sources.unlabelled import unlabelled_pictures
from tests.helpers.image_files import encoded, one_line, pixels

EIGHT = PictureRule(8, "crop")


def put(root: Path, *names: str) -> None:
    """A picture of its own at each place."""
    for place, name in enumerate(names):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(pixels(1, seed=place, size=8)[0]))


def test_all_pictures_below_a_folder_are_taken_in_the_order_of_their_paths(tmp_path: Path) -> None:
    put(tmp_path, "b/1.png", "a/deep/2.png", "0.png", ".hidden/3.png")
    (tmp_path / "notes.txt").write_text("x")
    images, sizes = unlabelled_pictures(tmp_path, EIGHT)
    wanted = [pixels(1, seed=seed, size=8)[0] for seed in (2, 1, 0)]
    np.testing.assert_array_equal(images, wanted)
    assert sizes == {"8 x 8": 3}


@pytest.mark.parametrize("plain", [True, False])
def test_parquet_files_are_taken_without_their_labels(tmp_path: Path, plain: bool) -> None:
    for place in range(2):
        data = [encoded(each) for each in pixels(3, seed=place, size=8)]
        column = data if plain else [{"bytes": each, "path": None} for each in data]
        pq.write_table(pa.table({"image": column, "label": [9] * 3}), tmp_path / f"{place}.parquet")
    images, _ = unlabelled_pictures(tmp_path, EIGHT)
    wanted = np.concatenate([pixels(3, seed=place, size=8) for place in range(2)])
    np.testing.assert_array_equal(images, wanted)
    with pytest.raises(
        ValueError, match=r"columns image, label, wanted foto: set prepare.image_column"
    ):
        unlabelled_pictures(tmp_path, EIGHT, "foto")


def test_what_is_neither_or_both_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.*prepare.unlabelled"):
        unlabelled_pictures(tmp_path / "nowhere", EIGHT)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError) as error:
        unlabelled_pictures(tmp_path, EIGHT)
    one_line(error, tmp_path, "notes.txt", "prepare.unlabelled")
    put(tmp_path, "0.png")
    pq.write_table(pa.table({"image": [b"x"]}), tmp_path / "0.parquet")
    with pytest.raises(ValueError, match="both pictures and parquet files"):
        unlabelled_pictures(tmp_path, EIGHT)


def test_bad_pictures_are_named(tmp_path: Path) -> None:
    put(tmp_path, "0.png", "1.png")
    (tmp_path / "2.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"2\.png: not a readable picture"):
        unlabelled_pictures(tmp_path, EIGHT)


def test_what_is_not_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, "a/0.png")
    (tmp_path / "a/1.heic").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert len(unlabelled_pictures(tmp_path, EIGHT)[0]) == 1
    told = capsys.readouterr().out
    assert "passed over files that are no pictures: 1 .heic" in told
    assert "passed over 1 folders that are links: link" in told


def test_errors_name_the_key_of_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "0.png")
    monkeypatch.setattr(room, "MAX_TOTAL_BYTES", 10)
    with pytest.raises(ValueError, match="^prepare.unlabelled: 1 images"):
        unlabelled_pictures(tmp_path, EIGHT)
    (tmp_path / "0.png").unlink()
    pq.write_table(pa.table({"image": pa.array([], pa.null())}), tmp_path / "0.PARQUET")
    with pytest.raises(ValueError, match=r"no rows, .*prepare.unlabelled"):
        unlabelled_pictures(tmp_path, EIGHT)
