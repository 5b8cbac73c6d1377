"""Further test sets, `prepare.extra_tests`: CIFAR-10-C, CIFAR-10.1, image folders, parquet files.

Which layout a folder has is told by what is in it. NumPy files are mapped into memory and read
block by block, since those of CIFAR-10-C have 2.9 GB, and never unpickled. Labels that are names
are matched with the names of the training classes. Numbers are places among these, or values where
the training classes are values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from stages.images.pictures import SUFFIXES, PictureRule
from stages.images.sources.columns import Columns
from stages.images.sources.extra_arrays import (
    DATA_END,
    LABELS,
    LABELS_END,
    corrupted,
    npy_files,
    versions,
)
from stages.images.sources.extra_labels import listed, matched
from stages.images.sources.extra_sets import ExtraPart, ExtraSet
from stages.images.sources.files import below, composed, linked_note
from stages.images.sources.files import file_items as items_of
from stages.images.sources.folder import COMPANIONS
from stages.images.sources.labelled import data_folder
from stages.images.sources.many import read_pictures
from stages.images.sources.parquet import file_items, own_labels, read_table
from stages.images.sources.parquet_files import all_files, check_complete, check_one_set
from stages.images.sources.parts import part_named, part_of_path
from stages.settings.prepare import ExtraTest

VECTORS = (".npy", ".npz")
"""Suffixes of files with vectors, which `predict --labels` reads."""
COLUMNS = ("image_column", "label_column")
"""Keys that name columns of parquet files, of an entry or else of `prepare`."""

LAYOUTS = (
    f"{LABELS} with one CORRUPTION.npy each (CIFAR-10-C), NAME{DATA_END} with NAME{LABELS_END} "
    "(CIFAR-10.1), *.parquet with the word test in their names or without a part, or folders CLASS "
    "with images"
)
"""What is read, in words."""


@dataclass(frozen=True)
class FoundSet:
    """A test set, and where it was found.

    Attributes:
        key: its entry in `prepare.extra_tests`.
        test: the entry.
        which: place among the sets of the folder.
        found: the set.
    """

    key: str
    test: ExtraTest
    which: int
    found: ExtraSet


def read_all(
    tests: Mapping[str, ExtraTest],
    classes: Sequence[str],
    rule: PictureRule,
    image_column: str | None = None,
    label_column: str | None = None,
) -> Iterator[FoundSet]:
    """The sets of all entries of `prepare.extra_tests`, one after the other.

    Args:
        tests: name -> entry.
        classes, rule, image_column, label_column: as of `read_extra`.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: one is not usable, or two sets have one name.
    """
    names: set[str] = set()
    for key, test in tests.items():
        for which, found in enumerate(
            read_extra(key, test, classes, rule, image_column, label_column)
        ):
            if found.name in names:
                raise ValueError(
                    f"params.yaml: prepare.extra_tests has two sets called {found.name}: rename one"
                )
            names.add(found.name)
            yield FoundSet(key, test, which, found)


def read_extra(
    name: str,
    test: ExtraTest,
    classes: Sequence[str],
    rule: PictureRule,
    image_column: str | None = None,
    label_column: str | None = None,
) -> list[ExtraSet]:
    """The test sets in a folder: one, or one for each version of CIFAR-10.1.

    Args:
        name: in `prepare.extra_tests`.
        test: the entry; a relative path starts at the environment's MIMICNETS_DATA, if set.
        classes: names of the training classes, in the order of the labels.
        rule: size and fit of pictures, those of the training images; arrays have this size.
        image_column, label_column: of parquet files, for an entry without its own, those of the
            training data; None takes the usual ones.

    Raises:
        FileNotFoundError: there is no such folder, or a numbered file is missing.
        ValueError: it has none of the layouts, or a file that is not usable; the message names the
            file and the key of params.yaml.
    """
    key = f"prepare.extra_tests.{name}"
    folder = data_folder(test.path)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no folder {folder}: change {key}, or set MIMICNETS_DATA to the folder that it starts from"
        )

    try:
        columns = Columns(image_column, label_column)
        return _read_as_it_is(name, test, folder, tuple(classes), rule, columns)
    except (FileNotFoundError, ValueError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        words = str(error).replace("choose another prepare.path", "choose another folder")
        for column in COLUMNS:
            words = words.replace(f"prepare.{column}", f"{key}.{column}, beside {key}.path")
        raise kind(f"{key}: {words}") from error


def _read_as_it_is(
    name: str,
    test: ExtraTest,
    folder: Path,
    classes: tuple[str, ...],
    rule: PictureRule,
    columns: Columns,
) -> list[ExtraSet]:
    """The sets of a folder, by the first layout that fits; `columns` are those of the training data."""
    as_published = (folder / LABELS).is_file()
    several = npy_files(folder, DATA_END)
    if not as_published and not several and all_files(folder):
        own = Columns(test.image_column or columns.image, test.label_column or columns.label)
        return [_parquet(name, folder, classes, rule, own)]

    _refuse_columns(test, folder)
    if as_published:
        return [corrupted(name, folder, classes, rule.size_px)]
    if several:
        return versions(name, folder, classes, rule.size_px)
    if any(path.is_dir() for path in _visible(folder)):
        return [_image_folder(name, folder, classes, rule)]

    present = [path.name for path in _visible(folder)]
    raise ValueError(f"{folder} holds {listed(present) or 'nothing'}; read are {LAYOUTS}")


def _refuse_columns(test: ExtraTest, folder: Path) -> None:
    """An entry names no columns where nothing has columns.

    Raises:
        ValueError: it does.
    """
    for column in COLUMNS:
        name = getattr(test, column)
        if name is not None:
            raise ValueError(
                f"{column} is {name!r}, and {folder} is not read as parquet files: set it to null"
            )


def _parquet(
    name: str, folder: Path, classes: tuple[str, ...], rule: PictureRule, columns: Columns
) -> ExtraSet:
    """A set in parquet files."""
    files = _files_for_testing(folder)
    check_complete(files)
    check_one_set(folder, files, f"prepare.extra_tests.{name}")
    tables = [read_table(file, columns) for file in files]

    count = sum(table.rows for table in tables)
    if not count:
        raise ValueError(f"{files[0]}: no rows, wanted at least one image: download it again")

    labels = np.concatenate(matched([own_labels(table) for table in tables], classes))
    items = chain.from_iterable(file_items(table.file, table.image) for table in tables)
    images, _ = read_pictures(count, items, rule, key=f"prepare.extra_tests.{name}")

    return ExtraSet(name, labels, 0, (ExtraPart("", lambda: images),))


def _files_for_testing(folder: Path) -> list[Path]:
    """The parquet files whose names say test; all of them where no name says a part.

    Raises:
        ValueError: names say other parts alone.
    """
    files = all_files(folder)
    parts = {file: part_of_path(file.relative_to(folder)) for file in files}
    tests = [file for file in files if parts[file] == "test"]
    if tests:
        return tests

    others = [str(file.relative_to(folder)) for file in files if parts[file] is not None]
    if others:
        raise ValueError(
            f"{folder}: {listed(others)} are for training or validation by their names, and no file is "
            "for testing: rename those that are to be scored to test-*.parquet, or remove the others"
        )
    return files


def _image_folder(name: str, folder: Path, classes: tuple[str, ...], rule: PictureRule) -> ExtraSet:
    """A set of picture files in folders named like the classes, in the order of their paths."""
    linked: list[Path] = []
    found = labelled_files(folder, classes, SUFFIXES, linked)
    images, _ = read_pictures(
        len(found), items_of([file for file, _ in found]), rule, key=f"prepare.extra_tests.{name}"
    )

    labels = np.array([label for _, label in found], np.int64)
    part = ExtraPart("", lambda: images)
    return ExtraSet(name, labels, 0, (part,), tuple(linked_note(linked, folder)))


def labelled_files(
    folder: Path,
    classes: Sequence[str],
    suffixes: Sequence[str] = (*SUFFIXES, *VECTORS),
    linked: list[Path] | None = None,
) -> list[tuple[Path, int]]:
    """Files at any depth of `folder`/CLASS/, with the number of their class, in the order of paths.

    They may lie in `folder`/test/CLASS/ too. Names that begin with a dot are skipped, and files that
    lie beside pictures as usual, see `folder.COMPANIONS`. Classes may be lacking.

    Args:
        folder, classes: what is read, and the names of the classes.
        suffixes: of the files, in lower case.
        linked: takes the folders that are links, which are not read.

    Raises:
        ValueError: a folder is not a class, a file is of another kind, or there are no files.
    """
    numbers = {composed(name): i for i, name in enumerate(classes)}
    found: list[tuple[Path, int]] = []
    bad: list[Path] = []

    for inside in _visible(_folder_of_classes(folder, classes)):
        if not inside.is_dir():
            if not _is_companion(inside):
                raise ValueError(
                    f"{inside}: a file, allowed are folders CLASS here: move or remove it"
                )
            continue

        if composed(inside.name) not in numbers:
            raise ValueError(
                f"{inside}: no class of the nets is called {inside.name}, theirs are "
                f"{listed(classes)}: rename or remove the folder"
            )

        for file in sorted(below(inside, linked)):
            if file.suffix.lower() in suffixes and file.is_file():
                found.append((file, numbers[composed(inside.name)]))
            elif not _is_companion(file):
                bad.append(file)

    if bad:
        raise ValueError(
            f"{listed([str(file) for file in bad])}: other files, allowed are {', '.join(suffixes)}: "
            "move or remove them"
        )
    if not found:
        raise ValueError(f"{folder}: no files, wanted CLASS/*.png and the like: fill it")
    return found


def _folder_of_classes(folder: Path, classes: Sequence[str]) -> Path:
    """The folder, or its folder test where it has no other."""
    inside = [path for path in _visible(folder) if path.is_dir()]
    names = set(map(composed, classes))
    named = len(inside) == 1 and composed(inside[0].name) not in names
    return inside[0] if named and part_named(inside[0].name) == "test" else folder


def _is_companion(file: Path) -> bool:
    """Whether this is a file of a kind that lies beside pictures."""
    return file.is_file() and file.suffix.lower() in COMPANIONS


def _visible(folder: Path) -> list[Path]:
    """What is in a folder, sorted, but for names that begin with a dot."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
