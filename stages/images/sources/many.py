"""Many pictures read at once, with progress; all bad ones are named together."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice, repeat
from typing import NamedTuple

import numpy as np

from stages.images.pictures import Box, PictureRule, ReadParts, read_parts, read_picture
from stages.images.sources.files import NAMED
from stages.images.sources.pixels import Pixels

AT_ONCE = 128
"""Files that are held in memory at a time."""
HELD_BYTES = 64 << 20
"""Of those files whose bytes are in memory before they are asked for."""
SMALL_PIXELS = 1 << 13
"""Pictures of so many on average are read by one thread: Python works on them longer than the
decoder, so that several wait for each other, and took 1.1 to 1.4 times the processor time."""
TELL_SECONDS = 20
"""Between two lines on progress."""

Item = tuple[str, Callable[[], bytes]]
"""A picture: what an error calls it, and what gives the bytes of its file."""


class Cut(NamedTuple):
    """A part of a picture that is taken.

    Attributes:
        place: where it goes among all.
        box: of it.
    """

    place: int
    box: Box


def read_pictures(
    count: int,
    items: Iterable[Item],
    rule: PictureRule,
    key: str = "prepare.path",
    cuts: Sequence[Sequence[Cut]] | None = None,
) -> tuple[np.ndarray, Counter[str]]:
    """`count` pictures by the rule, decoded by threads where that helps, and the sizes that they had.

    Args:
        count: how many.
        items: of each file what an error calls it, and what gives its bytes, which may raise OSError
            or ValueError. AT_ONCE are held at a time, fewer where their attributes `nbytes` say that
            they have more than HELD_BYTES.
        rule: size and fit.
        key: of the settings, that an error names.
        cuts: the parts that are taken of each file, `count` together; None for the whole of each.
            Sizes are those of the parts.

    Returns:
        uint8 (count, size_px, size_px, 3), and "width x height" -> number of pictures.

    Raises:
        ValueError: some are not usable: their number, and the first NAMED of them.
    """
    pixels = Pixels(count, rule.size_px, key)
    sizes = np.zeros((count, 2), np.int32)
    bad: list[str] = []
    files = count if cuts is None else len(cuts)
    clock = _Clock(files)
    waiting = iter(items)

    read = partial(_read, rule=rule)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        start = 0
        small = False  # what the last ones were
        while taken := _some(waiting):
            area = 0
            wanted = repeat(None) if cuts is None else cuts[start : start + len(taken)]
            every = (map if small else pool.map)(read, taken, wanted)
            for place, found in enumerate(every, start):
                if isinstance(found, str):
                    bad.append(found)
                    continue

                area += found.width * found.height
                places = [place] if cuts is None else [cut.place for cut in cuts[place]]
                for where, picture in zip(places, found.parts, strict=True):
                    pixels.put(where, picture.pixels[None])
                    sizes[where] = picture.width, picture.height

            small = area <= SMALL_PIXELS * len(taken)
            start += len(taken)
            clock.tell(start)

    refuse(bad, files)
    return pixels.whole(), Counter(f"{width} x {height}" for width, height in sizes.tolist())


def refuse(bad: list[str], count: int) -> None:
    """One error for all that is bad.

    Args:
        bad: a line each.
        count: of how many.

    Raises:
        ValueError: there is something.
    """
    if len(bad) == 1:
        raise ValueError(bad[0])
    if bad:
        more = f"; and {len(bad) - NAMED:,} more" if len(bad) > NAMED else ""
        raise ValueError(
            f"{len(bad):,} of {count:,} pictures are not usable: {'; '.join(bad[:NAMED])}{more}"
        )


def _read(item: Item, cuts: Sequence[Cut] | None, rule: PictureRule) -> ReadParts | str:
    """One picture or its parts, or what is wrong with it."""
    name, load = item
    try:
        if cuts is not None:
            return read_parts(load(), name, rule, [cut.box for cut in cuts])
        whole = read_picture(load(), name, rule)
        return ReadParts([whole], whole.width, whole.height)
    except OSError as error:
        return f"{name}: {error.strerror or error}"
    except ValueError as error:
        return str(error)


def _some(waiting: Iterator[Item]) -> list[Item]:
    """The next items, as many as may be held."""
    taken = []
    held = 0
    for name, load in islice(waiting, AT_ONCE):
        taken.append((name, load))
        held += getattr(load, "nbytes", 0)
        if held > HELD_BYTES:
            break
    return taken


class _Clock:
    """Prints how far reading is, where it takes long."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.began = self.told = time.monotonic()

    def tell(self, done: int) -> None:
        """A line, if the last one was long ago."""
        now = time.monotonic()
        if now - self.told < TELL_SECONDS or done >= self.count:
            return

        self.told = now
        left = (now - self.began) * (self.count - done) / done
        print(
            f"prepare: {done:,} of {self.count:,} pictures read, {left / 60:.0f} min left",
            flush=True,
        )
