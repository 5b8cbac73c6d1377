"""The files of an ensemble: its members' weights, and which trials they are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from stages.settings.read import strict
from stages.store.manifest import read_manifest_as, write_manifest


@strict
class EnsembleManifest:
    """The manifest of data/ensemble, or of the teachers of 2014 that are kept as an ensemble.

    Attributes:
        members: their trials, in the order of their choice.
        validation_accuracy: of the members chosen so far, after each choice; None where the members
            are the best nets of a sweep.
    """

    members: tuple[int, ...]
    validation_accuracy: tuple[float, ...] | None = None

    def write(self, folder: Path) -> None:
        """Write the manifest, when the members are in `folder`."""
        contents = asdict(self)
        write_manifest(folder, {key: value for key, value in contents.items() if value is not None})

    @classmethod
    def read(cls, folder: Path) -> EnsembleManifest:
        """The manifest of `folder`.

        Raises:
            FileNotFoundError: the folder or its manifest is missing.
            ValueError: it is another manifest.
        """
        return read_manifest_as(cls, folder)


def member_name(place: int) -> str:
    """Name of the file of the member that was chosen at this place, from 0."""
    return f"member-{place:02d}.safetensors"


def member_path(folder: Path, place: int) -> Path:
    """Weights of the member that was chosen at this place, from 0."""
    return folder / member_name(place)
