"""A folder of picture files: a folder for each class, or a list of names and labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from stages.images.pictures import SUFFIXES, PictureRule
from stages.images.sources.class_folders import class_folders, notes_beside, part_folders
from stages.images.sources.columns import USUAL, Columns
from stages.images.sources.files import (
    NAMED,
    below,
    composed,
    contents,
    file_items,
    hash_key,
    is_picture,
    linked_note,
    path_below,
    printable,
    visible,
)
from stages.images.sources.labelled import Labelled, Source, existing_folder
from stages.images.sources.list_choice import lists_beside_classes, names_and_labels
from stages.images.sources.list_table import list_files
from stages.images.sources.lists import image_list
from stages.images.sources.many import read_pictures
from stages.images.sources.parts import WANTED
from stages.images.sources.tiny_imagenet import (
    annotated_pictures,
    is_annotated,
    is_left_over,
    without_unlabelled,
)

COMPANIONS = (
    ".txt",
    ".csv",
    ".tsv",
    ".json",
    ".xml",
    ".md",
    ".yaml",
    ".html",
    ".db",
    ".ini",
    ".mat",
)
"""Suffixes of files that lie beside pictures and are passed over; a note counts them."""
CIFAR_RULE = PictureRule(32)
LAYOUTS = (
    f"PART/CLASS/ with pictures below, where PART is {WANTED}; CLASS/ alone; or pictures with a "
    "list of names and labels as .csv"
)
"""What is read, for errors."""


def image_folder(
    path: str | Path,
    rule: PictureRule = CIFAR_RULE,
    columns: Columns = USUAL,
) -> Source:
    """Pictures of `path`/PART/CLASS/, or of `path`/CLASS/, at any depth below the class.

    PART is train, val (valid, validation, dev) or test in any case, or has one of these words in its
    name, see `part_folders`; without parts all pictures are the training part. The classes are the
    folders of train, sorted. Pictures are ordered by the sha256 of their path below the part, which
    mixes the classes and does not depend on the file system. Names that start with a dot are passed
    over, and files that lie beside pictures, see COMPANIONS; any other file that is no picture is
    refused rather than ignored. Where there are no parts and a list has columns of names and labels,
    or a column is named, lists in the folder name and label the pictures, see `lists.image_list`.
    Beside class folders, lists that cannot be read or name no picture are passed over. A note says
    what is passed over. A part with annotations as those of Tiny ImageNet is labelled by them.

    Args:
        path: the folder; a relative one starts at the environment's MIMICNETS_DATA, if set.
        rule: size and fit of the pictures.
        columns: of the lists. Without lists the group is a pattern that is searched in the path of
            each picture below its part; what its first pair of parentheses matches, or all of the
            match, is the picture's group.

    Raises:
        FileNotFoundError: the folder is missing.
        ValueError: a class or pictures are not usable; the message names them.
    """
    root = existing_folder(path, LAYOUTS)
    lists = list_files(root)
    folders = part_folders(root)
    named = columns.image is not None or columns.label is not None
    if lists and named:
        return image_list(root, rule, columns)

    notes = [] if folders is None else notes_beside(root, folders)
    if folders is None:
        folders = class_folders(root)
        if folders is not None and lists:
            lists, notes = lists_beside_classes(root, lists, columns)
        if lists and (
            folders is not None or any(names_and_labels(each, columns) for each in lists)
        ):
            listed = image_list(root, rule, columns, lists)
            return replace(listed, notes=(*notes, *listed.notes))

    if folders is None:
        raise ValueError(
            f"{root} has {contents(root)}; wanted are {LAYOUTS}: change prepare.path or its files"
        )

    folders, without = without_unlabelled(folders)
    notes += without
    classes = _class_names(folders["train"])
    number = {composed(kind): i for i, kind in enumerate(classes)}
    linked: list[Path] = []
    passed: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    parts = {}
    for name, folder in folders.items():
        if is_annotated(folder):
            files, kinds = annotated_pictures(folder, classes)
        else:
            files = _files(folder, classes, passed, linked)
            kinds = [file.parts[len(folder.parts)] for file in files]

        images, found = read_pictures(len(files), file_items(files), rule)
        labels = np.array([number[composed(kind)] for kind in kinds], np.int64)
        inside = [path_below(file, folder) for file in files]
        parts[name] = Labelled(images, labels, groups_of(inside, columns.group))
        sizes += found

    return Source(
        parts["train"],
        parts.get("test"),
        classes,
        parts.get("validation"),
        dict(sizes.most_common()),
        (*notes, *linked_note(linked, root), *notes_on(passed)),
    )


def _class_names(training: Path) -> tuple[str, ...]:
    """The names of the class folders, sorted; of names in two forms of Unicode the first.

    Raises:
        ValueError: one is not UTF-8, so that no file can hold it.
    """
    names = sorted(folder.name for folder in visible(training) if folder.is_dir())
    for name in names:
        if printable(name) != name:
            raise ValueError(
                f"{training}: the name of the class folder {printable(name)} is not UTF-8: rename it"
            )
    forms = {composed(name): name for name in reversed(names)}
    return tuple(sorted(forms.values()))


def groups_of(paths: Sequence[str], pattern: str | None) -> np.ndarray | None:
    """What the pattern finds in each path, str (n,); None without a pattern.

    Raises:
        ValueError: it finds nothing in some, or is no pattern.
    """
    if pattern is None:
        return None

    try:
        found = [re.search(pattern, path) for path in paths]
    except re.error as error:
        raise ValueError(f"prepare.group is {pattern!r}, no regular expression: {error}") from None

    # Parentheses that are optional may match nothing.
    texts = [match and match[match.re.groups and 1] for match in found]
    without = [path for path, text in zip(paths, texts, strict=True) if not text]
    if without:
        raise ValueError(
            f"prepare.group is {pattern!r}, which finds nothing in {len(without):,} of {len(paths):,} "
            f"names, such as {', '.join(map(printable, without[:3]))}: change it"
        )

    return np.array(texts)


def notes_on(passed: Counter[str]) -> tuple[str, ...]:
    """A line on the files that were passed over, if there were any."""
    if not passed:
        return ()
    kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(passed.items()))
    return (f"passed over files beside the pictures: {kinds}",)


def _files(
    part: Path, classes: tuple[str, ...], passed: Counter[str], linked: list[Path]
) -> list[Path]:
    """Picture files below `part` in the order of the hash of their relative path."""
    files: list[Path] = []
    bad: list[Path] = []
    known = set(map(composed, classes))
    for folder in sorted(visible(part)):
        if not folder.is_dir():
            if folder.suffix.lower() not in COMPANIONS:
                raise ValueError(
                    f"{folder}: a file, allowed are class folders here: move or remove it"
                )
            passed[folder.suffix.lower()] += 1
            continue

        if composed(folder.name) not in known:
            if is_left_over(folder):
                continue
            raise ValueError(f"{folder}: class {folder.name} has no folder in train: add it there")

        pictures = []
        for file in below(folder, linked):
            if is_picture(file):
                pictures.append(file)
            elif file.suffix.lower() in COMPANIONS:
                passed[file.suffix.lower()] += 1
            else:
                bad.append(file)

        if not pictures and not bad:
            raise ValueError(
                f"{folder}: no pictures, wanted at least one: fill or remove the folder"
            )
        files += pictures

    _refuse_others(bad)
    if not files:
        raise ValueError(f"{part}: no pictures, wanted CLASS/ with some: fill it")

    return sorted(files, key=lambda file: hash_key(file, part))


def _refuse_others(bad: Sequence[Path]) -> None:
    """Refuse files that are neither pictures nor lie beside them as usual."""
    if bad:
        shown = ", ".join(str(file) for file in sorted(bad)[:NAMED])
        more = f" and {len(bad) - NAMED:,} more" if len(bad) > NAMED else ""
        raise ValueError(
            f"{shown}{more}: not picture files, allowed are {', '.join(SUFFIXES)}: move or remove "
            "them, or save them in one of these formats"
        )
