"""Parameter files of HTK, the Hidden Markov Model Toolkit: the frames of one utterance each.

The format is that of the HTK Book 3.4, section 5.10: 12 bytes, then big-endian numbers. It is read
here, since no maintained library reads all of it (kaldi-native-io refuses compressed files). Sizes are
compared with the file's length before anything is read.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.images.sources.files import below
from stages.images.sources.kaldi import MAX_ENTRY_BYTES

SUFFIXES = (".htk", ".mfc", ".mfcc", ".fea", ".fbank", ".fbk", ".plp", ".lpc", ".feat")
"""Of files that are taken for parameter files, in lower case."""
KINDS = {
    1: "LPC",
    2: "LPREFC",
    3: "LPCEPSTRA",
    4: "LPDELCEP",
    6: "MFCC",
    7: "FBANK",
    8: "MELSPEC",
    9: "USER",
    11: "PLP",
}
"""Base kinds of parameters that are numbers of 4 bytes; others are samples and codes."""

_BASE = 0o77
_COMPRESSED = 0o2000  # _C
_CHECKSUM = 0o10000  # _K
_HEAD_BYTES = 12
_QUALIFIERS = {
    0o100: "E",
    0o200: "N",
    0o400: "D",
    0o1000: "A",
    0o4000: "Z",
    0o20000: "0",
    0o40000: "V",
    0o100000: "T",
}
_SCALE_ROWS = 4  # A and B of compressed files take the bytes of four frames
_OTHERS = {0: "WAVEFORM", 5: "IREFC", 10: "DISCRETE"}


class Parameters(NamedTuple):
    """A parameter file.

    Attributes:
        utterance: its path below the folder of its part, without the suffix.
        file: where it is.
    """

    utterance: str
    file: Path

    @property
    def name(self) -> str:
        """What an error calls it."""
        return str(self.file)


class FrameHead(NamedTuple):
    """What the header of a parameter file claims, and the file has.

    Attributes:
        frames, columns: numbers of frames, and of values in each.
        period: from one frame to the next, in units of 100 ns.
        compressed: whether values are 2 bytes each, with a factor and a shift for every column.
        kind: of the parameters with what qualifies them, as MFCC_E_D; without _C and _K, which say
            how they are stored.
    """

    frames: int
    columns: int
    period: int
    compressed: bool
    kind: str


def parameter_files(folder: Path, linked: list[Path] | None = None) -> list[Parameters]:
    """All parameter files below a folder, in the order of their paths.

    Folders inside that are links are not followed; they are put into `linked`.

    Raises:
        ValueError: two differ only in their suffix.
    """
    found: dict[str, Path] = {}
    for file in sorted(below(folder, linked)):
        if file.suffix.lower() not in SUFFIXES:
            continue

        key = file.relative_to(folder).with_suffix("").as_posix()
        if key in found:
            raise ValueError(f"{found[key]} and {file} are both for {key}: move one away")
        found[key] = file

    return [Parameters(key, found[key]) for key in sorted(found)]


def frame_head(place: Parameters) -> FrameHead:
    """The header of a parameter file.

    Raises:
        ValueError: it is damaged, claims another size than the file has, or another kind.
    """
    with place.file.open("rb") as stream:
        data = stream.read(_HEAD_BYTES)
        size = os.fstat(stream.fileno()).st_size
    if len(data) < _HEAD_BYTES:
        raise ValueError(f"{place.name}: {size:,} bytes are no parameter file of HTK: replace it")

    samples, period, row, kind = struct.unpack(">iihH", data)
    if not _sizes_fit(samples, row, kind, size):
        other = struct.unpack("<iihH", data)
        if _sizes_fit(other[0], other[2], other[3], size):
            raise ValueError(
                f"{place.name}: its bytes have the order of a PC, allowed is HTK's: write it again with "
                "NATURALWRITEORDER = F"
            )
        raise ValueError(
            f"{place.name}: claims {samples:,} frames of {row:,} bytes, and has {size - _HEAD_BYTES:,} "
            "bytes: write it again"
        )

    base = kind & _BASE
    if base not in KINDS:
        what = _OTHERS.get(base, f"kind {base}")
        raise ValueError(
            f"{place.name}: it holds {what}, allowed are {', '.join(KINDS.values())}: convert it with HCopy"
        )

    compressed = bool(kind & _COMPRESSED)
    frames = samples - _SCALE_ROWS if compressed else samples
    each = 2 if compressed else 4
    if frames < 1 or row < each or row % each or period < 0:
        raise ValueError(
            f"{place.name}: a damaged header, {frames:,} frames of {row:,} bytes, {period:,} times 100 ns "
            "apart: write it again"
        )

    columns = row // each
    if 4 * frames * columns > MAX_ENTRY_BYTES:
        raise ValueError(
            f"{place.name}: {frames:,} frames of {columns:,} values have {4 * frames * columns:,} bytes, "
            f"allowed are {MAX_ENTRY_BYTES:,}: divide the utterance"
        )

    qualifiers = [f"_{letter}" for bit, letter in _QUALIFIERS.items() if kind & bit]
    return FrameHead(frames, columns, period, compressed, KINDS[base] + "".join(qualifiers))


def check_alike(first: tuple[str, FrameHead], other: tuple[str, FrameHead]) -> None:
    """Refuse features of another kind or period than those of the first file.

    Raises:
        ValueError: they are.
    """
    (name, head), (other_name, another) = first, other
    if (head.kind, head.period) != (another.kind, another.period):
        raise ValueError(
            f"{name} holds {head.kind}, a frame each {head.period:,} times 100 ns, and {other_name} "
            f"{another.kind}, each {another.period:,}; allowed is the same in all files: make them alike "
            "with HCopy"
        )


def _sizes_fit(samples: int, row: int, kind: int, size: int) -> bool:
    """Whether a header tells the size of its file; a checksum is two bytes more."""
    return size == _HEAD_BYTES + samples * row + (2 if kind & _CHECKSUM else 0)


def frame_values(place: Parameters) -> np.ndarray:
    """The values of a parameter file, float32 (frames, columns).

    A compressed value is (x + B) / A, with A and B of its column. The checksum of kind _K is not
    compared: the HTK Book does not say how it is computed.

    Raises:
        ValueError: as of `frame_head`, or a factor A is zero.
    """
    head = frame_head(place)
    scales = 8 * head.columns if head.compressed else 0
    size = head.frames * head.columns * (2 if head.compressed else 4)
    with place.file.open("rb") as stream:
        stream.seek(_HEAD_BYTES)
        data = stream.read(scales + size)
    if len(data) < scales + size:
        raise ValueError(f"{place.name}: became shorter while it was read: run again")

    values = np.frombuffer(data[scales:], ">i2" if head.compressed else ">f4")
    values = values.reshape(head.frames, head.columns).astype(np.float32)
    if not head.compressed:
        return values

    factor, shift = np.frombuffer(data[:scales], ">f4").reshape(2, -1).astype(np.float32)
    if not factor.all():
        raise ValueError(f"{place.name}: a factor of its compression is zero: write it again")
    with np.errstate(over="ignore", invalid="ignore"):
        return (values + shift) / factor


def folders_of(places: Sequence[Parameters]) -> list[str]:
    """The folder of each file below its part, as speakers are often kept; or, of one, the utterances."""
    folders = [place.utterance.rpartition("/")[0] for place in places]
    if len(set(folders)) == 1:
        return [place.utterance for place in places]
    return [folder or place.utterance for folder, place in zip(folders, places, strict=True)]
