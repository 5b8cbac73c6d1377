"""Pictures in tar files, as the library webdataset writes and reads them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.images.pictures import PictureRule
from stages.images.sources.classes import FileLabels, numbered
from stages.images.sources.files import NAMED
from stages.images.sources.labelled import MOST_CLASSES, Labelled, Source, existing_folder
from stages.images.sources.many import read_pictures, refuse
from stages.images.sources.parts import WANTED, part_of_path
from stages.images.sources.samples import LABEL_KEYS, Sample, items_of, samples_of
from stages.images.sources.shards import SUFFIXES, check_complete, in_order

NAME_FILES = ("classes.txt", "classnames.txt")
"""Beside the tar files: names of the classes, a line each."""

_MAX_NAMES_BYTES = 1 << 24


def webdataset(path: str | Path, rule: PictureRule, group: str | None = None) -> Source:
    """Pictures of `path`/**/*.tar, packed as .tar.gz or not, in the order of the files.

    A sample is KEY.jpg, or another picture, and KEY.cls with a class, or KEY.json with "label",
    "cls" or "class". A class is a number or a name, in all samples the same kind. Part is train, val
    or test where a word of a file's name says so, or else of the nearest folder's; without, all are
    the training part.

    Args:
        path: the folder; a relative one starts at the environment's MIMICNETS_DATA, if set.
        rule: size and fit of the pictures.
        group: a key of every KEY.json, whose value must not be divided between parts.

    Raises:
        FileNotFoundError: there are no tar files, or numbers are missing between those that are.
        ValueError: a file or samples are not usable; the message names them.
    """
    root = existing_folder(path, "tar files of pictures and labels")
    shards = _shards(root)
    notes = [note for files in shards.values() for note in check_complete(files)]

    # First what there is, without decoding anything.
    passed: Counter[str] = Counter()
    samples = {
        part: [sample for file in files for sample in samples_of(file, group, passed)]
        for part, files in shards.items()
    }
    _check(root, samples)
    labels, classes = _labels(root, samples)
    groups = {part: _groups(held, group) for part, held in samples.items()}

    parts = {}
    sizes: Counter[str] = Counter()
    for part, held in samples.items():
        images, found = read_pictures(len(held), items_of(held), rule)
        parts[part] = Labelled(images, labels[part], groups[part])
        sizes += found

    if passed:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(passed.items()))
        notes.append(f"passed over in tar files: {kinds}")
    return Source(
        parts["train"],
        parts.get("test"),
        classes,
        parts.get("validation"),
        dict(sizes.most_common()),
        tuple(notes),
    )


def _shards(root: Path) -> dict[str, list[Path]]:
    """Part -> its tar files, in the order of their names."""
    files = []
    for place, inside, names in os.walk(root):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        files += [
            Path(place, name)
            for name in names
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
        _check_count(Path(place), sum(file.parent == Path(place) for file in files))
    if not files:
        raise FileNotFoundError(f"no tar files in {root}: copy them there or change prepare.path")

    found: dict[str | None, list[Path]] = {}
    for file in in_order(files):
        found.setdefault(part_of_path(file.relative_to(root)), []).append(file)

    without = found.pop(None, [])
    if not found:
        return {"train": without}
    if without or "train" not in found:
        shown = ", ".join(str(file.relative_to(root)) for file in (without or files)[:NAMED])
        what = "names no part" if without else "is for training"
        more = f" and {len(without) - NAMED:,} more" if len(without) > NAMED else ""
        raise ValueError(
            f"{root}: {'of the tar files ' if without else 'none of '}{shown}{more} {what}, allowed "
            f"are {WANTED} in the name of a file or folder: rename or move them"
        )
    return {part: found[part] for part in ("train", "validation", "test") if part in found}


def _check_count(folder: Path, count: int) -> None:
    """A folder has as many tar files as its nshards.txt says, if there is one."""
    file = folder / "nshards.txt"
    if not file.is_file():
        return

    with file.open(errors="replace") as stream:
        said = stream.read(64).strip()
    if said != str(count):
        raise ValueError(
            f"{file} says {said!r}, and there are {count} tar files: complete the folder"
        )


def _check(root: Path, samples: dict[str, list[Sample]]) -> None:
    """Every sample has a picture and a label; all that have not are named together."""
    bad = []
    for sample in (each for held in samples.values() for each in held):
        if sample.picture is None:
            bad.append(f"{sample.name}: no picture, wanted KEY.jpg or another")
        elif sample.given is None:
            keys = ", ".join(LABEL_KEYS)
            bad.append(f"{sample.name}: no label, wanted KEY.cls, or KEY.json with {keys}")

    refuse(bad, sum(map(len, samples.values())))
    for part, held in samples.items():
        if not held:
            raise ValueError(
                f"{root}: no samples for {part} in its tar files, wanted a picture and a label at "
                "least: add some"
            )


def _labels(
    root: Path, samples: dict[str, list[Sample]]
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels of every part as int64 from 0, and the names of the classes."""
    names = _names(root)
    read = {part: [_read_label(sample) for sample in held] for part, held in samples.items()}

    kinds: dict[type, str] = {}
    for part, held in samples.items():
        for sample, label in zip(held, read[part], strict=True):
            kinds.setdefault(type(label), f"{sample.name} has {label!r}")
    if len(kinds) > 1:
        raise ValueError(f"{' and '.join(kinds.values())}: allowed are numbers or names, not both")

    if str in kinds:
        if names is None:
            names = tuple(sorted({str(label) for label in read["train"]}))
        read = {part: _placed(samples[part], labels, names) for part, labels in read.items()}

    files = [FileLabels(f"{root}, {part}", np.array(read[part], np.int64), names) for part in read]
    numbers, classes = numbered(files[:1], files[1:])
    return dict(zip(read, numbers, strict=True)), classes


def _read_label(sample: Sample) -> int | str:
    """The label as a number, or else as a name."""
    label = sample.given
    if isinstance(label, str) and re.fullmatch(r"-?\d{1,18}", label):
        label = int(label)
    if isinstance(label, bool) or not isinstance(label, int | str) or label == "":
        raise ValueError(f"{sample.name} has label {label!r}, allowed is a number or a name")
    if isinstance(label, int) and not 0 <= label < MOST_CLASSES:
        raise ValueError(
            f"{sample.name} has label {label}, allowed are 0 to {MOST_CLASSES - 1:,}: correct it"
        )
    return label


def _placed(
    samples: Sequence[Sample], labels: Sequence[int | str], names: tuple[str, ...]
) -> list[int | str]:
    """The place of each label among the names."""
    number: dict[int | str, int] = {name: place for place, name in enumerate(names)}
    bad = [
        f"{sample.name}: class {label!r} is none of {', '.join(names[:NAMED])}"
        for sample, label in zip(samples, labels, strict=True)
        if label not in number
    ]
    refuse(bad, len(labels))
    return [number[label] for label in labels]


def _names(root: Path) -> tuple[str, ...] | None:
    """Names of the classes, from a list beside the tar files; None without one."""
    found = [root / name for name in NAME_FILES if (root / name).is_file()]
    if not found:
        return None
    if len(found) > 1:
        raise ValueError(f"{found[0]} and {found[1]} both list classes: remove one")

    if found[0].stat().st_size > _MAX_NAMES_BYTES:
        raise ValueError(f"{found[0]}: more than {_MAX_NAMES_BYTES:,} bytes: replace it")
    try:
        lines = found[0].read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{found[0]}: not text in UTF-8 ({error}): replace it") from error

    names = tuple(line.strip() for line in lines)
    while names and not names[-1]:
        names = names[:-1]
    if not names or not all(names):
        raise ValueError(
            f"{found[0]}: an empty line, wanted the name of a class a line: correct it"
        )
    return names


def _groups(samples: Sequence[Sample], group: str | None) -> np.ndarray | None:
    """The group of every sample, str (n,)."""
    if group is None:
        return None

    bad = [
        f"{sample.name}: its .json has {sample.has}, wanted is a number or text as {group}: change "
        "prepare.group"
        for sample in samples
        if isinstance(sample.group, bool) or not isinstance(sample.group, int | str)
    ]
    refuse(bad, len(samples))
    return np.array([str(sample.group) for sample in samples])
