"""The table of sources: every one that may be set has its reader, with what is set for it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import pytest

from stages.images.pictures import PictureRule
from stages.images.sources import table
from stages.images.sources.columns import Columns
from stages.settings.prepare import Prepare

DEFAULTS: dict[str, Any] = {
    "path": "data/raw",
    "train": 3,
    "validation": 2,
    "test": 1,
    "size_px": 48,
    "fit": "crop",
    "shape": None,
    "image_column": "photo",
    "label_column": "kind",
    "group": "patient",
    "made": (3, 2, 1),
}
RAW = Path("data/raw")
RULE = PictureRule(48, "crop")
COLUMNS = Columns("photo", "kind", "patient")
CALLS: list[tuple[str, dict[str, Any], str, tuple[Any, ...]]] = [
    ("cluttered-digits", {}, "digits.cluttered_digits", (7, 3, 2, 1)),
    ("cifar10", {}, "archives.cifar10", (RAW,)),
    ("cifar100", {}, "archives.cifar100", (RAW,)),
    ("cifar100-coarse", {}, "archives.cifar100", (RAW, "coarse")),
    ("svhn", {}, "archives.svhn", (RAW,)),
    ("svhn-extra", {}, "archives.svhn", (RAW, True)),
    ("svhn-full", {}, "house_numbers.house_numbers", (RAW, RULE)),
    ("svhn-full-extra", {}, "house_numbers.house_numbers", (RAW, RULE, True)),
    ("parquet", {}, "parquet.parquet", (RAW, RULE, COLUMNS)),
    ("image-folder", {}, "folder.image_folder", (RAW, RULE, COLUMNS)),
    ("npz", {}, "images_npz.images_npz", (RAW, RULE, "patient")),
    ("npz", {"shape": (15, 40), "size_px": None}, "vectors.vectors", (RAW, (15, 40), "patient")),
    ("idx", {}, "idx.idx", (RAW, RULE)),
    ("stl10", {}, "stl10.stl10", (RAW, RULE)),
    ("webdataset", {}, "webdataset.webdataset", (RAW, RULE, "patient")),
    ("speech", {"shape": (40,), "size_px": None}, "speech.speech", (RAW, (40,))),
]


def settings(source: str, **values: Any) -> Any:
    return SimpleNamespace(**{**DEFAULTS, "source": source, **values})


@pytest.mark.parametrize(
    ("source", "values", "reader", "arguments"),
    CALLS,
    ids=[f"{source} {reader}" for source, _, reader, _ in CALLS],
)
def test_every_source_has_its_reader(
    source: str,
    values: dict[str, Any],
    reader: str,
    arguments: tuple[Any, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, name = reader.split(".")
    held = getattr(table, module)
    assert callable(getattr(held, name))
    monkeypatch.setattr(held, name, lambda *given: given)
    assert table.load(settings(source, **values), RAW, 7) == arguments


def test_no_source_that_may_be_set_is_forgotten() -> None:
    allowed = set(get_args(get_type_hints(Prepare)["source"]))
    assert allowed == {source for source, *_ in CALLS}
    with pytest.raises(AssertionError, match="unknown"):
        table.load(settings("unknown"), RAW, 7)
