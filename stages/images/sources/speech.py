"""Frames of speech with their context, from folders of features as Kaldi and HTK write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.images.sources.classes import numbered
from stages.images.sources.files import linked_note
from stages.images.sources.htk import check_alike
from stages.images.sources.labelled import Labelled, Source, existing_folder
from stages.images.sources.parts import WANTED
from stages.images.sources.pixels import MAX_TOTAL_BYTES
from stages.images.sources.speech_parts import SpeechPart, read_part, speech_folders


def speech(path: str | Path, shape: Sequence[int]) -> Source:
    """Frames of `path`/PART/feats.scp, or of HTK's files below `path`/PART, with those around them.

    They are in the order of feats.scp, or of the paths of HTK's files. Labels are an integer or a name
    for each frame, or a word for each utterance, which all its frames have, see `read_part`. Where
    utterances are labelled and all have as many frames as the shape, an utterance is one vector. A
    frame near an end has the first or last frame again in place of those that are not there.

    Groups are the speakers of utt2spk. Without that file they are the folders of HTK's files, where
    there are several, or else the utterances: neighbouring frames share frames.

    Args:
        path: the folder; a relative one starts at the environment's MIMICNETS_DATA, if set.
        shape: of one vector: (features,) or (frames, features); of an even number of frames there is
            one more behind the labelled one than before.

    Returns:
        Vectors float32.

    Raises:
        FileNotFoundError: a folder or file is missing.
        ValueError: a file is not of this kind, or kaldiio is not installed and Kaldi's files are there.
    """
    if len(shape) not in (1, 2):
        raise ValueError(
            f"prepare.shape is {list(shape)}, allowed are [features] and [frames, features] of speech"
        )
    frames, features = (1, shape[0]) if len(shape) == 1 else shape
    root = existing_folder(path, f"PART/feats.scp or HTK's files, where PART is {WANTED}")

    parts = {name: read_part(folder, features) for name, folder in speech_folders(root).items()}
    _check_kinds(parts)
    whole = not parts["train"].of_frames and frames > 1
    whole = whole and all(set(part.rows) == {frames} for part in parts.values())

    numbers, classes = numbered(
        [parts["train"].labels], [part.labels for name, part in parts.items() if name != "train"]
    )
    made = {}
    for (name, part), labels in zip(parts.items(), numbers, strict=True):
        vectors = _vectors(part, frames, features, whole)
        times = np.ones(len(part.rows), np.int64) if whole else np.array(part.rows)
        of_frames = labels if part.of_frames else labels.repeat(times)
        groups = np.array(part.groups).repeat(times)
        made[name] = Labelled(vectors.reshape(-1, *shape), of_frames, groups)

    notes = [f"every utterance has {frames} frames and is one vector"] if whole else []
    notes += linked_note([link for part in parts.values() for link in part.linked], root)
    return Source(
        made["train"], made.get("test"), classes, made.get("validation"), notes=tuple(notes)
    )


def _check_kinds(parts: dict[str, SpeechPart]) -> None:
    """All parts label frames, or all label utterances, and HTK's files are of one kind."""
    first = parts["train"]
    for part in parts.values():
        if part.of_frames != first.of_frames:
            raise ValueError(
                f"{first.labels.name} and {part.labels.name}: one labels frames and the other utterances, "
                "allowed is the same in all parts: add the file that lacks"
            )
        if first.first is not None and part.first is not None:
            check_alike(first.first, part.first)


def _vectors(part: SpeechPart, frames: int, features: int, whole: bool) -> np.ndarray:
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
    for name, rows, load in zip(part.names, part.rows, part.loads, strict=True):
        with np.errstate(over="ignore"):
            values = load().astype(np.float32, copy=False)
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise ValueError(
                f"{name}: frame {bad[0]} has something else than finite numbers of 32 bits"
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
