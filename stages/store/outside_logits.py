"""Logits that another program has made of exactly our images: the folder teachers/logits.

`python -m commands.transfer import` writes it. Shards have the form of data/logits, bound to their
images by hash; those of the validation and test images have names in the place of an epoch.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from stages.settings.read import strict
from stages.store.manifest import read_manifest_as, write_manifest
from stages.store.shards import images_hash
from stages.store.tensors import fits, read_tensors, write_tensors

FOLDER = Path("teachers/logits")
"""From the root; DVC watches it, as a part of teachers/."""
INSIDE = "logits"
"""The same files in data/ensemble."""
PARTS = ("validation", "test")

AGAIN = (
    "the data or the transfer set have changed since 'python -m commands.transfer export'; export "
    "them, label them and import the logits again"
)


@strict
class OutsideLogits:
    """The manifest of such a folder.

    Attributes:
        name: what the teacher is called.
        classes: names, in the order of the columns.
        epochs: how many epochs of the transfer set are labelled.
        was: what the teacher gave: logits, probabilities or log-probabilities.
        floor: of probabilities; None for logits.
    """

    name: str
    classes: tuple[str, ...]
    epochs: int
    was: str
    floor: float | None

    def write(self, folder: Path) -> None:
        """Write the manifest, when the shards are in `folder`."""
        write_manifest(folder, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> OutsideLogits:
        """The manifest of `folder`.

        Raises:
            FileNotFoundError: the folder or its manifest is missing.
            ValueError: it is another manifest.
        """
        if not (folder / "manifest.json").is_file():
            raise FileNotFoundError(
                f"{folder} has no logits: make them with 'python -m commands.transfer export' and "
                "'import', or change ensemble.source"
            )
        return read_manifest_as(cls, folder)


def write_part(folder: Path, part: str, logits: np.ndarray, images_sha256: str) -> None:
    """Logits float32 (n, classes) of the validation or the test images with that hash."""
    write_tensors(
        folder / f"{part}.safetensors", {"logits": logits}, {"images_sha256": images_sha256}
    )


def read_part(folder: Path, part: str, images: np.ndarray) -> np.ndarray:
    """Logits float32 (n, classes) of these validation or test images.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, or its logits are of other images.
    """
    path = folder / f"{part}.safetensors"
    arrays, header = read_tensors(path)
    if not fits(arrays, {"logits": (np.float32, ("n", "classes"))}):
        raise ValueError(f"{path} holds no logits: run 'python -m commands.transfer import' again")
    if header.get("images_sha256") != images_hash(images):
        raise ValueError(f"{path} holds the logits of other images: {AGAIN}")
    return arrays["logits"]
