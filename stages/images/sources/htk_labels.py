"""Label files of HTK: of one utterance (.lab) or of many (.mlf), as names of frames or utterances."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.images.sources.htk import Parameters, frame_head
from stages.images.sources.kaldi import MAX_LIST_BYTES

LABEL_SUFFIX = ".lab"
MASTER_SUFFIX = ".mlf"

_MASTER = "#!MLF!#"
_NEXT_BEST = "///"
_END = "."
_STATE = re.compile(r"s(\d+)")
_LATE = 1_000_000  # 100 ns: labels may end up to 0.1 s behind the last frame (assumption)
_MOST = 10**15
_SHOWN = 20


class Segment(NamedTuple):
    """A line of a label file.

    Attributes:
        start, end: in units of 100 ns; None where the line has no times.
        name: of the class.
    """

    start: int | None
    end: int | None
    name: str


class MasterEntry(NamedTuple):
    """The label file of an utterance within a master label file.

    Attributes:
        file: the master label file.
        steps: of the name behind the last `*`: folders, then the utterance.
        name: as it is written.
        lines: of the label file.
    """

    file: Path
    steps: tuple[str, ...]
    name: str
    lines: list[str]


class LabelFile(NamedTuple):
    """The label file of one utterance.

    Attributes:
        name: what an error calls it.
        lines: of it.
    """

    name: str
    lines: list[str]


def label_files(places: Sequence[Parameters], masters: Sequence[Path]) -> list[LabelFile]:
    """The label file of each utterance.

    Args:
        places: the utterances.
        masters: files with all of them together; none for NAME.lab beside each.

    Raises:
        ValueError: one is missing or no text, or may be any of several.
    """
    if masters:
        return _of_masters(places, masters)

    files = [place.file.with_suffix(LABEL_SUFFIX) for place in places]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise ValueError(
            f"{len(missing):,} of {len(places):,} label files are missing, such as "
            f"{', '.join(missing[:5])}: add them, or one file with all ({MASTER_SUFFIX})"
        )
    return [LabelFile(str(file), _lines(file)) for file in files]


def _of_masters(places: Sequence[Parameters], masters: Sequence[Path]) -> list[LabelFile]:
    """As `label_files`, of master label files."""
    by_name = defaultdict(list)
    for master in masters:
        for entry in _entries(master):
            by_name[entry.steps[-1]].append(entry)

    shown = ", ".join(map(str, masters[:_SHOWN]))
    found = []
    users: dict[int, str] = {}
    for place in places:
        steps = tuple(place.utterance.split("/"))
        fitting = [each for each in by_name[steps[-1]] if _same_end(each.steps, steps)]
        if len(fitting) != 1:
            many = f"{len(fitting)} entries for" if fitting else "no entry for"
            raise ValueError(f"{shown}: {many} {place.utterance}, wanted is one: correct it")

        (entry,) = fitting
        other = users.setdefault(id(entry.lines), place.utterance)
        if other != place.utterance:
            raise ValueError(
                f'{entry.file}: "{entry.name}" may be {other} or {place.utterance}: write their folders '
                "into it"
            )
        found.append(LabelFile(f"{entry.file}, {place.utterance}", entry.lines))
    return found


def _same_end(left: Sequence[str], right: Sequence[str]) -> bool:
    """Whether the shorter one is the end of the other."""
    count = min(len(left), len(right))
    return tuple(left[-count:]) == tuple(right[-count:])


def _entries(master: Path) -> list[MasterEntry]:
    """The label files within a master label file."""
    lines = _lines(master)
    if not lines or lines[0].strip() != _MASTER:
        raise ValueError(f"{master}: its first line is not {_MASTER}: correct it or remove it")

    found = []
    inside: list[str] | None = None
    for number, line in enumerate(lines[1:], 2):
        text = line.strip()
        if inside is not None:
            if text == _END:
                inside = None
            else:
                inside.append(line)
        elif text:
            inside = []
            found.append(MasterEntry(master, _steps(master, number, text), text.strip('"'), inside))

    if inside:
        raise ValueError(
            f"{master}: ends within {found[-1].name}, wanted a line '.': write it again"
        )
    return found


def _steps(master: Path, number: int, text: str) -> tuple[str, ...]:
    """Folders and utterance of an entry's name, as "*/fcjf0/sa1.lab"."""
    quoted = len(text) > 2 and text[0] == text[-1] == '"'
    inside = text[1:-1].replace("\\", "/") if quoted else ""
    if '"' in inside:
        raise ValueError(
            f"{master}: line {number} is {text[:80]}, a path to other files, which is not followed: write "
            "their labels into it, as entries"
        )

    steps = [step for step in inside.split("/") if step not in ("", ".")]
    while steps and steps[0] == "*":
        del steps[0]
    if not steps or any("*" in step or "?" in step for step in steps):
        raise ValueError(
            f'{master}: line {number} is {text[:80]}, allowed are "*/NAME.lab" and "PATH/NAME.lab": '
            "correct it"
        )

    steps[-1] = Path(steps[-1]).stem
    return tuple(steps)


def segments_of(lines: Sequence[str], name: str) -> list[Segment]:
    """The lines of a label file: [start end] name [score] [second level], of the best answer only.

    States that HVite writes under their phone (s2, s3, ...) get its name too: aa[2].

    Raises:
        ValueError: a line is another, or some have times and others none; `name` is what an error
            calls the file.
    """
    found = []
    above = ""
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words and words[0] == _NEXT_BEST:
            break
        if not words:
            continue

        timed = words[:2] if len(words) > 1 else []
        times = [int(word) for word in timed if word.isdecimal() and len(word) < 18]
        rest = words[len(times) :]
        bad = len(times) == 1 or not rest or (times and not times[0] <= times[1] <= _MOST)
        if bad:
            raise ValueError(
                f"{name}: line {number} is {line.strip()[:80]!r}, allowed are [start end] name: correct it"
            )

        label = _plain(rest[0], name, number)
        levels = [word for word in rest[1:] if not _is_score(word)]
        above = levels[0] if levels else above
        state = _STATE.fullmatch(label)
        if state and above:
            label = f"{above}[{state[1]}]"
        start, end = times or (None, None)
        found.append(Segment(start, end, label))

    if not found or len({each.start is None for each in found}) > 1:
        raise ValueError(
            f"{name}: it has {'lines with and without times' if found else 'no labels'}: correct it"
        )
    return found


def _plain(word: str, name: str, number: int) -> str:
    """A name without quotes and escapes; HTK writes bytes above 127 as \\ooo."""
    if word[0] in "\"'":
        if len(word) < 3 or word[-1] != word[0]:
            raise ValueError(f"{name}: line {number}, a name with blanks, {word[:80]}: rename it")
        word = word[1:-1]
    if "\\" not in word:
        return word

    raw = re.sub(
        rb"\\([0-3][0-7]{2}|.)",
        lambda found: bytes([int(found[1], 8)]) if len(found[1]) == 3 else found[1],
        word.encode(),
    )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: line {number}, {word[:80]} is no UTF-8: rename it") from error


def _is_score(word: str) -> bool:
    """Whether a word is a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True


def segment_of_frames(segments: Sequence[Segment], place: Parameters, name: str) -> np.ndarray:
    """Which segment each frame is in, int64 (frames,): the one that holds the middle of its time.

    For alignments that HTK has written, whose times are whole frames, this is exact. For others it is
    an assumption: HInit gives a frame in which two labels meet to both, and a net needs one.

    Raises:
        ValueError: segments overlap, a frame has none, or they end far behind the last frame.
    """
    head = frame_head(place)
    if not head.period:
        raise ValueError(
            f"{place.name}: the period of its frames is 0, and {name} has times: write it again with the "
            "period"
        )

    starts = np.array([each.start for each in segments], np.int64)
    ends = np.array([each.end for each in segments], np.int64)
    overlap = np.flatnonzero(starts[1:] < ends[:-1])
    if len(overlap):
        raise ValueError(
            f"{name}: labels {segments[overlap[0]].name} and {segments[overlap[0] + 1].name} overlap, "
            f"at {starts[overlap[0] + 1]:,} times 100 ns: correct it"
        )

    middles = (2 * np.arange(head.frames, dtype=np.int64) + 1) * head.period
    places = np.searchsorted(2 * ends, middles, side="right")
    held = np.minimum(places, len(segments) - 1)
    bad = np.flatnonzero((places == len(segments)) | (2 * starts[held] > middles))
    last = head.frames * head.period
    if len(bad) or ends[-1] > last + _LATE:
        lacks = f"frame {bad[0]} has no label" if len(bad) else "labels go on behind the last frame"
        raise ValueError(
            f"{name}: {lacks}; labels are from {starts[0]:,} to {ends[-1]:,}, {head.frames:,} frames from "
            f"0 to {last:,} times 100 ns: correct one of them"
        )
    return held


def _lines(file: Path) -> list[str]:
    """The lines of a text file."""
    if file.stat().st_size > MAX_LIST_BYTES:
        raise ValueError(f"{file}: more than {MAX_LIST_BYTES:,} bytes: divide it")
    try:
        return file.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not text in UTF-8 ({error}): correct it") from error
