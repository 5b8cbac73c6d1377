"""Many files scored into a table; after a stop the work goes on where it was."""

from __future__ import annotations

import hashlib
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
from tqdm import tqdm

from commands.models.check import batch_outputs
from commands.models.listed import Listed
from commands.models.loaded import Model
from commands.models.partial_table import PartialTable
from commands.models.reading import Read, read_ahead
from commands.models.table_counts import TableCounts
from commands.models.table_files import check_replaceable, write_table
from commands.models.table_names import partial_path
from commands.models.table_rows import AskedFile, TableForm
from stages.images.pictures import Fit

BATCH = 128
"""Inputs that the net is asked at once: more were not faster, with onnxruntime or torch."""
GROUP = 256
"""Inputs that are kept together, all those of some files: a stop loses no more."""


def score_files(
    model: Model, listed: Listed, out: Path, form: TableForm, fit: Fit | None
) -> TableCounts:
    """Write a row for each input of the files.

    Rows are in a file beside the table until it is whole. Where that is there, what it has is not
    computed again.

    Args:
        model: the net.
        listed: the files.
        out: the table, .csv or .parquet.
        form: its columns.
        fit: how pictures become squares; None for as in the net's training.

    Raises:
        ValueError: the table would replace another file, or continue another one.
        OSError: it cannot be written.
    """
    check_replaceable(out, form.schema.names)
    key = {
        "net": _net_hash(model),
        "options": repr((form.top, form.each, form.labelled, fit)),
        "files": listed.hash(),
    }

    with (
        PartialTable(partial_path(out), form.schema, key) as table,
        _told(table, len(listed.files)),
    ):
        _ask_all(model, listed, form, fit, table)

        counted = TableCounts()
        for batch in table.batches():
            counted.add(batch, form.classes)
        write_table(out, form.schema, table.batches())
        table.remove()
    return counted


@contextmanager
def _told(table: PartialTable, files: int) -> Iterator[None]:
    """Say what there is when the work is stopped; the exit status is the usual one."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        print(
            f"stopped: rows of {table.files:,} of {files:,} files are in {table.path}: repeat the "
            "command to go on",
            file=sys.stderr,
        )
        status = stop.code if isinstance(stop, SystemExit) else 128 + signal.SIGINT
        raise SystemExit(status) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _ask_all(
    model: Model, listed: Listed, form: TableForm, fit: Fit | None, table: PartialTable
) -> None:
    """Append the rows that a table lacks."""
    done = table.files
    if done:
        print(f"going on after {done:,} of {len(listed.files):,} files", file=sys.stderr)

    names = [str(file) for file in listed.files[done:]]
    progress = tqdm(total=len(listed.files), initial=done, unit="file", disable=None)
    with closing(read_ahead(model, names, fit)) as read, progress as bar:
        for group in _groups(read):
            table.append(form.rows(*_asked(model, listed, table.files, group)), len(group))
            bar.update(len(group))


def _groups(read: Iterable[Read]) -> Iterator[list[Read]]:
    """Whole files, with GROUP inputs or, for those of many vectors, more."""
    held: list[Read] = []
    count = 0
    for each in read:
        held.append(each)
        count += 1 if each[1] is None else len(each[1])
        if count >= GROUP:
            yield held
            held, count = [], 0
    if held:
        yield held


def _asked(
    model: Model, listed: Listed, start: int, group: Sequence[Read]
) -> tuple[list[AskedFile], np.ndarray]:
    """Some files, and the logits float32 (n, classes) of all their inputs."""
    names = model.described["classes"]
    files = [
        AskedFile(
            listed.names[place],
            None if listed.labels is None else names[listed.labels[place]],
            None if inputs is None else len(inputs),
            said,
        )
        for place, (_, inputs, said) in enumerate(group, start)
    ]

    arrays = [inputs for _, inputs, _ in group if inputs is not None]
    if not arrays:
        return files, np.empty((0, len(names)), np.float32)

    together = np.concatenate(arrays)
    logits = np.concatenate(
        [
            batch_outputs(model.run, together[place : place + BATCH], str(model.where))
            for place in range(0, len(together), BATCH)
        ]
    )
    model.check_outputs(logits)
    return files, logits


def _net_hash(model: Model) -> str:
    """Of the net's file, and of what vectors are standardised by."""
    files = [model.where, *([model.statistics] if model.inputs.is_vectors else [])]
    whole = hashlib.sha256(repr(sorted(model.described.items())).encode())
    for path in files:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()
