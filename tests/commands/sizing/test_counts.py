"""How many images a cost is of: those of params.yaml, of data/prepared, or assumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commands import scale
from commands.pipeline.cells import costs
from commands.sizing import jobs
from commands.sizing.jobs import Counts, counts_of
from stages.store.manifest import write_manifest
from tools.pocket import pocket_params, write_params

PHOTOS = {"prepare.source": "image-folder", "prepare.train": None}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without data."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepared(folder: Path, unlabelled: int = 0, **images: int) -> None:
    """A manifest of data/prepared."""
    (folder / "data/prepared").mkdir(parents=True)
    content = {"classes": ["a", "b"], "source": "image-folder", "size_px": 32, "images": images}
    write_manifest(folder / "data/prepared", content)
    (folder / "data/unlabelled").mkdir()
    write_manifest(folder / "data/unlabelled", {"images": unlabelled})


def of_stage(params: dict[str, Any], stage: str) -> list[int]:
    """Images of each job of a stage, in one epoch."""
    found = [job for job in jobs.jobs(params)[0] if job.name.split()[0] == stage]
    epochs = {"hard": "hard", "students": "students", "ablations": "students"}[stage]
    each = params[epochs]["training"]["max_epochs"]
    return [job.images // each for job in found]


def test_numbers_of_params_are_taken(here: Path) -> None:
    assert counts_of(pocket_params()) == Counts(60, 50, 0)


def test_null_is_what_prepare_has_counted_or_the_papers(here: Path) -> None:
    params = pocket_params(PHOTOS)
    assumed = counts_of(params)
    assert (assumed.train, assumed.validation) == (40_000, 50) and "assumed" in assumed.origin
    prepared(here, train=123, validation=50, test=40)
    assert counts_of(params) == Counts(123, 50, 0, "those of data/prepared")


def test_nets_on_true_labels_do_not_see_images_without(here: Path) -> None:
    lists = {
        "students.rows": ["conv2"],
        "hard.rows": ["conv2"],
        "ablations.rows": ["conv2-labelled"],
        "ablations.budgets": ["60k"],
    }
    params = pocket_params({"prepare.unlabelled": 500, **lists})
    assert of_stage(params, "students") == [560]
    assert of_stage(params, "hard") == [60] and of_stage(params, "ablations") == [60]


def test_a_folder_without_labels_is_counted_when_it_is_prepared(here: Path) -> None:
    params = pocket_params({**PHOTOS, "prepare.unlabelled": "more", "prepare.train": 60})
    assert counts_of(params).unlabelled == 0 and "assumed" in counts_of(params).origin
    prepared(here, train=60, validation=50, test=40, unlabelled=700)
    assert counts_of(params).unlabelled == 700
    stl10 = {"prepare.source": "stl10", "prepare.path": "x", "prepare.unlabelled": "x"}
    assert counts_of(pocket_params(stl10)).unlabelled == 100_000


def test_nothing_that_shows_costs_stops_at_null(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params(here, PHOTOS)
    monkeypatch.setattr("sys.argv", ["scale", "--cost"])
    scale.main()
    assert "images: 40,000 for training, 50 for validation, 0 without labels, assumed" in (
        capsys.readouterr().out
    )
    name = "students@mlp2-60k"
    assert costs(pocket_params(PHOTOS), [name])[name] > 0
