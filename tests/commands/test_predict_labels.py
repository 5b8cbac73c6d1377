"""predict --labels: how often a net is right on a labelled folder, in all and by class."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from commands import predict
from commands.models.scores import BATCH, score
from stages.store.prepared import read_test
from tests.helpers import extra_sets
from tests.helpers.exports import CELL, OUT, Run, stored


@pytest.fixture
def folder(here: Path, tmp_path: Path) -> Path:
    """The test images by class, 40 files."""
    images, labels, header = read_test(Path("data/prepared"))
    return extra_sets.image_folder(tmp_path / "photos", images, labels, header["classes"])


def wanted() -> tuple[np.ndarray, np.ndarray]:
    """Labels of the test images, and the classes that the net names."""
    return read_test(Path("data/prepared"))[1], stored(Path("data") / CELL).argmax(1)


@pytest.mark.parametrize("model", [CELL, OUT])
def test_scores_are_those_of_the_stored_outputs(folder: Path, run: Run, model: str) -> None:
    status, out, error = run(predict, model, "--labels", str(folder), "--json")
    found = json.loads(out)
    labels, named = wanted()
    hits = labels == named

    interval = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
    assert status == 0 and error == "" and found["folder"] == str(folder)
    assert (found["count"], found["accuracy"]) == (40, hits.mean())
    assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high), abs=1e-6)
    assert (found["level"], found["unread"], found["changed"]) == (0.95, 0, 0)

    assert set(found["classes"]) == {str(label) for label in labels}
    for name, entry in found["classes"].items():
        of_class = labels == int(name)
        assert entry["count"] == of_class.sum()
        assert entry["accuracy"] == pytest.approx(hits[of_class].mean(), abs=1e-6)

        wrong = Counter(named[of_class & ~hits].tolist())
        taken = entry["taken_for"]
        assert (taken is None) == (not wrong)
        assert taken is None or wrong[int(taken)] == max(wrong.values())


def test_folders_that_are_links_are_told(folder: Path, run: Run) -> None:
    (folder / "3/more").symlink_to(folder / "4")
    status, out, error = run(predict, CELL, "--labels", str(folder), "--json")
    assert status == 0 and json.loads(out)["count"] == 40
    assert error == "passed over 1 folders that are links: 3/more\n"


def test_lines_say_all_of_it_then_each_class(folder: Path, run: Run) -> None:
    Image.open(next((folder / "3").iterdir())).resize((50, 40)).save(folder / "3/large.png")
    status, out, _ = run(predict, CELL, "--labels", str(folder))
    first, *others = out.splitlines()
    labels, _ = wanted()

    assert status == 0 and re.fullmatch(
        rf"{folder}: \d+\.\d\d % \[\d+\.\d, \d+\.\d\] of 41 examples "
        r"\(1 of them cut or resized to the net's size\)",
        first,
    )
    assert [line.split()[0] for line in others] == sorted({str(label) for label in labels})


def test_what_cannot_be_read_is_named_and_not_counted(folder: Path, run: Run) -> None:
    (folder / "3/bad.png").write_bytes(b"no image")
    status, out, error = run(predict, CELL, "--labels", str(folder))
    named, count = error.splitlines()
    assert status == 1 and " of 40 examples" in out
    assert named.startswith(f"error: {folder}/3/bad.png: not a readable picture")
    assert count == "1 of 41 files could not be read"

    status, out, _ = run(predict, CELL, "--labels", str(folder), "--json")
    refused, found = (json.loads(line) for line in out.splitlines())
    assert status == 1 and refused["file"] == f"{folder}/3/bad.png" and found["unread"] == 1


def test_where_nothing_can_be_read_there_is_no_score(tmp_path: Path, here: Path, run: Run) -> None:
    (tmp_path / "photos/3").mkdir(parents=True)
    (tmp_path / "photos/3/bad.png").touch()
    status, out, error = run(predict, CELL, "--labels", str(tmp_path / "photos"))
    assert status == 1 and out == "" and error.endswith("1 of 1 files could not be read\n")


def test_other_folders_are_refused(folder: Path, run: Run) -> None:
    (folder / "cat").mkdir()
    status, _, error = run(predict, CELL, "--labels", str(folder))
    assert status == 1 and "no class of the nets is called cat" in error
    status, _, error = run(predict, CELL, "--labels", str(folder / "nowhere"))
    assert status == 1 and "nowhere, allowed is a folder with a folder for each class" in error


@pytest.mark.parametrize("words", [(), ("x.png", "--labels", "photos")])
def test_files_or_a_folder_and_not_both(here: Path, run: Run, words: tuple[str, ...]) -> None:
    status, _, error = run(predict, CELL, *words)
    assert status == 2 and "give files to classify, or --labels FOLDER to score" in error


def test_vectors_have_the_class_of_their_folder(
    framed: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(framed)
    vectors = np.load("data/raw/frames/test.npz")["inputs"][:5]
    header = read_test(Path("data/prepared"))[2]
    name = header["classes"][0]
    (tmp_path / "set" / name).mkdir(parents=True)
    np.save(tmp_path / "set" / name / "some.npy", vectors)

    status, out, _ = run(predict, "students/mlp1-3k", "--labels", str(tmp_path / "set"), "--json")
    found = json.loads(out)
    assert status == 0 and found["count"] == 5 and list(found["classes"]) == [name]


def test_inputs_go_to_the_net_in_batches_and_keep_their_labels() -> None:
    """More than one batch, and files with several rows: each label stays with its rows."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 3 * BATCH)
    files = []
    while len(labels):
        rows = int(rng.integers(1, 5))
        label = int(labels[0])
        files.append((np.full((rows, 1), label, np.float32), label))
        labels = labels[rows:]

    largest = []

    def run(inputs: np.ndarray) -> np.ndarray:
        largest.append(len(inputs))
        return np.eye(4, dtype=np.float32)[inputs[:, 0].astype(int)]

    scores = score(run, "net", list("abcd"), iter(files))
    assert scores is not None and scores.of_all["accuracy"] == 1
    assert scores.of_all["count"] == sum(len(array) for array, _ in files)
    assert max(largest) <= 64

    with pytest.raises(ValueError, match="4 outputs and 2 class names"):
        score(run, "net", ["a", "b"], iter(files))
    assert score(run, "net", list("abcd"), iter([])) is None
