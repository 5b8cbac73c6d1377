"""The state of a training run between two epochs, in a file."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from stages.store.weights import load_weights, save_weights


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: validation errors and losses so far, and named tensors."""

    errors: list[float]
    losses: list[float]
    tensors: dict[str, Tensor]


@dataclass
class Checkpoint:
    """The last two states of a run, at `<path>` and `<path>.previous`.

    A damaged newest file falls back to the one before it: epochs are repeated, the result is the
    same.

    Args:
        path: file of the newest state.
        seconds: least time between two states.
    """

    path: Path
    seconds: float = 60.0
    _last: float = field(default_factory=time.monotonic)

    @property
    def previous(self) -> Path:
        """File of the state before the newest."""
        return self.path.with_name(self.path.name + ".previous")

    def due(self, now: float) -> bool:
        """Whether `seconds` have passed since the last state, by a monotonic clock."""
        return now - self._last >= self.seconds

    def save(self, errors: list[float], losses: list[float], tensors: dict[str, Tensor]) -> None:
        """Write the state; the newest one so far becomes the previous one."""
        if self.path.exists():
            self.path.replace(self.previous)

        save_weights(self.path, tensors, {"errors": errors, "losses": losses})
        self._last = time.monotonic()

    def load(self) -> Saved | None:
        """The newest whole state, or None."""
        for path in (self.path, self.previous):
            try:
                tensors, header = load_weights(path)
            except FileNotFoundError:
                continue
            except ValueError:
                # Else the next save would put it in the place of the whole one.
                path.unlink()
                continue

            return Saved(list(header["errors"]), list(header["losses"]), tensors)

        return None

    def clear(self) -> None:
        """Remove both files, once the run's result is on disk."""
        self.path.unlink(missing_ok=True)
        self.previous.unlink(missing_ok=True)
