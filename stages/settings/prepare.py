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
    """The section `prepare`: data source, split and sizes (Urban et al. 2017, section 2.5)."""

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
        given, other = ("shape", "size_px") if self.source == "npz" else ("size_px", "shape")
        if getattr(self, given) is None or getattr(self, other) is not None:
            raise ValueError(
                f"{given} is {getattr(self, given)} and {other} is {getattr(self, other)}: {self.source} has "
                f"{'vectors' if self.source == 'npz' else 'images'}, which need {given}; set {other} to null"
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
