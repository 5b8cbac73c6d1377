"""Whether DVC will be able to keep what a stage makes; asked before anything is computed."""

from __future__ import annotations

import os
from pathlib import Path

from commands.pipeline.clones import shared_cache

OUTPUTS = ("data", "metrics", "plots")
"""Folders in which stages leave their outputs."""


def check_places(root: Path) -> None:
    """Refuse to run where DVC would refuse the result, or could not store it.

    Raises:
        ValueError: an output folder is a link out of the repository, or the cache cannot be written.
    """
    here = root.resolve()
    for name in OUTPUTS:
        place = (root / name).resolve()
        if not place.is_relative_to(here):
            raise ValueError(
                f"{name} is a link to {place}: DVC takes no outputs outside of the repository; move it "
                "back, and for room elsewhere set 'dvc cache dir --local FOLDER' with 'dvc config "
                "--local cache.type symlink', or make work/ or data/raw a link"
            )

    cache = shared_cache(root) or root / ".dvc" / "cache"
    if cache.is_dir() and not os.access(cache, os.W_OK | os.X_OK):
        raise ValueError(
            f"{cache} cannot be written, so DVC could not keep the result: make it writable, or name "
            "another with 'dvc cache dir --local FOLDER'"
        )
