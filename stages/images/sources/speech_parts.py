"""One part of a corpus of speech: its features, labels and speakers, by lists and headers alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from stages.images.sources.classes import FileLabels
from stages.images.sources.files import linked_note
from stages.images.sources.htk import (
    SUFFIXES,
    FrameHead,
    Parameters,
    check_alike,
    folders_of,
    frame_head,
    frame_values,
    parameter_files,
)
from stages.images.sources.htk_labels import (
    MASTER_SUFFIX,
    label_files,
    segment_of_frames,
    segments_of,
)
from stages.images.sources.kaldi import (
    integers,
    library,
    lines_of,
    matrix,
    places_of,
    rows_of,
)
from stages.images.sources.labelled import MOST_CLASSES
from stages.images.sources.parts import by_part, part_within

FEATURES = ("feats.scp", "feats.ark")
"""Of a part's folder, the first that is there; if none is, HTK's files."""
FRAME_LABELS = ("ali.scp", "ali.ark", "labels.scp", "labels.ark")
"""A list of integers for each utterance, one for each frame."""
UTTERANCE_LABELS = ("utt2label", "text")
"""A line for each utterance: its key and a word."""
SPEAKERS = "utt2spk"

_SHOWN = 20


@dataclass(frozen=True)
class SpeechPart:
    """One part's folder.

    Attributes:
        folder: of the part.
        names: what an error calls each utterance.
        loads: what gives the features of each, float (rows, features).
        rows: frames of each.
        labels: of all frames, or of the utterances.
        of_frames: which of these.
        groups: the speaker of each utterance, its folder, or the utterance.
        first: HTK's first file and what its header says; None of Kaldi's files.
        linked: folders that are links and were passed over.
    """

    folder: Path
    names: list[str]
    loads: list[Callable[[], np.ndarray]]
    rows: list[int]
    labels: FileLabels
    of_frames: bool
    groups: list[str]
    first: tuple[str, FrameHead] | None = None
    linked: tuple[Path, ...] = ()


def speech_folders(root: Path) -> dict[str, Path]:
    """Part -> its folder.

    Raises:
        FileNotFoundError: there is none for training.
        ValueError: two are for one part.
    """
    inside = sorted(each for each in root.iterdir() if each.is_dir())
    found = by_part(inside)
    if "train" not in found:
        has = ", ".join(folder.name for folder in inside[:_SHOWN]) or "none"
        raise FileNotFoundError(
            f"no folder {root / 'train'}, wanted one with feats.scp or HTK's files; folders are {has}: "
            "change prepare.path or their names"
        )
    return found


def read_part(folder: Path, features: int) -> SpeechPart:
    """What is in a part's folder.

    Features are in feats.scp or feats.ark, or in HTK's files at any depth. Labels are in ali.scp or
    ali.ark, an integer for each frame; in utt2label or text, a word for each utterance; or with
    HTK's files in a master label file (.mlf) in the folder or the one above, or in .lab beside each.

    Args:
        folder: of the part.
        features: how many a frame must have.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: one is damaged, or does not fit the others.
    """
    kaldi = any((folder / name).is_file() for name in FEATURES)
    linked: list[Path] = []
    files = [] if kaldi else parameter_files(folder, linked)
    if files:
        return replace(_htk_part(folder, files, features), linked=tuple(linked))
    if linked:
        raise FileNotFoundError(
            f"{folder}: no files of HTK; {'; '.join(linked_note(linked, folder))}: put the folders "
            "themselves there, or change prepare.path"
        )

    read = library().read_kaldi
    places = places_of(_first(folder, FEATURES, f"files of HTK ({', '.join(SUFFIXES)})"))
    if not places:
        raise ValueError(f"{folder}: no utterances, wanted at least one: fill feats.scp")

    rows = []
    for place in places:
        count, columns = rows_of(place)
        _check_features(place.name, columns, features)
        rows.append(count)

    keys = [place.utterance for place in places]
    labels, of_frames = _listed(_first(folder, (*FRAME_LABELS, *UTTERANCE_LABELS)), keys, rows)
    return SpeechPart(
        folder,
        [place.name for place in places],
        [partial(matrix, place, read) for place in places],
        rows,
        labels,
        of_frames,
        _speakers(folder, keys) or keys,
    )


def _htk_part(folder: Path, places: list[Parameters], features: int) -> SpeechPart:
    """A part with HTK's files."""
    rows = []
    first = (places[0].name, frame_head(places[0]))
    for place in places:
        head = frame_head(place)
        _check_features(place.name, head.columns, features)
        check_alike(first, (place.name, head))
        rows.append(head.frames)

    keys = [place.utterance for place in places]
    lists = [folder / name for name in (*FRAME_LABELS, *UTTERANCE_LABELS)]
    file = next((file for file in lists if file.is_file()), None)
    labels, of_frames = _htk_labels(folder, places) if file is None else _listed(file, keys, rows)
    return SpeechPart(
        folder,
        [place.name for place in places],
        [partial(frame_values, place) for place in places],
        rows,
        labels,
        of_frames,
        _speakers(folder, keys) or folders_of(places),
        first,
    )


def _htk_labels(folder: Path, places: Sequence[Parameters]) -> tuple[FileLabels, bool]:
    """Labels of HTK's label files, and whether they are of frames."""
    masters = _masters(folder)
    known: dict[str, int] = {}
    numbers = []
    kinds: dict[bool, str] = {}
    for place, (where, lines) in zip(places, label_files(places, masters), strict=True):
        segments = segments_of(lines, where)
        timed = segments[0].start is not None
        if not timed and len(segments) > 1:
            raise ValueError(
                f"{where}: {len(segments)} names without times, allowed are one name, or start and end "
                "before each: write it again with times"
            )

        of_segments = np.array([known.setdefault(each.name, len(known)) for each in segments])
        held = segment_of_frames(segments, place, where) if timed else [0]
        numbers.append(of_segments[held])
        kinds.setdefault(timed, where)

    if len(kinds) > 1:
        raise ValueError(
            f"{kinds[True]} has times and {kinds[False]} has none, allowed is one of both: write them "
            "alike"
        )

    names = tuple(sorted(known))
    rank = {name: number for number, name in enumerate(names)}
    ranks = np.array([rank[name] for name in known], np.int64)
    return FileLabels(
        str(masters[0] if len(masters) == 1 else folder), ranks[np.concatenate(numbers)], names
    ), True in kinds


def _masters(folder: Path) -> list[Path]:
    """The master label files of a part: in its folder, or beside it for this part, or for all."""
    inside = _files(folder, MASTER_SUFFIX)
    beside = _files(folder.parent, MASTER_SUFFIX)
    own = [file for file in beside if part_within(file.stem) == part_within(folder.name)]
    return inside or own or [file for file in beside if part_within(file.stem) is None]


def _files(folder: Path, suffix: str) -> list[Path]:
    """Files of a suffix that lie directly in a folder, sorted."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() == suffix and file.is_file() and not file.name.startswith(".")
    )


def _check_features(name: str, columns: int, features: int) -> None:
    """A frame has as many features as the shape says."""
    if columns != features:
        raise ValueError(
            f"{name}: {columns} features a frame, prepare.shape wants {features}: change one of them"
        )


def _first(folder: Path, names: Sequence[str], other: str = "") -> Path:
    """The first of the files that is there; `other` would do too."""
    for name in names:
        if (folder / name).is_file():
            return folder / name

    has = ", ".join(sorted(file.name for file in folder.iterdir())[:_SHOWN]) or "nothing"
    wanted = f"one of {', '.join(names)}{', or ' if other else ''}{other}"
    raise FileNotFoundError(
        f"{folder} has {has}, wanted is {wanted}: add it, or change prepare.path"
    )


def _listed(file: Path, keys: Sequence[str], rows: Sequence[int]) -> tuple[FileLabels, bool]:
    """Labels of one of the lists, and whether they are of frames."""
    if file.name in UTTERANCE_LABELS:
        return _by_name(str(file), _words(file, keys)), False
    return FileLabels(str(file), _of_frames(file, keys, rows), None), True


def _by_name(file: str, names: Sequence[str]) -> FileLabels:
    """Names as numbers."""
    classes, places = np.unique(names, return_inverse=True)
    return FileLabels(file, places.astype(np.int64), tuple(classes.tolist()))


def _speakers(folder: Path, keys: Sequence[str]) -> list[str] | None:
    """The speaker of each utterance; None if nobody says."""
    file = folder / SPEAKERS
    return _words(file, keys) if file.is_file() else None


def _words(file: Path, keys: Sequence[str]) -> list[str]:
    """The word of each utterance."""
    lines = lines_of(file)
    _refuse(file, "no line", [key for key in keys if key not in lines], len(keys))
    several = [key for key in keys if len(lines[key].split()) > 1]
    _refuse(file, "several words, allowed is one,", several, len(keys))
    return [lines[key] for key in keys]


def _of_frames(file: Path, keys: Sequence[str], rows: Sequence[int]) -> np.ndarray:
    """The labels of all frames, int64 (frames,)."""
    places = {place.utterance: place for place in places_of(file)}
    _refuse(file, "no labels", [key for key in keys if key not in places], len(keys))

    found = []
    for key, count in zip(keys, rows, strict=True):
        labels = integers(places[key])
        if len(labels) != count:
            raise ValueError(
                f"{file}: {key} has {len(labels)} labels and {count} frames: write both anew"
            )
        bad = np.flatnonzero((labels < 0) | (labels >= MOST_CLASSES))
        if len(bad):
            raise ValueError(
                f"{file}: frame {bad[0]} of {key} has label {labels[bad[0]]}, allowed are 0 to "
                f"{MOST_CLASSES - 1:,}"
            )
        found.append(labels)
    return np.concatenate(found)


def _refuse(file: Path, what: str, keys: Sequence[str], count: int) -> None:
    """Refuse utterances, all at once."""
    if keys:
        more = f" and {len(keys) - _SHOWN:,} more" if len(keys) > _SHOWN else ""
        raise ValueError(
            f"{file}: {what} for {len(keys):,} of {count:,} utterances, {', '.join(keys[:_SHOWN])}"
            f"{more}: correct it"
        )
