"""Images from NumPy files: MedMNIST's, Keras', or train.npz and test.npz."""

from __future__ import annotations

from pathlib import Path

from stages.images.pictures import PictureRule
from stages.images.sources.arrays import all_squares, check_pictures
from stages.images.sources.labelled import Labelled, Source
from stages.images.sources.npz import ArrayPart, stored_parts
from stages.images.sources.npz_labels import groups_of, numbered_parts

_NAMES = ("images", "x")


def images_npz(path: str | Path, rule: PictureRule, group: str | None = None) -> Source:
    """Images and labels of one .npz file, or of train.npz, val.npz and test.npz.

    Layouts are those of `npz.stored_parts`, with the arrays images (or x) and labels (or y). Images
    are uint8 (n, height, width) or (n, height, width, 3), labels integers or names, (n,) or (n, 1).

    Args:
        path: the folder or the file; a relative one starts at the environment's MIMICNETS_DATA.
        rule: size and fit of the images.
        group: name of the array that says what must not be divided between parts; in a file of
            several parts without their names, as `groups` for train_groups.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: a file is not of this kind; it is named, with the array that is wrong.
    """
    stored = stored_parts(path, _NAMES)

    # Everything that headers tell, before any pixel is read.
    shapes = {}
    for part, place in stored.items():
        head = place.arrays.typed(place.data)
        check_pictures(head.shape, head.dtype, place.name, place.data)
        shapes[part] = head.shape

    counts = {part: shape[0] for part, shape in shapes.items()}
    labels, classes = numbered_parts(stored, counts)
    groups = {part: groups_of(place, group, counts[part]) for part, place in stored.items()}

    parts = {}
    sizes: dict[str, int] = {}
    for part, place in stored.items():
        pieces = place.arrays.pieces(place.data)
        images = all_squares(counts[part], pieces, place.name, rule)
        parts[part] = Labelled(images, labels[part], groups[part])

        size = f"{shapes[part][2]} x {shapes[part][1]}"
        sizes[size] = sizes.get(size, 0) + counts[part]

    notes = notes_on(stored["train"], group)
    return Source(parts["train"], parts.get("test"), classes, parts.get("validation"), sizes, notes)


def notes_on(place: ArrayPart, group: str | None) -> tuple[str, ...]:
    """A line on groups that the file has and nobody asked for."""
    if group is None and place.pattern.format("groups") in place.arrays.names:
        return ("the array groups is not used: set prepare.group to groups to divide by it",)
    return ()
