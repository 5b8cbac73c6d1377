"""What data/augmented says of itself: how many epochs of how many images, and which views."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from stages.settings.common import HSV, Count
from stages.settings.read import strict
from stages.store.manifest import read_manifest_as, write_manifest


@strict
class TransferManifest:
    """The manifest of data/augmented.

    Attributes:
        epochs: number of stored epochs.
        store: whether its shards hold images, or draws only.
        hsv: ranges of the colour jitter of its views; zeros for vectors.
        crop_min_px: smallest side of a crop; None for vectors.
        images: number of images in each epoch.
    """

    epochs: Count
    store: Literal["images", "draws"]
    hsv: HSV
    crop_min_px: int | None
    images: Count

    def write(self, folder: Path) -> None:
        """Write the manifest, when the shards are in `folder`."""
        write_manifest(folder, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> TransferManifest:
        """The manifest of `folder`.

        Raises:
            FileNotFoundError: the folder or its manifest is missing.
            ValueError: it is another manifest.
        """
        return read_manifest_as(cls, folder)
