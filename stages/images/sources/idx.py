"""MNIST's files: MNIST, Fashion-MNIST, KMNIST, EMNIST, and what is written like them."""

from __future__ import annotations

import contextlib
import gzip
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from stages.images.pictures import PictureRule
from stages.images.sources.arrays import all_squares, check_pictures
from stages.images.sources.classes import FileLabels, numbered
from stages.images.sources.labelled import Labelled, Source, data_folder
from stages.images.sources.parts import part_named
from stages.images.sources.pixels import MAX_TOTAL_BYTES, PIECE_BYTES

_NAME = re.compile(r"(?:(.+)-)?([a-z0-9]+)-(images|labels)[-.]idx\d-ubyte(\.gz)?")
_WANTED = "train-images-idx3-ubyte, train-labels-idx1-ubyte and the same for t10k, or .gz of these"
_UBYTE = 8
_MOST_TIMES = 1040  # gzip makes nothing smaller than by this factor


@dataclass(frozen=True)
class IdxFile:
    """One file, and what its header promises.

    Attributes:
        path: of the file.
        shape: of its values, which are uint8.
    """

    path: Path
    shape: tuple[int, ...]

    @property
    def start(self) -> int:
        """Where the values begin, in bytes."""
        return 4 + 4 * len(self.shape)

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return int(np.prod(self.shape, dtype=object))

    def pieces(self) -> Iterator[np.ndarray]:
        """The values, uint8 (n, ...), some rows at a time.

        Raises:
            ValueError: the file holds more or fewer, or is damaged.
        """
        row = self.size // max(1, self.shape[0])
        step = max(1, PIECE_BYTES // max(1, row)) * row
        with _one_error(self.path), _opened(self.path) as stream:
            stream.read(self.start)
            for start in range(0, self.size, step):
                wanted = min(step, self.size - start)
                data = stream.read(wanted)
                if len(data) != wanted:
                    raise ValueError(f"ends before the {self.size:,} bytes of {self.shape}")
                yield np.frombuffer(data, np.uint8).reshape(-1, *self.shape[1:])

            if stream.read(1):
                raise ValueError(f"goes on behind the {self.size:,} bytes of {self.shape}")


def idx(path: str | Path, rule: PictureRule) -> Source:
    """Images of train-images-idx3-ubyte and its like, packed as .gz or not.

    Classes are the values of the training labels; of EMNIST the characters in its mapping.txt, if
    that is there. EMNIST stores its pictures on their side: those are turned upright.

    Args:
        path: the folder; where it has several splits, as EMNIST's, FOLDER/emnist-SPLIT.
        rule: size and fit of the images.

    Raises:
        FileNotFoundError: there is no such folder, or a file is missing.
        ValueError: a file is not of this kind, or there are several splits; the message lists them.
    """
    root, split = _split(data_folder(path))
    files = _files(root, split)

    heads = {key: idx_head(file) for key, file in files.items()}
    for (part, kind), head in heads.items():
        if kind == "images":
            check_pictures(head.shape, np.dtype(np.uint8), str(head.path))
        elif head.shape != (count := heads[part, "images"].shape[:1]):
            raise ValueError(
                f"{head.path}: labels {head.shape}, allowed is one for each image, {count}: "
                "correct the files"
            )

    parts = [part for part in ("train", "validation", "test") if (part, "images") in files]
    labels = [_labels(heads[part, "labels"]) for part in parts]
    numbers, values = numbered(labels[:1], labels[1:])

    sideways = split.lower().startswith("emnist")
    made = {}
    sizes: dict[str, int] = {}
    for part, number in zip(parts, numbers, strict=True):
        head = heads[part, "images"]
        pieces = (np.swapaxes(piece, 1, 2) if sideways else piece for piece in head.pieces())
        images = all_squares(head.shape[0], pieces, str(head.path), rule)
        made[part] = Labelled(images, number)

        height, width = head.shape[1:3]
        size = f"{height} x {width}" if sideways else f"{width} x {height}"
        sizes[size] = sizes.get(size, 0) + head.shape[0]

    notes = ("EMNIST's pictures, which are stored on their side, were turned upright",)
    classes = _characters(root / f"{split}-mapping.txt", values)
    return Source(
        made["train"],
        made.get("test"),
        classes,
        made.get("validation"),
        sizes,
        notes if sideways else (),
    )


def idx_head(path: Path) -> IdxFile:
    """The header of a file, if the file can hold what it promises.

    Raises:
        ValueError: it cannot, or is something else.
    """
    size = path.stat().st_size
    packed = path.suffix == ".gz"
    with _one_error(path), _opened(path) as stream:
        start = stream.read(4)
        if len(start) < 4 or start[:2] != b"\0\0" or not 1 <= start[3] <= 4:
            raise ValueError("does not begin as such a file does")
        if start[2] != _UBYTE:
            raise ValueError(f"holds values of type {start[2]:#04x}, allowed are bytes, 0x08")

        sides = stream.read(4 * start[3])
        if len(sides) < 4 * start[3]:
            raise ValueError("ends within its header")
        head = IdxFile(path, struct.unpack(f">{start[3]}I", sides))

        most = _MOST_TIMES * size if packed else size - head.start
        if head.size > most or (not packed and head.size != most):
            raise ValueError(f"claims {head.shape}, {head.size:,} bytes, and has {size:,}")
        if head.size > MAX_TOTAL_BYTES:
            raise ValueError(f"has {head.size:,} bytes, allowed are {MAX_TOTAL_BYTES:,}")

    return head


def _split(root: Path) -> tuple[Path, str]:
    """The folder, and which of its splits is meant."""
    named = root if root.is_dir() else root.parent
    found = _found(named) if named.is_dir() else {}
    splits = sorted({prefix for prefix, _, _ in found})

    if not root.is_dir():
        if root.name not in splits:
            has = f"; {named} has {', '.join(splits)}" if any(splits) else ""
            raise FileNotFoundError(
                f"no folder {root}, wanted one with {_WANTED}{has}: "
                "change prepare.path, or set MIMICNETS_DATA to the folder that it starts from"
            )
        return named, root.name

    if not splits:
        raise FileNotFoundError(f"no idx files in {root}, wanted {_WANTED}: change prepare.path")
    if len(splits) > 1:
        choices = ", ".join(str(root / split) if split else "those without one" for split in splits)
        raise ValueError(
            f"{root} has files of several splits ({choices}), allowed is one: set prepare.path to one "
            "of these"
        )
    return root, splits[0]


def _found(root: Path) -> dict[tuple[str, str, str], Path]:
    """(split, part, images or labels) -> file; one that is there unpacked counts."""
    found: dict[tuple[str, str, str], Path] = {}
    for file in sorted(root.iterdir()):  # .gz comes after the same name without
        match = _NAME.fullmatch(file.name)
        part = match and ("test" if match[2] == "t10k" else part_named(match[2]))
        if match and part:
            found.setdefault((match[1] or "", part, match[3]), file)
    return found


def _files(root: Path, split: str) -> dict[tuple[str, str], Path]:
    """(part, images or labels) -> file, images first; both of every part that is there."""
    found = {
        (part, kind): file for (name, part, kind), file in _found(root).items() if name == split
    }
    parts = {part for part, _ in found} | {"train"}
    lacking = [(part, kind) for part in parts for kind in ("images", "labels")]
    lacking = [key for key in lacking if key not in found]
    if lacking:
        has = ", ".join(file.name for file in found.values())
        part, kind = lacking[0]
        raise FileNotFoundError(
            f"{root} has {has}, and no {kind} for {part}, wanted {_WANTED}: complete the folder"
        )
    return {key: found[key] for key in sorted(found, key=lambda key: key[1])}


def _labels(head: IdxFile) -> FileLabels:
    """The labels of one part."""
    values = np.concatenate([*head.pieces()])
    return FileLabels(str(head.path), values.astype(np.int64), None)


def _characters(mapping: Path, values: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the classes: the characters that EMNIST's list gives each label, or the labels.

    Raises:
        ValueError: the list is something else, or lacks a label.
    """
    if not mapping.is_file():
        return values

    try:
        lines = [line.split() for line in mapping.read_text()[: 1 << 16].splitlines()]
        names = {
            label: "".join(chr(int(code)) for code in codes)
            for label, *codes in filter(None, lines)
        }
        return tuple(names[value] for value in values)
    except (ValueError, OverflowError, KeyError) as error:
        raise ValueError(
            f"{mapping}: not a list of labels and codes of characters for the labels "
            f"{', '.join(values[:20])}: correct or remove it"
        ) from error


def _opened(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked."""
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


@contextlib.contextmanager
def _one_error(path: Path) -> Iterator[None]:
    """One error for all that is wrong with a file."""
    try:
        yield
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ValueError(
            f"{path}: not a sound idx file ({error}): copy it again, or change prepare.path"
        ) from error
