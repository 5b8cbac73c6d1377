"""Finished and unfinished trials of a sweep, in its work folder.

A finished trial is a result.json beside its weights, which never changes. A trial that is submitted
again with the same hyperparameters and seed gives that result at once, so a sweep that was killed
repeats nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.store.atomic import read_json, write_json

WEIGHTS = "weights.safetensors"
"""Name of a trial's weights in its folder."""
CURVES = ("errors", "losses")
"""The parts of a result that have an entry for each epoch."""


@dataclass(frozen=True)
class TrialFolder:
    """The folder of one trial, work/.../trials/NNN.

    Attributes:
        root: the sweep's work folder.
        trial: its number.
    """

    root: Path
    trial: int

    @property
    def folder(self) -> Path:
        """Where this trial keeps its files."""
        return self.root / "trials" / f"{self.trial:03d}"

    @property
    def weights(self) -> Path:
        """Weights of the best validation epoch."""
        return self.folder / WEIGHTS

    @property
    def checkpoint(self) -> Path:
        """State between two epochs."""
        return self.folder / "checkpoint.safetensors"

    @property
    def result(self) -> Path:
        """Its result, which makes it a finished trial."""
        return self.folder / "result.json"

    @property
    def tested(self) -> Path:
        """Outputs on the test images, of a trial that is taken over from earlier outputs."""
        return self.folder / "test.safetensors"

    @property
    def environment(self) -> Path:
        """Where and with what it was trained."""
        return self.folder / "environment.json"

    @property
    def progress(self) -> Path:
        """Where the trial says how far it is."""
        return self.folder / "progress.json"

    @property
    def taken_over(self) -> bool:
        """Whether it is finished, and of an earlier run: nobody knows how long it took."""
        return self.result.is_file() and read_json(self.folder / "seconds.json") is None

    def finished(self, values: Mapping[str, Any], seed: int) -> dict[str, Any] | None:
        """The stored result of exactly this trial, or None; a damaged file does not count."""
        stored = self._stored()
        if stored is None:
            return None

        same = stored.get("values") == dict(values) and stored.get("seed") == seed
        return stored.get("result") if same else None

    @property
    def has_result(self) -> bool:
        """Whether there is a whole result, of whatever hyperparameters."""
        return self._stored() is not None

    def _stored(self) -> dict[str, Any] | None:
        try:
            stored = read_json(self.result)
        except (FileNotFoundError, ValueError):
            return None

        whole = isinstance(stored, dict) and stored.pop("sha256", None) == _hash(stored)
        return stored if whole else None

    def finish(
        self,
        values: Mapping[str, Any],
        seed: int,
        result: dict[str, Any],
        seconds: float | None,
        outputs: Path | None = None,
    ) -> None:
        """Store the result, once everything else is on disk.

        Args:
            values, seed, result: of the trial.
            seconds: that it took, which are kept apart; None if nobody knows.
            outputs: file that becomes `tested`; without one there is none.
        """
        if outputs is None:
            self.tested.unlink(missing_ok=True)
        else:
            outputs.replace(self.tested)

        write_json(self.folder / "seconds.json", seconds)

        record = {"values": dict(values), "seed": seed, "result": result}
        write_json(self.result, {**record, "sha256": _hash(record)})

    def report(self, epoch: int, loss: float, error: float) -> None:
        """Say how far the trial is; a hint for a progress bar, not worth an fsync."""
        self.folder.mkdir(parents=True, exist_ok=True)
        finite_loss = loss if math.isfinite(loss) else None
        self.progress.write_text(json.dumps({"epoch": epoch, "loss": finite_loss, "error": error}))


def _hash(record: Mapping[str, Any]) -> str:
    """sha256 of plain JSON data in canonical form."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def total_seconds(root: Path, trials: int) -> float:
    """Seconds that the first so many trials of a work folder took, added up, as far as known."""
    folders = (TrialFolder(root, trial).folder for trial in range(trials))
    return sum(read_json(folder / "seconds.json") or 0.0 for folder in folders)
