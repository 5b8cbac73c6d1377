"""Where raw data are, which git does not have."""

from __future__ import annotations

import os
from pathlib import Path

from stages.images.sources.labelled import data_folder
from stages.runtime.copies import in_clone


def raw_data(path: str | Path) -> Path:
    """Where raw data of params.yaml are: `data_folder(path)`, that of the clone where a copy has none.

    Git does not have them, so a copy for an experiment lacks those whose path is relative. Readers
    may pass the result to `data_folder` again.
    """
    folder = data_folder(path)
    folder = folder if folder.exists() else in_clone(folder)
    return folder.absolute() if "MIMICNETS_DATA" in os.environ else folder
