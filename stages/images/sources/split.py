"""A source divided into images for training, validation and testing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from stages.images.sources.labelled import Labelled, Source
from stages.images.sources.pixels import pieces, taken
from stages.settings.prepare import Prepare
from stages.store.maps import release

FOR = {"train": "training", "validation": "validation", "test": "testing"}
"""What the parts of the data are for, in words."""
Places = np.ndarray | range
"""Of images in a part; a range is taken without a copy."""


@dataclass(frozen=True)
class Split:
    """A source in parts.

    Attributes:
        parts: train, validation and test.
        unlabelled: images uint8 (n, s, s, 3) whose labels are not used; None where none are asked
            for.
        notes: what was done, a line each.
    """

    parts: dict[str, Labelled]
    unlabelled: np.ndarray | None
    notes: list[str]


def split(settings: Prepare, source: Source) -> Split:
    """The three parts, and training images without their labels where `unlabelled` is a number.

    Parts that the source has are taken from their front. Others are cut from its training part:
    validation from the end, testing before it, training from the front, and after these the images
    whose labels are not used. With the sizes of the paper this is CIFAR-10's batches 1-4 and 5
    (section 2.5; assumption 17). Groups stay whole.

    Raises:
        ValueError: the source has fewer images than asked for, or a group is in two of its parts.
    """
    if settings.split == "content":
        source = Source(
            by_content(source.train),
            None if source.test is None else by_content(source.test),
            source.classes,
            None if source.validation is None else by_content(source.validation),
        )

    notes = []
    wanted = {"validation": settings.validation, "test": settings.test}
    cut = {}
    parts = {}
    for name, count in wanted.items():
        own = source.parts.get(name)
        if own is not None:
            parts[name] = _front(settings, name, own, count)
            continue

        if count is None:
            raise ValueError(
                f"prepare.{name} is null, and {settings.source} has no part of its own for "
                f"{FOR[name]}: say how many are cut from its training images"
            )
        cut[name] = count

    if "test" in cut:
        notes.append(
            f"no images for testing in {settings.path}: {cut['test']:,} are cut from the training "
            "images"
        )

    more = settings.unlabelled if isinstance(settings.unlabelled, int) else 0
    _check_total(settings, cut, more, len(source.train))
    places = _by_place(settings, len(source.train), cut, more)
    if source.train.groups is not None:
        _check_groups(settings, source)
        places = _by_group(settings, source.train.groups, cut, more)

    left = len(source.train) - sum(map(len, places.values()))
    if left and source.train.groups is not None and settings.train is None:
        notes.append(f"{left:,} images are left out, so that no group is in two parts")

    parts.update({name: _at(source.train, where) for name, where in places.items()})
    unlabelled = parts["unlabelled"].images if more else None
    return Split({name: parts[name] for name in FOR}, unlabelled, notes)


def by_content(data: Labelled) -> Labelled:
    """The same images in the order of the sha256 of their bytes, whatever an archive's order."""
    keys = []
    for piece in pieces(data.images):
        keys += [hashlib.sha256(image.tobytes()).digest() for image in data.images[piece]]
        release(data.images[piece])

    return _at(data, np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64))


def _at(data: Labelled, places: Places) -> Labelled:
    """Images at places; a range is a view, others are copied."""
    if isinstance(places, range):
        return data[places.start : places.stop]

    groups = None if data.groups is None else data.groups[places]
    return Labelled(taken(data.images, places), data.labels[places], groups)


def _front(settings: Prepare, name: str, own: Labelled, count: int | None) -> Labelled:
    """The first images of a part that the source has."""
    if count is not None and count > len(own):
        raise ValueError(
            f"prepare.{name} is {count}, {settings.source} has {len(own)} {name} images: lower it"
        )
    return own[: len(own) if count is None else count]


def _check_total(settings: Prepare, cut: dict[str, int], more: int, have: int) -> None:
    """There are enough training images for all that is taken from them."""
    asked = {"train": settings.train or 1, **({"unlabelled": more} if more else {}), **cut}
    if sum(asked.values()) > have:
        names = " + ".join(f"prepare.{name} {count}" for name, count in asked.items())
        raise ValueError(
            f"{names} is more than the {have} training images of {settings.source}: lower one of them "
            "in params.yaml"
        )


def _by_place(settings: Prepare, have: int, cut: dict[str, int], more: int) -> dict[str, Places]:
    """Places of each part: validation at the end, testing before it, training from the front."""
    places: dict[str, Places] = {}
    end = have
    for name in ("validation", "test"):
        if name in cut:
            places[name] = range(end - cut[name], end)
            end -= cut[name]

    train = end - more if settings.train is None else settings.train
    return {"train": range(train), "unlabelled": range(train, train + more), **places}


def _check_groups(settings: Prepare, source: Source) -> None:
    """No group is in two parts of the source."""
    remedy = "" if settings.group is None else ", or set prepare.group to null"
    every = {
        name: set(part.groups.tolist())
        for name, part in source.parts.items()
        if part.groups is not None
    }
    for name, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        shared = sorted(every.get(name, set()) & every.get(other, set()))
        if shared:
            raise ValueError(
                f"{len(shared):,} groups are in the parts for {FOR[name]} and {FOR[other]}, such as "
                f"{', '.join(shared[:5])}: divide the files otherwise{remedy}"
            )


def _by_group(
    settings: Prepare, groups: np.ndarray, cut: dict[str, int], more: int
) -> dict[str, Places]:
    """Places of each part, whole groups to each, in the order of the sha256 of their names.

    Of the groups of a part its first images are taken, as many as are asked for.
    """
    names, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(str(names[i]).encode()).digest())

    places: dict[str, Places] = {}
    for name, count in cut.items():
        chosen: list[int] = []
        while order and sizes[chosen].sum() < count:
            chosen.append(order.pop(0))
        places[name] = np.flatnonzero(np.isin(number, chosen))[:count]

    rest = np.flatnonzero(np.isin(number, order))
    train = len(rest) - more if settings.train is None else settings.train
    if train + more > len(rest) or train < 1:
        taken_by = ", ".join(f"{len(each):,} for {FOR[name]}" for name, each in places.items())
        raise ValueError(
            f"prepare.train is {settings.train}, and {len(rest):,} images are in the groups that are "
            f"left ({len(order):,} of {len(names):,}; {taken_by}): lower prepare.train or the others"
        )

    return {"train": rest[:train], "unlabelled": rest[train : train + more], **places}
