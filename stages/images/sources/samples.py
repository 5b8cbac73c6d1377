"""Samples in a tar file: which members make one, what they say, and the bytes of their pictures."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tarfile import TarInfo

from stages.images.pictures import MAX_FILE_BYTES
from stages.images.pictures import SUFFIXES as SUFFIXES_OF_PICTURES
from stages.images.sources.files import NAMED
from stages.images.sources.shards import Shard, Unusable, is_packed, opened

LABEL_KEYS = ("label", "cls", "class")
"""Of a sample's .json, the first that it has."""

_MAX_CLS_BYTES = 1 << 12
_MAX_JSON_BYTES = 1 << 20
_SHOWN_LETTERS = 200
_MAX_PACKED_BYTES = 8 << 20  # of a picture in a compressed file, of which many are held at a time


@dataclass
class Sample:
    """One sample.

    Attributes:
        shard: its tar file.
        key: its name.
        picture: name of the picture, start and size in bytes.
        cls: what its .cls says.
        label: what its .json says.
        group: the value in its .json that is asked for.
        has: names of the values in its .json, where that is not among them.
    """

    shard: Path
    key: str
    picture: tuple[str, int, int] | None = None
    cls: str | None = None
    label: object = None
    group: object = None
    has: str = "nothing"

    @property
    def name(self) -> str:
        """What an error calls it."""
        return f"{self.shard}, {self.key}"

    @property
    def given(self) -> object:
        """Its label as its files give it; None if they do not."""
        return self.label if self.cls is None else self.cls

    @property
    def start(self) -> int:
        """Where its picture lies in the tar file."""
        return self.picture[1] if self.picture else 0

    def add_facts(self, facts: dict[str, object], group: str | None) -> None:
        """What its .json says."""
        self.label = next((facts[key] for key in LABEL_KEYS if key in facts), None)
        if group is not None:
            self.group = facts.get(group)
            self.has = ", ".join(list(facts)[:NAMED])[:_SHOWN_LETTERS] or "nothing"


def samples_of(file: Path, group: str | None, passed: Counter[str]) -> list[Sample]:
    """The samples of a tar file with a picture or a label; what else it has is counted.

    They are in the order of their pictures.
    """
    samples: dict[str, Sample] = {}
    with opened(file) as shard:
        for member in shard.members():
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                passed["links or devices"] += 1
                continue

            folder, _, name = member.name.rpartition("/")
            stem, _, kind = name.partition(".")
            if not stem or not kind:
                passed["other files"] += 1
                continue

            key = f"{folder}/{stem}" if folder else stem
            sample = samples.setdefault(key, Sample(file, key))
            suffix = os.path.splitext(name)[1].lower()
            if suffix in SUFFIXES_OF_PICTURES:
                _add_picture(sample, shard, member)
            elif kind.lower() == "cls":
                _add_cls(sample, shard, member)
            elif kind.lower() == "json":
                sample.add_facts(_facts(shard, member), group)
            else:
                passed[suffix] += 1

    found = (each for each in samples.values() if each.picture or each.given is not None)
    return sorted(found, key=lambda sample: sample.start)


def _add_picture(sample: Sample, shard: Shard, member: TarInfo) -> None:
    """Note where the picture of a sample lies."""
    if sample.picture is not None:
        raise Unusable(
            f"{sample.name} has two pictures, {sample.picture[0]} and {member.name}, allowed is one: "
            "write the tar file again with one"
        )

    limit = _MAX_PACKED_BYTES if is_packed(shard.path) else MAX_FILE_BYTES
    if member.size > limit:
        remedy = "unpack the .gz, or make it smaller" if is_packed(shard.path) else "replace it"
        raise Unusable(
            f"{shard.path}, {member.name}: {member.size:,} bytes, allowed are {limit:,} a picture: "
            f"{remedy}"
        )
    sample.picture = (member.name, member.offset_data, member.size)


def _add_cls(sample: Sample, shard: Shard, member: TarInfo) -> None:
    """Read the class of a sample."""
    if sample.cls is not None:
        raise Unusable(
            f"{sample.name} has two files .cls, allowed is one: write the tar file again"
        )

    try:
        sample.cls = shard.data(member, _MAX_CLS_BYTES).decode().strip()
    except UnicodeDecodeError as error:
        raise Unusable(f"{shard.path}, {member.name}: not text ({error}): correct it") from error


def _facts(shard: Shard, member: TarInfo) -> dict[str, object]:
    """What a .json says."""
    data = shard.data(member, _MAX_JSON_BYTES)
    try:
        facts = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{shard.path}, {member.name}: not JSON ({error}): correct it") from error

    if not isinstance(facts, dict):
        raise Unusable(f"{shard.path}, {member.name}: no names and values: correct it")
    return facts


def items_of(samples: Sequence[Sample]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """What `read_pictures` takes: files are read where they lie, compressed ones from the front."""
    by_shard: dict[Path, list[Sample]] = {}
    for sample in samples:
        by_shard.setdefault(sample.shard, []).append(sample)

    for file, held in by_shard.items():
        yield from _unpacked(file, held) if is_packed(file) else _in_place(file, held)


def _in_place(file: Path, held: Sequence[Sample]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Pictures of a file that is not compressed."""
    for sample in held:
        assert sample.picture is not None
        name, start, size = sample.picture

        def load(start: int = start, size: int = size) -> bytes:
            with file.open("rb") as stream:
                stream.seek(start)
                return stream.read(size)

        yield f"{file}, {name}", load


def _unpacked(file: Path, held: Sequence[Sample]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Pictures of a compressed file, whose order is that of the file."""
    wanted = {each.picture[1]: each.key for each in held if each.picture is not None}
    with opened(file) as shard:
        for member in shard.members():
            if member.offset_data in wanted and member.isreg():
                data = shard.data(member, _MAX_PACKED_BYTES)
                yield f"{file}, {member.name}", _HeldPicture(data)


class _HeldPicture:
    """Gives bytes that it holds.

    Attributes:
        nbytes: how many, see `read_pictures`.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.nbytes = len(data)

    def __call__(self) -> bytes:
        """The bytes."""
        return self.data
