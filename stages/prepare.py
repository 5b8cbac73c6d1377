"""prepare: raw images -> data/prepared (train, validation, test), for every table and figure.

Reads the source named by `prepare.source`. Writes
data/prepared/{train,validation,test}.safetensors: images uint8 (n, s, s, 3) as they are
(standardised only in a net's input layer), labels, and the class names. Vectors of the source npz
are float32 (n, ...), every feature with mean 0 and deviation 1 over the training vectors; both
statistics are in data/prepared/statistics.safetensors. Images without labels are in data/unlabelled.
Writes metrics/data.json too, a look at the data: images of each class, images that are there twice,
sizes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stages.images.pictures import PictureRule
from stages.images.sources import vectors
from stages.images.sources.checks import check_classes, check_mirror, class_names
from stages.images.sources.extra import read_all
from stages.images.sources.labelled import CLASSES, FEWEST_CLASSES, Labelled
from stages.images.sources.look import look, notes_on
from stages.images.sources.split import FOR, Split, split
from stages.images.sources.stl10 import stl10_unlabelled
from stages.images.sources.table import load
from stages.images.sources.unlabelled import unlabelled_pictures
from stages.nets.fitting import check_cells
from stages.runtime import entry
from stages.runtime.raw_data import raw_data, raw_tests
from stages.settings import common, whole
from stages.settings.inputs import Inputs
from stages.settings.prepare import Prepare, prepare
from stages.settings.read import read_params
from stages.store.atomic import write_json
from stages.store.manifest import fresh_folder, write_manifest
from stages.store.prepared import write_split, write_unlabelled
from stages.store.tensors import write_tensors

OUT = Path("data/prepared")
BESIDE = Path("data/unlabelled")
LOOK = Path("metrics/data.json")


def without_labels(settings: Prepare, divided: Split) -> np.ndarray | None:
    """Images without labels: those of the folder `prepare.unlabelled`, or of the source; or None."""
    if not isinstance(settings.unlabelled, str) or settings.size_px is None:
        return divided.unlabelled

    rule = PictureRule(settings.size_px, settings.fit)
    path = raw_data(settings.unlabelled)
    if settings.source == "stl10" and settings.unlabelled == settings.path:
        return stl10_unlabelled(path, rule)
    return unlabelled_pictures(path, rule, settings.image_column)[0]


def check_further(settings: Prepare, classes: list[str]) -> None:
    """Read the sets of `prepare.extra_tests` once, so that a fault ends the run before training.

    Raises:
        FileNotFoundError, ValueError: a folder is missing or not usable, or two sets have one name.
    """
    if not settings.extra_tests:
        return

    assert settings.size_px is not None  # sets are of images, as the settings are
    rule = PictureRule(settings.size_px, settings.fit)
    columns = (settings.image_column, settings.label_column)
    for each in read_all(raw_tests(settings), classes, rule, *columns):
        for note in each.found.notes:
            print(f"prepare: extra_tests.{each.key}: {note}", flush=True)


def write_parts(
    parts: dict[str, Labelled],
    unlabelled: np.ndarray | None,
    inputs: Inputs,
    settings: Prepare,
    classes: list[str],
) -> None:
    """data/prepared: the parts, their statistics if they are vectors, and the manifest.

    Images without labels go to data/unlabelled, with the training images that they follow.
    """
    out = fresh_folder(OUT)
    header: dict[str, Any] = {"classes": classes, "source": settings.source}

    if inputs.is_vectors:
        mean, deviation = vectors.statistics(parts["train"].images)
        write_tensors(out / "statistics.safetensors", {"mean": mean, "deviation": deviation}, {})
        parts = {name: vectors.standardised(part, mean, deviation) for name, part in parts.items()}

    kind = np.uint8 if len(classes) <= 256 else np.uint16
    for name, part in parts.items():
        write_split(out, name, part.images, part.labels.astype(kind), header)

    counts = {name: len(part) for name, part in parts.items()}
    fit = {"fit": settings.fit} if inputs.is_images else {}
    write_manifest(out, {**header, **inputs.to_json(), **fit, "images": counts})

    train = parts["train"]
    write_unlabelled(fresh_folder(BESIDE), train.images, train.labels.astype(kind), unlabelled)


def main() -> None:
    """Run the stage."""
    params = read_params()
    whole.check(params)
    settings = prepare(params)
    images = common.images(params)
    inputs = settings.inputs

    # Before any file is opened.
    check_mirror(settings, images.mirror)
    check_cells(params, CLASSES.get(settings.source, FEWEST_CLASSES), inputs)

    # The data, in three parts.
    source = load(settings, raw_data(settings.path), common.seed(params))
    classes = class_names(source.classes, settings.source)
    check_cells(params, len(classes), inputs)
    divided = split(settings, source)
    parts = divided.parts
    check_classes(settings, parts, classes)
    unlabelled = without_labels(settings, divided)
    check_further(settings, classes)

    # What they are.
    found = look(parts, classes, source, unlabelled)
    notes = [*source.notes, *divided.notes, *notes_on(found)]
    write_parts(parts, unlabelled, inputs, settings, classes)
    write_json(LOOK, {"source": settings.source, **inputs.to_json(), **found, "notes": notes})

    for note in notes:
        print(f"prepare: note: {note}")
    sizes = ", ".join(f"{len(part):,} for {FOR[name]}" for name, part in parts.items())
    if unlabelled is not None:
        sizes += f", {len(unlabelled):,} without labels"
    print(f"prepare: {settings.source}, {inputs.words}, {len(classes)} classes; {sizes}")


if __name__ == "__main__":
    entry.run(main)
