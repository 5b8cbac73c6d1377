"""The files of an ensemble: its members' weights, and which trials or files they are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from stages.settings.read import strict
from stages.store.manifest import read_manifest_as, write_manifest

DESCRIPTION = "net.yaml"
"""Of a net of a file, in the folder of its own that it has in an ensemble."""


@strict
class MemberOrigin:
    """Where a member is from that no search has made.

    Attributes:
        name: of its files.
        format: what runs it, as `onnx`; `logits` where they are only logits.
        validation_accuracy: a fraction.
    """

    name: str
    format: str
    validation_accuracy: float


@strict
class EnsembleManifest:
    """The manifest of data/ensemble, or of the teachers of 2014 that are kept as an ensemble.

    Attributes:
        members: their trials, in the order of their choice; None for nets of files.
        validation_accuracy: of the members chosen so far, after each choice; None where the members
            are the best nets of a sweep.
        origins: of each member, None for trials; None where all are trials.
        weights: of each member in the mean, with the sum 1; None where all are equal.
    """

    members: tuple[int | None, ...]
    validation_accuracy: tuple[float, ...] | None = None
    origins: tuple[MemberOrigin | None, ...] | None = None
    weights: tuple[float, ...] | None = None

    @property
    def only_logits(self) -> bool:
        """Whether there are no nets, but only what another program has given of our images."""
        return any(each is not None and each.format == "logits" for each in self.origins or ())

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


def outside_path(folder: Path, place: int) -> Path:
    """Description of the net of a file that was chosen at this place; the file is beside it."""
    return folder / f"member-{place:02d}" / DESCRIPTION


def net_path(folder: Path, place: int, manifest: EnsembleManifest) -> Path:
    """The file from which the member at this place is loaded."""
    if manifest.members[place] is None:
        return outside_path(folder, place)
    return member_path(folder, place)


def files_of(path: Path) -> tuple[Path, ...]:
    """All files of the member that is loaded from `path`, that one first."""
    if path.name != DESCRIPTION:
        return (path,)
    if not path.is_file():
        return (path,)
    return (path, *(each for each in sorted(path.parent.iterdir()) if each != path))
