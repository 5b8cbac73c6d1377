"""Files as the inputs of a net: one after the other, or several read ahead by threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from commands.models.files import picture_rule
from commands.models.loaded import Model
from commands.models.vectors import read_vectors
from stages.images.pictures import Fit, read_picture
from stages.images.sources.files import file_bytes
from stages.store.tensors import fits, read_tensors

JOB = 16
"""Files that a thread reads in one go: a stop waits for no more."""
AHEAD = 16
"""Such jobs that are held at a time: 256 pictures, 50 MB of 256 px."""

Read = tuple[str, np.ndarray | None, str]
"""A file, its inputs (n, ...) or None, and what was done to it or why it cannot be read."""


class InputReader:
    """Reads files as a net takes them.

    Raises:
        ValueError: the net is of vectors, and has no usable statistics beside it.
    """

    def __init__(self, model: Model, fit: Fit | None = None) -> None:
        self._shape = model.inputs.shape
        if self._shape is None:
            self._rule = picture_rule(model.described, fit)
        else:
            self._mean, self._deviation = _statistics(model.statistics, self._shape)

    def read(self, name: str) -> Read:
        """One file."""
        try:
            if self._shape is not None:
                vectors = read_vectors(Path(name), self._shape, self._mean, self._deviation)
                return name, vectors, ""

            picture = read_picture(file_bytes(Path(name)), name, self._rule)
            return name, picture.pixels[None], picture.said
        except OSError as error:
            return name, None, error.strerror or str(error)
        except ValueError as error:
            return name, None, _reason(name, error)


def _statistics(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What vectors are standardised by: mean and deviation."""
    statistics = read_tensors(path)[0]
    wanted = (np.float64, shape)
    if not fits(statistics, {"mean": wanted, "deviation": wanted}):
        raise ValueError(f"{path} has no mean and deviation of shape {list(shape)}: export again")

    mean, deviation = statistics["mean"], statistics["deviation"]
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all() and (deviation > 0).all()):
        raise ValueError(
            f"{path} has means that are not finite, or deviations that are not above 0: export again"
        )
    return mean, deviation


def _reason(name: str, error: ValueError) -> str:
    """What an error says, in one line and without the name of the file."""
    said = str(error).removeprefix(f"{name}: ")
    return " ".join(said.split()).removeprefix(f"{name}: ")


def inputs_of(model: Model, files: Sequence[str], fit: Fit | None = None) -> Iterator[Read]:
    """Files one after the other, in their order."""
    return map(InputReader(model, fit).read, files)


def read_ahead(
    model: Model, files: Sequence[str], fit: Fit | None = None
) -> Generator[Read, None, None]:
    """The same, in the same order; pictures are decoded by threads while the net works.

    Files of vectors are read one at a time, since one may fill the memory.
    """
    if model.inputs.is_vectors:
        yield from inputs_of(model, files, fit)
        return

    reader = InputReader(model, fit)

    def job(start: int) -> list[Read]:
        return [reader.read(name) for name in files[start : start + JOB]]

    waiting: deque[Future[list[Read]]] = deque()
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        for start in range(0, len(files), JOB):
            waiting.append(pool.submit(job, start))
            if len(waiting) == AHEAD:
                yield from waiting.popleft().result()

        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
