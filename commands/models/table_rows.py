"""Answers of a net as rows of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import softmax

from commands.models.check import finite
from commands.models.failed import NOT_FINITE
from commands.models.table_names import EACH
from stages.images.sources.files import printable


class AskedFile(NamedTuple):
    """A file that the net was asked about.

    Attributes:
        name: in the table.
        true: its class; None where that is not known.
        inputs: how many it has; None where it cannot be read.
        said: what was done to it, or why it cannot be read.
    """

    name: str
    true: str | None
    inputs: int | None
    said: str


@dataclass(frozen=True)
class TableForm:
    """Which columns a table has.

    Attributes:
        classes: of the net, in the order of its outputs.
        is_vectors: whether a file has several rows.
        labelled: whether the true classes are known.
        top: how many classes a row names, the most probable first.
        each: what a column for each class holds, one of EACH; None for no such columns.
    """

    classes: tuple[str, ...]
    is_vectors: bool
    labelled: bool
    top: int
    each: str | None

    def __post_init__(self) -> None:
        assert self.each in (None, *EACH), self.each
        twice = [name for name, count in Counter(self.classes).items() if count > 1]
        if twice and (self.each or self.labelled):
            raise ValueError(
                f"the net has several classes called {twice[0]!r}: neither --labels nor --each can tell "
                "them apart"
            )

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        fields = [("file", pa.string())]
        if self.is_vectors:
            fields.append(("row", pa.int64()))
        if self.labelled:
            fields.append(("true", pa.string()))

        for end in self._ends:
            fields += [(f"class{end}", pa.string()), (f"index{end}", pa.int32())]
            fields.append((f"probability{end}", pa.float32()))

        fields += [(name, pa.float32()) for name in self._names_of_each]
        return pa.schema([*fields, ("note", pa.string()), ("error", pa.string())])

    @property
    def _ends(self) -> list[str]:
        """Of the names of columns, for the first class, the second and so on."""
        return ["", *(f"_{place}" for place in range(2, self.top + 1))][: len(self.classes)]

    @property
    def _names_of_each(self) -> list[str]:
        """Columns with one number for each class."""
        one = {"probabilities": "probability", "logits": "logit", None: ""}[self.each]
        return [f"{one}:{printable(name)}" for name in self.classes] if self.each else []

    def rows(self, files: Sequence[AskedFile], logits: np.ndarray) -> pa.RecordBatch:
        """Rows of some files.

        Args:
            files: in their order.
            logits: float32 (n, classes), of all their inputs.
        """
        lengths = [1 if file.inputs is None else file.inputs for file in files]
        readable = np.repeat([file.inputs is not None for file in files], lengths)

        def of_files(values: list[str | None]) -> pa.Array:
            column = pa.array(values, pa.string())
            if not self.is_vectors:
                return column
            return column.take(pa.array(np.repeat(np.arange(len(files)), lengths)))

        # A row for each input, and one for each file that cannot be read
        whole = np.full((len(readable), len(self.classes)), np.nan, np.float32)
        whole[readable] = logits
        good = finite(whole)
        said = of_files([printable(file.said) if file.said else None for file in files])

        columns: dict[str, Any] = {"file": of_files([file.name for file in files])}
        if self.is_vectors:
            places = np.concatenate([np.arange(n) for n in lengths])
            columns["row"] = pa.array(places, pa.int64(), mask=~readable)
        if self.labelled:
            columns["true"] = of_files([file.true for file in files])

        columns |= self._answers(whole, good)
        columns["note"] = pc.if_else(pa.array(readable), said, None)
        unanswered = pc.if_else(pa.array(good), None, NOT_FINITE)
        columns["error"] = pc.if_else(pa.array(readable), unanswered, said)

        return pa.record_batch(columns, schema=self.schema)

    def _answers(self, logits: np.ndarray, good: np.ndarray) -> dict[str, Any]:
        """The columns of the net's answers, empty where there is none.

        Args:
            logits: float32 (rows, classes).
            good: bool (rows,), where there is one.
        """
        known = np.where(good[:, None], logits, 0).astype(np.float64)
        shares = softmax(known, axis=1).astype(np.float32)
        order = np.argsort(-known, axis=1, kind="stable")
        names = pa.array([printable(name) for name in self.classes])

        columns = {}
        for place, end in enumerate(self._ends):
            index = order[:, place]
            share = np.take_along_axis(shares, index[:, None], axis=1)[:, 0]
            columns[f"index{end}"] = pa.array(index.astype(np.int32), mask=~good)
            columns[f"class{end}"] = names.take(columns[f"index{end}"])
            columns[f"probability{end}"] = pa.array(share, pa.float32(), mask=~good)

        numbers = shares if self.each == "probabilities" else logits
        for place, name in enumerate(self._names_of_each):
            columns[name] = pa.array(numbers[:, place], pa.float32(), mask=~good)
        return columns
