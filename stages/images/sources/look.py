"""A look at the data: what a reader should know of them before anything is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from stages.images.sources.labelled import Labelled, Source
from stages.images.sources.pixels import pieces
from stages.images.sources.split import FOR
from stages.store.maps import release

WORDS = {**{name: f"for {what}" for name, what in FOR.items()}, "unlabelled": "without labels"}
"""Which images, in words."""
MOST_SIZES = 20
"""Sizes of pictures that are listed, the commonest first."""


def look(
    parts: dict[str, Labelled],
    classes: Sequence[str],
    source: Source,
    unlabelled: np.ndarray | None = None,
) -> dict[str, Any]:
    """What the parts hold, as JSON data; see docs/data.md.

    Args:
        parts: as they are written.
        classes: names, in the order of the labels.
        source: where they are from.
        unlabelled: images without labels; None if there are none.
    """
    found = {name: _read(part.images) for name, part in parts.items()}
    digests = {name: each for name, (each, _) in found.items()}
    conflicts = _conflicts(digests, parts)
    sizes = dict(list(source.sizes.items())[:MOST_SIZES])
    if unlabelled is not None:
        digests["unlabelled"] = _read(unlabelled)[0]

    return {
        "classes": list(classes),
        "parts": {name: _counts(part, classes) for name, part in parts.items()},
        "same_images": _same(digests),
        "unlabelled": 0 if unlabelled is None else len(unlabelled),
        "conflicts": conflicts,
        "grey": {name: share for name, (_, share) in found.items()},
        "sizes": sizes,
        "other_sizes": len(source.sizes) - len(sizes),
    }


def notes_on(found: dict[str, Any]) -> list[str]:
    """What of it is unusual, a line each."""
    notes = []
    for name, part in found["parts"].items():
        lacking = part["missing"]
        if lacking:
            more = f" and {len(lacking) - 5} more" if lacking[5:] else ""
            notes.append(f"none for {FOR[name]} of {', '.join(lacking[:5])}{more}")

    for pair, count in found["same_images"].items():
        if count:
            first, second = pair.split(" and ")
            where = f"{WORDS[second]} are also {WORDS[first]}"
            if first == second:
                where = f"{WORDS[first]} are there before in the same part"
            notes.append(f"{count:,} images {where}, byte for byte")

    if found["conflicts"]:
        notes.append(f"{found['conflicts']:,} images are there with another label too")

    if found["grey"]["train"] == 1:
        notes.append(
            "all training images are grey: jitter of hue and saturation makes them red, so set D_h and "
            "D_s to 0 in augment.hsv and teachers.space"
        )
    return notes


def _counts(part: Labelled, classes: Sequence[str]) -> dict[str, Any]:
    """Images of each class of one part."""
    counts = np.bincount(part.labels, minlength=len(classes))
    largest = int(counts.argmax())
    return {
        "images": len(part),
        "of_class": counts.tolist(),
        "majority": classes[largest],
        "majority_share": round(float(counts[largest] / max(1, len(part))), 6),
        "missing": [classes[int(i)] for i in np.flatnonzero(counts == 0)],
    }


def _read(images: np.ndarray) -> tuple[np.ndarray, float | None]:
    """A hash of 64 bits of each image or vector, uint64 (n,), and the share of those that are grey.

    They are read once for both. The share is None for vectors.
    """
    coloured = images.dtype == np.uint8 and images.ndim == 4
    digests = np.empty(len(images), np.uint64)
    grey = 0

    for piece in pieces(images):
        part = np.ascontiguousarray(images[piece])
        found = b"".join(_digest(image) for image in part)
        digests[piece] = np.frombuffer(found, np.uint64)
        if coloured:
            grey += _grey(part)
        release(images[piece])

    share = round(grey / max(1, len(images)), 6) if coloured else None
    return digests, share


def _digest(image: np.ndarray) -> bytes:
    """Eight bytes, by sha1: here 6.9 us for 12 KB, sha256 7.3, blake2b 13.5 (one core of an AMD EPYC)."""
    return hashlib.sha1(image.data, usedforsecurity=False).digest()[:8]


def _grey(images: np.ndarray) -> int:
    """How many have equal red, green and blue, uint8 (n, s, s, 3)."""
    maybe = images[_equal(images[:, :1])]
    return int(_equal(maybe).sum())


def _equal(images: np.ndarray) -> np.ndarray:
    """Whether red, green and blue are equal, bool (n,)."""
    same = (images[..., 0] == images[..., 1]) & (images[..., 0] == images[..., 2])
    return same.all(axis=(1, 2))


def _same(digests: dict[str, np.ndarray]) -> dict[str, int]:
    """Images of a part that are also in an earlier part, or before in their own."""
    own = {f"{name} and {name}": len(each) - len(np.unique(each)) for name, each in digests.items()}
    between = {
        f"{first} and {second}": int(np.isin(digests[second], digests[first]).sum())
        for first, second in combinations(digests, 2)
    }
    return {**own, **between}


def _conflicts(digests: dict[str, np.ndarray], parts: dict[str, Labelled]) -> int:
    """Images that are there with another label too, in any part."""
    every = np.concatenate(list(digests.values()))
    labels = np.concatenate([part.labels for part in parts.values()])
    _, which = np.unique(every, return_inverse=True)

    pairs = np.unique(np.stack([which, labels]), axis=1)
    images, kinds = np.unique(pairs[0], return_counts=True)
    return int(np.isin(which, images[kinds > 1]).sum())
