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
        return self.folder / "weights.safetensors"

    @property
    def checkpoint(self) -> Path:
        """State between two epochs."""
        return self.folder / "checkpoint.safetensors"

    @property
    def progress(self) -> Path:
        """Where the trial says how far it is."""
        return self.folder / "progress.json"

    def finished(self, values: Mapping[str, Any], seed: int) -> dict[str, Any] | None:
        """The stored result of exactly this trial, or None; a damaged file does not count."""
        try:
            stored = read_json(self.folder / "result.json")
        except (FileNotFoundError, ValueError):
            return None

        if not isinstance(stored, dict) or stored.pop("sha256", None) != _hash(stored):
            return None

        same = stored.get("values") == dict(values) and stored.get("seed") == seed
        return stored.get("result") if same else None

    def finish(
        self, values: Mapping[str, Any], seed: int, result: dict[str, Any], seconds: float
    ) -> None:
        """Store the result, once everything else is on disk; seconds are kept apart."""
        write_json(self.folder / "seconds.json", seconds)

        record = {"values": dict(values), "seed": seed, "result": result}
        write_json(self.folder / "result.json", {**record, "sha256": _hash(record)})

    def report(self, epoch: int, loss: float, error: float) -> None:
        """Say how far the trial is; a hint for a progress bar, not worth an fsync."""
        self.folder.mkdir(parents=True, exist_ok=True)
        finite_loss = loss if math.isfinite(loss) else None
        self.progress.write_text(json.dumps({"epoch": epoch, "loss": finite_loss, "error": error}))


def _hash(record: Mapping[str, Any]) -> str:
    """sha256 of plain JSON data in canonical form."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def total_seconds(root: Path, trials: int) -> float:
    """Seconds that the first so many trials of a work folder took, added up."""
    folders = (TrialFolder(root, trial).folder for trial in range(trials))
    return sum(read_json(folder / "seconds.json") for folder in folders)
