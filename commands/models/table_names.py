"""Names: of tables and their kinds, of files in them, and of a table that is under way."""

from __future__ import annotations

import os
from pathlib import Path

ENDINGS = (".csv", ".parquet")
"""Of tables that are written."""
EACH = ("probabilities", "logits")
"""What a column for each class may hold."""


def table_name(path: str) -> str:
    r"""A path as the column `file` has it, in UTF-8: a backslash is \\, a byte that is not UTF-8 \xff.

    Two paths never have one name, and `docs/use.md` says how to get the path back.
    """
    if path.isascii() and "\\" not in path:
        return path
    return os.fsencode(path.replace("\\", "\\\\")).decode("utf-8", "backslashreplace")


def partial_path(out: Path) -> Path:
    """Where the rows of a table are until it is whole."""
    return out.with_name(f"{out.name}.part")
