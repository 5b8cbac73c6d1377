"""Finished and unfinished trials of a sweep in its work folder, and the table that is made of them.

A finished trial is an immutable result.json beside its weights. A trial that is submitted again
with the same hyperparameters and seed gives that result at once, so a sweep that was killed repeats
nothing.
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
"""Of a result, what has an entry for each epoch."""


@dataclass(frozen=True)
class TrialFolder:
    """work/.../trials/NNN of one trial."""

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
        """The stored result of exactly this trial, or None; a damaged file is no result."""
        try:
            held = read_json(self.folder / "result.json")
        except (FileNotFoundError, ValueError):
            return None
        if not isinstance(held, dict) or held.pop("sha256", None) != _hash(held):
            return None
        return (
            held.get("result")
            if held.get("values") == dict(values) and held.get("seed") == seed
            else None
        )

    def finish(
        self, values: Mapping[str, Any], seed: int, result: dict[str, Any], seconds: float
    ) -> None:
        """Store the result; everything else of the trial must be on disk before. Seconds are kept
        apart.
        """
        write_json(self.folder / "seconds.json", seconds)
        held = {"values": dict(values), "seed": seed, "result": result}
        write_json(self.folder / "result.json", {**held, "sha256": _hash(held)})

    def report(self, epoch: int, loss: float, error: float) -> None:
        """Say how far the trial is; a hint for a progress bar, not worth an fsync."""
        self.folder.mkdir(parents=True, exist_ok=True)
        loss_text = loss if math.isfinite(loss) else None
        self.progress.write_text(json.dumps({"epoch": epoch, "loss": loss_text, "error": error}))


def _hash(held: Mapping[str, Any]) -> str:
    """sha256 of plain JSON data in canonical form."""
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()


def total_seconds(root: Path) -> float:
    """Seconds that the finished trials of a work folder took, added up."""
    return sum(read_json(path) for path in sorted((root / "trials").glob("*/seconds.json")))
