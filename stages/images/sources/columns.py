"""Which columns of a table hold pictures, labels and groups."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Columns:
    """Columns as the settings name them.

    Attributes:
        image: with pictures or the names of their files, `prepare.image_column`; None for a usual one.
        label: with labels, `prepare.label_column`; None for a usual one.
        group: what must not be divided between parts, `prepare.group`; None for nothing. Of folders
            without lists it is a pattern, see `folder.groups_of`.
    """

    image: str | None = None
    label: str | None = None
    group: str | None = None


USUAL = Columns()
"""Columns of usual names, and no groups."""
