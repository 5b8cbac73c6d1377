"""Tiny ImageNet as it is downloaded: a part whose pictures a list beside them labels.

train/WNID/images/ has a folder for each class, val/images/ has all pictures and
val/val_annotations.txt a line for each: file, WNID and box, between tabs. test/images/ has no labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.images.sources.files import NAMED, below, hash_key, is_picture, printable, visible

ANNOTATIONS = "val_annotations.txt"
PICTURES = "images"
"""The only folder of a part whose pictures do not lie in folders of classes."""

_MAX_BYTES = 1 << 28


def is_annotated(part: Path) -> bool:
    """Whether a part's annotations label its pictures: those of images/, its only folder with some.

    Where they were sorted into class folders, as scripts do, the annotations stay behind.

    Raises:
        ValueError: both images/ and other folders have pictures.
    """
    if not (part / ANNOTATIONS).is_file():
        return False

    folders = [each for each in visible(part) if each.is_dir()]
    full = {each.name for each in folders if any(map(is_picture, below(each)))}
    if PICTURES in full and len(full) > 1:
        others = sorted(map(printable, full - {PICTURES}))
        more = f" and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
        raise ValueError(
            f"{part}: {PICTURES}/ has pictures that {ANNOTATIONS} labels, and so have the class folders "
            f"{', '.join(others[:NAMED])}{more}: remove {PICTURES}/ or these"
        )
    return not full - {PICTURES}


def is_left_over(folder: Path) -> bool:
    """Whether this is the folder of pictures that were sorted into class folders beside it."""
    sorted_out = folder.name == PICTURES and (folder.parent / ANNOTATIONS).is_file()
    return sorted_out and not any(map(is_picture, below(folder)))


def without_unlabelled(folders: Mapping[str, Path]) -> tuple[dict[str, Path], list[str]]:
    """The parts, and a line on the one for testing, if that has pictures without labels.

    It has if the part for validation is labelled by annotations, and this one by nothing.
    """
    kept = dict(folders)
    annotated = any((folder / ANNOTATIONS).is_file() for folder in kept.values())
    test = kept.get("test")
    if not annotated or test is None or (test / ANNOTATIONS).is_file():
        return kept, []
    if [each.name for each in visible(test) if each.is_dir()] != [PICTURES]:
        return kept, []

    count = sum(map(is_picture, visible(test / PICTURES)))
    del kept["test"]
    return kept, [
        f"passed over {count:,} pictures of {printable(test.name)}/, which have no labels"
    ]


def annotated_pictures(part: Path, classes: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Pictures that a part's annotations name, in the order of the hash of their path, and their classes.

    Args:
        part: folder with images/ and val_annotations.txt.
        classes: names of the class folders of the training part.

    Raises:
        ValueError: a line is not usable, a picture has no line, or two.
    """
    file = part / ANNOTATIONS
    if file.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{file}: more than {_MAX_BYTES:,} bytes: replace it")
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not text in UTF-8 ({error}): replace it") from error

    folder = part / PICTURES
    pictures = (
        {each.name for each in visible(folder) if is_picture(each)} if folder.is_dir() else set()
    )
    known = set(classes)
    labels: dict[str, str] = {}
    bad = []
    for number, line in enumerate(lines, 1):
        name, *rest = line.rstrip("\r").split("\t")
        if not line.strip():
            continue
        if not rest or rest[0] not in known:
            bad.append(f"line {number}: {rest[0] if rest else line[:80]!r} is no folder of train")
        elif name not in pictures or name in labels:
            why = "has a line before" if name in labels else f"is not in {PICTURES}/"
            bad.append(f"line {number}: {name[:80]!r} {why}")
        else:
            labels[name] = rest[0]

    bad += [f"{printable(name)} has no line" for name in sorted(pictures - labels.keys())]
    if not labels and not bad:
        bad = ["it has no lines"]
    if bad:
        more = f"; and {len(bad) - NAMED:,} more" if len(bad) > NAMED else ""
        raise ValueError(f"{file}: {'; '.join(bad[:NAMED])}{more}: unpack the archive again")

    files = sorted((folder / name for name in labels), key=lambda each: hash_key(each, part))
    return files, [labels[each.name] for each in files]
