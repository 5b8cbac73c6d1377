"""The folder of an export: nothing of the user's is overwritten, and files come all together."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from commands.models import card
from commands.models.files import CARD, FILES, LABELS, STATISTICS


def check_folder(out: Path) -> None:
    """Check that nothing of the user's is overwritten.

    Raises:
        ValueError: a README.md or labels.json in the folder is not of an export.
    """
    path = out / CARD
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    if path.exists() and card.MARK not in text:
        raise ValueError(f"{path} was not written by export: give another folder with --out")

    # Cards of earlier versions list no such file
    labels = out / LABELS
    if labels.exists() and f"`{LABELS}`" not in text:
        raise ValueError(
            f"{labels} was not written by export: rename it, or give another folder with --out"
        )


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A folder whose files replace an earlier export in `out` when all are there and checked."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out) as name:
        yield Path(name)

        # The card goes first and comes last: a folder with a card is whole
        for file in (CARD, *FILES.values(), STATISTICS, LABELS):
            (out / file).unlink(missing_ok=True)
        for path in sorted(Path(name).iterdir(), key=lambda path: path.name == CARD):
            os.replace(path, out / path.name)
