"""Where raw data are, which git does not have."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from stages.images.sources.labelled import data_folder
from stages.runtime.copies import in_clone
from stages.settings.prepare import ExtraTest, Prepare


def raw_data(path: str | Path) -> Path:
    """Where raw data of params.yaml are: `data_folder(path)`, that of the clone where a copy has none.

    Git does not have them, so a copy for an experiment lacks those whose path is relative. Readers
    may pass the result to `data_folder` again.
    """
    folder = data_folder(path)
    folder = folder if folder.exists() else in_clone(folder)
    return folder.absolute() if "MIMICNETS_DATA" in os.environ else folder


def raw_tests(settings: Prepare) -> dict[str, ExtraTest]:
    """The entries of `prepare.extra_tests`, with their folders as `raw_data` gives them."""
    tests = settings.extra_tests or {}
    return {name: replace(test, path=str(raw_data(test.path))) for name, test in tests.items()}
