"""prepare: what it makes of a folder of photos, and parts from which nothing can be learnt."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages import prepare as stage
from stages.images.sources.checks import check_classes
from stages.images.sources.labelled import Labelled, Source, data_folder
from stages.images.sources.look import look, notes_on
from stages.images.sources.split import split
from stages.runtime.raw_data import raw_data
from stages.settings.prepare import Prepare, prepare
from stages.store.manifest import folder_hash
from stages.store.prepared import PreparedManifest, read_train, read_transfer, unlabelled_count
from tests.helpers import extra_sets
from tools.pocket import pocket_params, write_params

NAMES = ["cat", "dog", "eel"]


def data(labels: list[int]) -> Labelled:
    """A picture of its own for each label."""
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4, 3), dtype=np.uint8)
    return Labelled(images, np.array(labels, np.int64))


def settings(train: int, validation: int, test: int, order: str = "order") -> Prepare:
    changed = {"train": train, "validation": validation, "test": test, "split": order}
    return replace(prepare(pocket_params()), source="parquet", **changed)


def checked(given: Prepare, pool: list[int], test: list[int]) -> list[str]:
    """Notes on the classes that parts lack."""
    source = Source(data(pool), data(test), tuple(NAMES))
    parts = split(given, source).parts
    check_classes(given, parts, NAMES)
    return [note for note in notes_on(look(parts, NAMES, source)) if note.startswith("none")]


SORTED = [0] * 40 + [1] * 40 + [2] * 40


def test_a_sorted_source_in_its_own_order_is_refused_with_the_counts() -> None:
    with pytest.raises(ValueError) as raised:
        checked(settings(60, 40, 20), SORTED, SORTED)
    assert str(raised.value) == (
        "most images for validation are of classes without a training image (eel); images of each "
        "class: train [40, 20, 0]; validation [0, 0, 40]; test [20, 0, 0]: the files may be sorted by "
        "class: set prepare.split to content"
    )


def test_by_content_it_is_taken() -> None:
    assert checked(settings(60, 40, 20, "content"), SORTED, SORTED) == []


@pytest.mark.parametrize(
    ("pool", "test", "part"),
    [([0, 1, 2, 1, 1], [0, 1], "validation"), ([0, 1, 2, 1, 2], [1, 1], "testing")],
)
def test_a_part_of_one_class_is_refused(pool: list[int], test: list[int], part: str) -> None:
    words = rf"all images for {part} are of the class dog; .*: the files may be sorted"
    with pytest.raises(ValueError, match=words):
        checked(settings(3, 2, 2), pool, test)


def test_a_class_that_a_part_lacks_is_said() -> None:
    said = checked(settings(3, 2, 2), [0, 1, 2, 0, 1], [1, 2])
    assert said == ["none for validation of eel", "none for testing of cat"]


def test_few_images_of_many_classes_may_lack_some() -> None:
    """A first try; what it lacks is said."""
    said = checked(settings(3, 4, 4), [0, 1, 0, 0, 2, 1, 2], [1, 2, 2, 2])
    assert said[0] == "none for training of eel" and len(said) == 2


def test_a_class_that_nobody_has_is_said() -> None:
    said = checked(settings(3, 2, 2), [0, 1, 1, 0, 1], [1, 0])
    assert [note.endswith("of eel") for note in said] == [True] * 3


def test_a_single_test_image_is_no_choice_of_a_class() -> None:
    checked(settings(3, 2, 1), [0, 1, 2, 0, 1], [1])


def photos(root: Path, count: int = 12) -> None:
    """Pictures as a telephone and a scanner leave them: lying, standing, transparent, grey."""
    turned = Image.Exif()
    turned[0x0112] = 6
    rng = np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (root / kind).mkdir(parents=True)
        for place in range(count):
            sides = (40, 30) if place % 2 else (30, 44)
            values = rng.integers(0, 256, (*sides, 4), dtype=np.uint8)
            image = Image.fromarray(values if place % 3 == 0 else values[..., :3])
            if place % 3 == 1:
                image.save(root / kind / f"{place}.jpg", exif=turned)
            else:
                image.convert("L" if place % 3 == 2 else "RGBA").save(root / kind / f"{place}.png")


def prepared(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, Any]:
    """Runs the stage in a folder with photos; gives metrics/data.json."""
    given = {
        "source": "image-folder",
        "path": "photos",
        "fit": "crop",
        "train": None,
        "validation": 5,
        "test": 4,
    }
    write_params(folder, {f"prepare.{key}": value for key, value in {**given, **changes}.items()})
    monkeypatch.chdir(folder)
    stage.main()
    return json.loads((folder / "metrics/data.json").read_text())


def test_a_folder_of_photos_becomes_three_parts_and_a_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(tmp_path / "photos")
    found = prepared(tmp_path, monkeypatch)
    assert [part["images"] for part in found["parts"].values()] == [15, 5, 4]
    assert found["classes"] == ["cat", "dog"] and sum(found["sizes"].values()) == 24
    assert found["notes"] == ["no images for testing in photos: 4 are cut from the training images"]
    manifest = PreparedManifest.read(tmp_path / "data/prepared")
    assert manifest.fit == "crop" and manifest.images == {"train": 15, "validation": 5, "test": 4}
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("prepare: image-folder, 32 px, 2 classes; 15 for training")
    assert said[-2] == f"prepare: note: {found['notes'][0]}"


def test_pictures_without_labels_are_prepared_beside_the_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path / "photos")
    photos(tmp_path / "more", 3)
    found = prepared(tmp_path, monkeypatch, unlabelled="more")
    folder = tmp_path / "data/prepared"
    assert (
        unlabelled_count(folder) == 6 and "unlabelled" not in PreparedManifest.read(folder).images
    )
    images, labels = read_transfer(folder)
    assert images.shape == (21, 32, 32, 3) and found["unlabelled"] == 6
    assert labels.tolist()[15:] == [-1] * 6 and labels[:15].min() == 0

    same = {pair: count for pair, count in found["same_images"].items() if "unlabelled" in pair}
    assert sum(same.values()) >= 1 and any(
        "without labels are also for" in n for n in found["notes"]
    )
    assert read_train(folder)[0].shape[0] == 15, "labelled pictures alone"


def test_images_without_labels_change_nothing_that_teachers_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path / "photos")
    photos(tmp_path / "more", 3)
    hashes = []
    for unlabelled in (None, "more", 4):
        prepared(tmp_path, monkeypatch, unlabelled=unlabelled, train=8)
        hashes.append(folder_hash(tmp_path / "data/prepared"))
    assert len(set(hashes)) == 1


def test_made_images_have_none_without_labels() -> None:
    with pytest.raises(
        ValueError, match="unlabelled is 'more': allowed with images, and npz has vectors"
    ):
        prepare({"prepare": {**pocket_params()["prepare"], **NPZ, "unlabelled": "more"}})


NPZ = {"source": "npz", "size_px": None, "shape": [4]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fit": "cut"}, "prepare.fit is"),
        ({"train": None}, "train, validation or test is null: cluttered-digits are made"),
        ({"group": "p"}, "group is 'p': cluttered-digits has none, allowed with parquet"),
        ({"image_column": "img"}, "image_column is 'img'"),
        ({"size_px": 64}, "size_px is 64: the images of cluttered-digits have 32 px"),
    ],
)
def test_settings_that_do_not_fit_the_source_are_refused(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        prepare({"prepare": {**pocket_params()["prepare"], **changes}})


def test_settings_of_before_are_still_read() -> None:
    new = ("fit", "image_column", "label_column", "group", "unlabelled")
    given = {k: v for k, v in pocket_params()["prepare"].items() if k not in new}
    assert prepare({"prepare": given}).fit == "exact"


def test_further_test_sets_that_cannot_be_read_end_the_run_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before the stage that scores them."""
    photos(tmp_path / "photos")
    photos(tmp_path / "more/deep", 2)
    with pytest.raises(FileNotFoundError, match=r"nowhere: change prepare.extra_tests.mine"):
        prepared(tmp_path, monkeypatch, extra_tests={"mine": "nowhere"})
    with pytest.raises(
        ValueError, match="prepare.extra_tests.mine: .*no class of the nets is called deep"
    ):
        prepared(tmp_path, monkeypatch, extra_tests={"mine": "more"})
    assert not (tmp_path / "data").exists()
    prepared(tmp_path, monkeypatch, extra_tests={"mine": "more/deep"})


def test_links_in_further_test_sets_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(tmp_path / "photos")
    photos(tmp_path / "more", 2)
    inside = next(each for each in sorted((tmp_path / "more").iterdir()) if each.is_dir())
    (inside / "link").symlink_to(tmp_path / "photos")
    prepared(tmp_path, monkeypatch, extra_tests={"mine": "more"})
    note = f"passed over 1 folders that are links: {inside.name}/link"
    assert f"prepare: extra_tests.mine: {note}\n" in capsys.readouterr().out


def test_further_test_sets_of_one_name_end_the_run_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path / "photos")
    images, labels = np.zeros((4, 32, 32, 3), np.uint8), np.array([0, 1, 1, 0])
    extra_sets.versions(tmp_path / "two", images, labels)
    extra_sets.versions(tmp_path / "one", images, labels, ("v4",))
    with pytest.raises(ValueError, match="extra_tests has two sets called a-v4: rename one"):
        prepared(tmp_path, monkeypatch, extra_tests={"a": "two", "a-v4": "one"})
    assert not (tmp_path / "data").exists()


def test_a_copy_for_an_experiment_finds_what_mimicnets_data_and_home_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "clone/.dvc/tmp/exps/tmpx1"
    copy.mkdir(parents=True)
    photos(tmp_path / "store/photos")
    photos(tmp_path / "home/more", 2)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MIMICNETS_DATA", str(tmp_path / "store"))
    further = {"unlabelled": "~/more", "extra_tests": {"mine": "photos"}}
    found = prepared(copy, monkeypatch, **further)
    assert found["unlabelled"] == 4 and sum(found["sizes"].values()) == 24

    # Without it, what git does not have is that of the clone.
    monkeypatch.delenv("MIMICNETS_DATA")
    (tmp_path / "store/photos").rename(tmp_path / "clone/photos")
    assert prepared(copy, monkeypatch, **further)["unlabelled"] == 4


@pytest.mark.parametrize("start", [None, "data", "/data"])
def test_raw_data_start_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str | None
) -> None:
    """Also a prefix of files, which is no folder, and for readers that ask again."""
    monkeypatch.chdir(tmp_path)
    if start is None:
        monkeypatch.delenv("MIMICNETS_DATA", raising=False)
    else:
        monkeypatch.setenv("MIMICNETS_DATA", start)
    found = raw_data("emnist/emnist-letters")
    assert found.absolute() == tmp_path / (start or "") / "emnist/emnist-letters"
    assert data_folder(found) == found
