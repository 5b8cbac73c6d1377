"""prepare: raw images -> data/prepared (train, validation, test), for every table and figure.

Reads the source named by `prepare.source`. Writes
data/prepared/{train,validation,test}.safetensors: images uint8 (n, s, s, 3) as they are
(standardised only in a net's input layer), labels, and the class names. Vectors of the source npz
are float32 (n, ...), every feature with mean 0 and deviation 1 over the training vectors; both
statistics are in data/prepared/statistics.safetensors.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from stages.images.sources import archives, digits, folder, parquet, vectors
from stages.images.sources.labelled import CLASSES, DIGITS, FEWEST_CLASSES, MOST_CLASSES, Labelled
from stages.nets.budget import plan
from stages.nets.families import FAMILIES, check_row
from stages.nets.layers import teacher_params
from stages.runtime import entry
from stages.runtime.copies import in_clone
from stages.settings import common, whole
from stages.settings.budgets import parse_budget
from stages.settings.groups import GROUPS
from stages.settings.inputs import Inputs
from stages.settings.prepare import Prepare, prepare
from stages.settings.read import read_params
from stages.settings.students import cells, matrix, row
from stages.settings.teachers import names_of
from stages.store.manifest import fresh_folder, write_manifest
from stages.store.prepared import write_split
from stages.store.tensors import write_tensors

OUT = Path("data/prepared")
FOR = {"train": "training", "validation": "validation", "test": "testing"}
"""What the parts of the data are for, in words."""


def load(settings: Prepare, seed: int) -> tuple[Labelled, Labelled, tuple[str, ...]]:
    """Training pool, test images and class names of the source, in its own order."""
    path = Path(settings.path)
    path = path if path.exists() else in_clone(path)  # git has no raw data for a copy
    match settings.source:
        case "cluttered-digits":
            return digits.cluttered_digits(seed, settings.train, settings.validation, settings.test)
        case "cifar10":
            return archives.cifar10(path)
        case "cifar100":
            return archives.cifar100(path)
        case "svhn":
            return archives.svhn(path)
        case "parquet":
            return parquet.parquet(path)
        case "image-folder":
            return folder.image_folder(path, settings.size_px)
        case "npz":
            assert settings.shape is not None  # refused where the settings are read
            return vectors.vectors(path, settings.shape)


def by_content(data: Labelled) -> Labelled:
    """The same images in the order of the sha256 of their bytes, whatever an archive's order."""
    keys = [hashlib.sha256(image.tobytes()).digest() for image in data.images]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return Labelled(data.images[order], data.labels[order])


def take(data: Labelled, start: int, stop: int) -> Labelled:
    """Images start .. stop - 1."""
    return Labelled(data.images[start:stop], data.labels[start:stop])


def split(settings: Prepare, pool: Labelled, test: Labelled) -> dict[str, Labelled]:
    """Train from the front of the pool, validation from its end, test from the front of `test`.

    With the sizes of the paper this is CIFAR-10's batches 1-4 and 5 (section 2.5; assumption 17).

    Raises:
        ValueError: the source has fewer images than asked for.
    """
    have = len(pool.labels)
    if settings.train + settings.validation > have:
        raise ValueError(
            f"prepare.train {settings.train} + prepare.validation {settings.validation} is more "
            f"than the {have} training images of {settings.source}: lower one of them in params.yaml"
        )
    if settings.test > len(test.labels):
        raise ValueError(
            f"prepare.test is {settings.test}, {settings.source} has {len(test.labels)} test images: "
            "lower it"
        )

    if settings.split == "content":
        pool = by_content(pool)
        test = by_content(test)

    return {
        "train": take(pool, 0, settings.train),
        "validation": take(pool, have - settings.validation, have),
        "test": take(test, 0, settings.test),
    }


def check_classes(settings: Prepare, parts: dict[str, Labelled], classes: list[str]) -> None:
    """Refuse parts from which nothing can be learnt or chosen; say which classes a part lacks.

    With few images of many classes some are lacking by chance. With two training images for each
    class, or more, a part that is mostly of classes that training lacks is the end of a sorted source.

    Raises:
        ValueError: that is so, or all images for validation or testing are of one class.
    """
    counts = {
        name: np.bincount(part.labels, minlength=len(classes)) for name, part in parts.items()
    }
    listed = "; ".join(f"{name} {_counted(each)}" for name, each in counts.items())
    remedy = "choose other sizes, or correct the files"
    if settings.split == "order" and settings.source != "cluttered-digits":
        remedy = "the files may be sorted by class: set prepare.split to content"

    enough = counts["train"].sum() >= 2 * len(classes)
    for name in ("validation", "test"):
        untrained = counts["train"] == 0
        if enough and 2 * counts[name][untrained].sum() > counts[name].sum():
            names = [classes[i] for i in np.flatnonzero(untrained & (counts[name] > 0))]
            more = f" and {len(names) - 5} more" if names[5:] else ""
            raise ValueError(
                f"most images for {FOR[name]} are of classes without a training image "
                f"({', '.join(names[:5])}{more}); images of each class: {listed}: {remedy}"
            )

        present = np.flatnonzero(counts[name])
        if len(present) == 1 and counts[name].sum() > 1:
            raise ValueError(
                f"all images for {FOR[name]} are of the class {classes[present[0]]}; images of each "
                f"class: {listed}: {remedy}"
            )

    for name, each in counts.items():
        lacking = [classes[i] for i in np.flatnonzero(each == 0)]
        if lacking:
            more = f" and {len(lacking) - 5} more" if lacking[5:] else ""
            print(f"prepare: note: none for {FOR[name]} of {', '.join(lacking[:5])}{more}")


def _counted(counts: np.ndarray) -> str:
    """Images of each class, of the first twenty."""
    more = ", ..." if len(counts) > 20 else ""
    return f"[{', '.join(map(str, counts[:20]))}{more}]"


def check_mirror(settings: Prepare, mirror: bool) -> None:
    """Views of digits are not mirrored.

    Raises:
        ValueError: they are.
    """
    if mirror and settings.source in DIGITS:
        raise ValueError(
            f"params.yaml: images.mirror is true, and {settings.source} has digits, which mirrored "
            "are others or none: set images.mirror to false"
        )


def class_names(names: tuple[str, ...], source: str) -> list[str]:
    """Names of the classes; those that several classes share get their numbers too.

    ImageNet has two cranes.

    Raises:
        ValueError: too few classes or too many.
    """
    if not FEWEST_CLASSES <= len(names) <= MOST_CLASSES:
        raise ValueError(
            f"{source} has {len(names):,} class{'' if len(names) == 1 else 'es'}, "
            f"allowed are {FEWEST_CLASSES} to {MOST_CLASSES:,}: change prepare.path or its files"
        )

    counts = Counter(names)
    return [f"{name} ({i})" if counts[name] > 1 else name for i, name in enumerate(names)]


def check_cells(params: dict[str, Any], classes: int, inputs: Inputs) -> None:
    """Check that every cell that is listed has a net that meets its budget.

    Raises:
        ValueError: a row or budget that cannot be trained on these inputs; it names the list to
        take it from.
    """
    # Refuses images that are too small for the teachers' pools.
    narrowest = (1,) * len(names_of(inputs).widths)
    teacher_params(narrowest, classes, inputs)

    for name in cells(params):
        item = row(params, name.group, name.row)
        family = item.net or name.row
        where = f"params.yaml: {GROUPS[name.group].rows}.{name.row}"
        check_row(where, family, name.budget, item.boxes, item.ratios)

        box = None if item.boxes is None else item.boxes[name.budget]
        largest = [1.0] * FAMILIES[family].controls
        multiple = matrix(params, name.group).width_multiple

        try:
            plan(
                family,
                parse_budget(name.budget),
                largest,
                box,
                classes=classes,
                inputs=inputs,
                multiple=multiple,
            )
        except ValueError as error:
            why = str(error).replace("students.budgets", f"{name.stage}.budgets")
            raise ValueError(
                f"params.yaml: {name.stage}.rows has {name.row}, at {name.budget}, {inputs.words} and "
                f"{classes} classes: {why}; or take {name.row} out of {name.stage}.rows"
            ) from error


def inputs_of(pool: Labelled, settings: Prepare, images: common.Images) -> Inputs:
    """What the nets will see: vectors of the given shape, or images with the side of those read.

    Raises:
        ValueError: crops do not fit into the images.
    """
    if settings.inputs.is_vectors:
        return settings.inputs

    size = pool.images.shape[1]
    if images.crop_min_px > size:
        raise ValueError(
            f"images.crop_min_px is {images.crop_min_px}, the images are {size} px: lower it"
        )

    return Inputs.images(size)


def main() -> None:
    """Run the stage."""
    params = read_params()
    whole.check(params)
    settings = prepare(params)
    seed = common.seed(params)
    images = common.images(params)
    check_mirror(settings, images.mirror)

    # Before any file is opened; only with parquet the files alone tell the size.
    if settings.source != "parquet":
        check_cells(params, CLASSES.get(settings.source, FEWEST_CLASSES), settings.inputs)

    # The data, in three parts.
    pool, test, names = load(settings, seed)
    classes = class_names(names, settings.source)
    inputs = inputs_of(pool, settings, images)
    check_cells(params, len(classes), inputs)
    parts = split(settings, pool, test)
    check_classes(settings, parts, classes)

    out = fresh_folder(OUT)
    header = {"classes": classes, "source": settings.source}

    if inputs.is_vectors:
        mean, deviation = vectors.statistics(parts["train"].images)
        write_tensors(out / "statistics.safetensors", {"mean": mean, "deviation": deviation}, {})
        parts = {name: vectors.standardised(part, mean, deviation) for name, part in parts.items()}

    # The files.
    kind = np.uint8 if len(classes) <= 256 else np.uint16
    for name, part in parts.items():
        write_split(out, name, part.images, part.labels.astype(kind), header)

    counts = {name: len(part.labels) for name, part in parts.items()}
    write_manifest(out, {**header, **inputs.to_json(), "images": counts})

    sizes = ", ".join(f"{count:,} for {FOR[name]}" for name, count in counts.items())
    print(f"prepare: {settings.source}, {inputs.words}, {len(classes)} classes; {sizes}")


if __name__ == "__main__":
    entry.run(main)
