"""Frames of speech with their context, from Kaldi's folders of features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from stages.images.sources.classes import FileLabels, numbered
from stages.images.sources.kaldi import (
    Place,
    integers,
    library,
    lines_of,
    matrix,
    places_of,
    rows_of,
)
from stages.images.sources.labelled import MOST_CLASSES, Labelled, Source, existing_folder
from stages.images.sources.parts import WANTED, part_named
from stages.images.sources.pixels import MAX_TOTAL_BYTES

FEATURES = ("feats.scp", "feats.ark")
"""Of a part's folder, the first that is there."""
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
        places: where the features of its utterances lie.
        rows: frames of each.
        labels: int64 (frames,), or a name for every utterance.
        file: with the labels.
        groups: the speaker of each utterance, or the utterance.
    """

    folder: Path
    places: list[Place]
    rows: list[int]
    labels: np.ndarray | list[str]
    file: Path
    groups: list[str]


def speech(path: str | Path, shape: Sequence[int]) -> Source:
    """Frames of `path`/PART/feats.scp, each with those around it, in the order of that file.

    Labels are in PART/ali.scp (or .ark), an integer for each frame, or in PART/utt2label or
    PART/text, a word for each utterance, which all its frames have. Where utterances are labelled
    and all have as many frames as the shape, an utterance is one vector. A frame near an end has the
    first or last frame again in place of those that are not there.

    Groups are the speakers of utt2spk, or else the utterances: neighbouring frames share frames.

    Args:
        path: the folder; a relative one starts at the environment's MIMICNETS_DATA, if set.
        shape: of one vector: (features,) or (frames, features); of an even number of frames there is
            one more behind the labelled one than before.

    Returns:
        Vectors float32.

    Raises:
        FileNotFoundError: a folder or file is missing.
        ValueError: a file is not of this kind, or kaldiio is not installed.
    """
    if len(shape) not in (1, 2):
        raise ValueError(
            f"prepare.shape is {list(shape)}, allowed are [features] and [frames, features] of speech"
        )
    frames, features = (1, shape[0]) if len(shape) == 1 else shape
    folders = _folders(existing_folder(path, f"PART/feats.scp, where PART is {WANTED}"))
    read = library().read_kaldi

    parts = {name: _part(folder, features) for name, folder in folders.items()}
    _check_kinds(parts)
    whole = not isinstance(parts["train"].labels, np.ndarray) and frames > 1
    whole = whole and all(set(part.rows) == {frames} for part in parts.values())

    labels, classes = _labels(parts)
    made = {}
    for name, part in parts.items():
        vectors = _vectors(part, frames, features, whole, read)
        times = np.ones(len(part.rows), np.int64) if whole else np.array(part.rows)
        of_frames = (
            labels[name] if isinstance(part.labels, np.ndarray) else labels[name].repeat(times)
        )
        groups = np.array(part.groups).repeat(times)
        made[name] = Labelled(vectors.reshape(-1, *shape), of_frames, groups)

    notes = (f"every utterance has {frames} frames and is one vector",) if whole else ()
    return Source(made["train"], made.get("test"), classes, made.get("validation"), notes=notes)


def _folders(root: Path) -> dict[str, Path]:
    """Part -> its folder."""
    found: dict[str, Path] = {}
    inside = sorted(each for each in root.iterdir() if each.is_dir())
    for folder in inside:
        part = part_named(folder.name)
        if part is None:
            continue
        if part in found:
            raise ValueError(f"{found[part]} and {folder} are both for {part}: move one away")
        found[part] = folder

    if "train" not in found:
        has = ", ".join(folder.name for folder in inside[:_SHOWN]) or "none"
        raise FileNotFoundError(
            f"no folder {root / 'train'}, wanted one with feats.scp; folders are {has}: change "
            "prepare.path or their names"
        )
    return {part: found[part] for part in ("train", "validation", "test") if part in found}


def _part(folder: Path, features: int) -> SpeechPart:
    """What is in a part's folder, by lists and headers alone."""
    places = places_of(_first(folder, FEATURES))
    if not places:
        raise ValueError(f"{folder}: no utterances, wanted at least one: fill feats.scp")

    rows = []
    for place in places:
        count, columns = rows_of(place)
        if columns != features:
            raise ValueError(
                f"{place.name}: {columns} features a frame, prepare.shape wants {features}: change one "
                "of them"
            )
        rows.append(count)

    file = _first(folder, (*FRAME_LABELS, *UTTERANCE_LABELS))
    keys = [place.utterance for place in places]
    labels: np.ndarray | list[str]
    if file.name in UTTERANCE_LABELS:
        labels = _words(file, keys)
    else:
        labels = _of_frames(file, keys, rows)

    speakers = folder / SPEAKERS
    groups = _words(speakers, keys) if speakers.is_file() else keys
    return SpeechPart(folder, places, rows, labels, file, groups)


def _first(folder: Path, names: Sequence[str]) -> Path:
    """The first of the files that is there."""
    for name in names:
        if (folder / name).is_file():
            return folder / name

    has = ", ".join(sorted(file.name for file in folder.iterdir())[:_SHOWN]) or "nothing"
    raise FileNotFoundError(
        f"{folder} has {has}, wanted is one of {', '.join(names)}: add it, or change prepare.path"
    )


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


def _check_kinds(parts: dict[str, SpeechPart]) -> None:
    """All parts label frames, or all label utterances."""
    first = parts["train"]
    for part in parts.values():
        if isinstance(part.labels, np.ndarray) != isinstance(first.labels, np.ndarray):
            raise ValueError(
                f"{first.file} and {part.file}: one labels frames and the other utterances, allowed "
                "is the same in all parts: add the file that lacks"
            )


def _labels(parts: dict[str, SpeechPart]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels of frames or of utterances as int64 from 0, and the names of the classes."""
    files = []
    for part in parts.values():
        if isinstance(part.labels, np.ndarray):
            files.append(FileLabels(str(part.file), part.labels, None))
            continue
        names, places = np.unique(part.labels, return_inverse=True)
        files.append(FileLabels(str(part.file), places.astype(np.int64), tuple(names.tolist())))

    numbers, classes = numbered(files[:1], files[1:])
    return dict(zip(parts, numbers, strict=True)), classes


def _vectors(
    part: SpeechPart,
    frames: int,
    features: int,
    whole: bool,
    read: Callable[[IO[bytes]], np.ndarray],
) -> np.ndarray:
    """float32 (n, frames, features), every frame with its context, or whole utterances."""
    count = len(part.rows) if whole else sum(part.rows)
    size = 4 * count * frames * features
    if size > MAX_TOTAL_BYTES:
        raise ValueError(
            f"{part.folder}: {count:,} vectors of {frames} x {features} have {size:,} bytes, allowed "
            f"are {MAX_TOTAL_BYTES:,}: give fewer, or lower prepare.shape"
        )

    vectors = np.empty((count, frames, features), np.float32)
    start = 0
    for place, rows in zip(part.places, part.rows, strict=True):
        with np.errstate(over="ignore"):
            values = matrix(place, read).astype(np.float32)
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise ValueError(
                f"{place.name}: frame {bad[0]} has something else than finite numbers of 32 bits"
            )

        taken = values[None] if whole else values[windows(rows, frames)]
        vectors[start : start + len(taken)] = taken
        start += len(taken)
    return vectors


def windows(rows: int, frames: int) -> np.ndarray:
    """Which frames are around each, int (rows, frames); ends are repeated.

    >>> windows(3, 3).tolist()
    [[0, 0, 1], [0, 1, 2], [1, 2, 2]]
    """
    around = np.arange(frames) - (frames - 1) // 2
    return np.clip(np.arange(rows)[:, None] + around, 0, rows - 1)
