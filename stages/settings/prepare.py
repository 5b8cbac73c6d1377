"""Settings of prepare: the data source, its split and sizes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from stages.settings.common import Count
from stages.settings.inputs import Inputs
from stages.settings.read import parse, strict

Axis = Annotated[int, Field(ge=1, le=10**6)]


@strict
class Prepare:
    """The section `prepare`: data source, split and sizes (Urban et al. 2017, section 2.5).

    Vectors of your own, from train.npz and test.npz in a folder::

        prepare:
          source: npz
          path: data/raw/frames
          size_px: null
          shape: [15, 40]
    """

    source: Literal[
        "cluttered-digits", "cifar10", "cifar100", "svhn", "parquet", "image-folder", "npz"
    ]
    path: str
    split: Literal["order", "content"]
    train: Count
    validation: Count
    test: Count
    size_px: Annotated[int, Field(ge=8, le=1024)] | None
    shape: Annotated[tuple[Axis, ...], Field(min_length=1, max_length=3)] | None

    @model_validator(mode="after")
    def _fits_its_source(self) -> Prepare:
        if self.source == "cluttered-digits" and self.split != "order":
            raise ValueError(
                f"split is {self.split!r}: allowed is 'order' for cluttered-digits, whose training and "
                "validation images are made from different handwritten digits"
            )

        of_vectors = self.source == "npz"
        kind = "vectors" if of_vectors else "images"
        needed = "shape" if of_vectors else "size_px"
        other = "size_px" if of_vectors else "shape"

        if getattr(self, needed) is None or getattr(self, other) is not None:
            raise ValueError(
                f"{needed} is {getattr(self, needed)} and {other} is {getattr(self, other)}: "
                f"{self.source} has {kind}, which need {needed}; set {other} to null"
            )

        if self.source not in ("image-folder", "npz") and self.size_px != 32:
            raise ValueError(f"size_px is {self.size_px}: the images of {self.source} have 32 px")
        return self

    @property
    def inputs(self) -> Inputs:
        """What the nets will see; of a source parquet the files tell, and the manifest says."""
        return Inputs(self.size_px, self.shape)


def prepare(params: dict[str, Any]) -> Prepare:
    """The section `prepare`."""
    return parse(Prepare, params["prepare"], "prepare")
