"""What a table of answers says, counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from commands.models.failed import NOT_FINITE, Failed
from commands.models.scores import LabelledScores
from stages.images.sources.files import NAMED


@dataclass
class TableCounts:
    """Counts over the rows of a table.

    Attributes:
        rows: all.
        unread: files that could not be read.
        unanswered: inputs without a finite answer.
        changed: pictures that were cut or resized.
        errors: the first NAMED files without an answer, and why.
        labels, named: classes of the answered, as it is and as the net says; empty where the former
            is not known.
    """

    rows: int = 0
    unread: int = 0
    unanswered: int = 0
    changed: int = 0
    errors: list[tuple[str, str]] = field(default_factory=list)
    labels: list[np.ndarray] = field(default_factory=list)
    named: list[np.ndarray] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch, classes: Sequence[str]) -> None:
        """Count some rows."""
        columns = batch.schema.names
        self.rows += len(batch)
        self.changed += len(batch) - batch["note"].null_count

        bad = batch.filter(batch["error"].is_valid())
        places = bad["row"].to_pylist() if "row" in columns else [None] * len(bad)
        for file, row, why in zip(
            bad["file"].to_pylist(), places, bad["error"].to_pylist(), strict=True
        ):
            self.unanswered += why == NOT_FINITE
            self.unread += why != NOT_FINITE
            if len(self.errors) < NAMED:
                self.errors.append((file if row is None else f"{file} row {row}", why))

        if "true" in columns:
            good = batch.filter(batch["error"].is_null())
            numbers = {name: place for place, name in enumerate(classes)}
            self.labels.append(np.array([numbers[each] for each in good["true"].to_pylist()], int))
            self.named.append(good["index"].to_numpy().astype(np.int64))

    @property
    def lines(self) -> list[str]:
        """The errors as text, one a line whatever a name contains."""
        return [f"{_one_line(name)}: {why}" for name, why in self.errors]

    def failed(self, files: int) -> Failed:
        """What could not be done."""
        return Failed(files, self.unread, self.rows - self.unread, self.unanswered)

    def scores(self, classes: Sequence[str]) -> LabelledScores | None:
        """How often the net is right; None where nothing was answered, or classes are not known."""
        if not sum(map(len, self.labels)):
            return None
        return LabelledScores(
            tuple(classes), np.concatenate(self.labels), np.concatenate(self.named)
        )


def _one_line(name: str) -> str:
    """A name of a file, in quotes if it has characters that cannot be printed."""
    return name if name.isprintable() else json.dumps(name, ensure_ascii=False)
