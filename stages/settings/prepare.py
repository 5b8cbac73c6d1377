"""Settings of prepare: the data source, its split and sizes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from stages.settings.common import Count
from stages.settings.inputs import Inputs
from stages.settings.read import parse, strict

Name = Annotated[str, Field(min_length=1, max_length=1000)]
Axis = Annotated[int, Field(ge=1, le=10**6)]
SetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)]
"""Name of a further test set, which goes into the names of files."""
OWN = "test"
"""Name of the data set's own test images among the sets."""

ALWAYS_32_PX = (
    "cluttered-digits",
    "cifar10",
    "cifar100",
    "cifar100-coarse",
    "svhn",
    "svhn-extra",
)
"""Sources whose images have one size."""
READ_BY = {
    "image_column": ("parquet", "image-folder"),
    "label_column": ("parquet", "image-folder"),
    "group": ("parquet", "image-folder", "npz", "webdataset"),
}
"""Key -> the sources that read it."""


@strict
class ExtraTest:
    """An entry of `prepare.extra_tests`: a folder, and what parquet files in it call their columns.

    A folder alone stands for one whose columns are those of the training data::

        prepare:
          extra_tests:
            cifar10-c: data/raw/CIFAR-10-C
            streets: {path: data/raw/streets, image_column: photo, label_column: kind}
    """

    path: Name
    image_column: Name | None = None
    label_column: Name | None = None


def _as_mapping(value: object) -> object:
    """An entry of `extra_tests` that may be a folder alone."""
    if isinstance(value, str):
        return {"path": value}
    if not isinstance(value, dict):
        raise ValueError(
            "input should be a folder, or a mapping of path, image_column and label_column"
        )
    return value


Entry = Annotated[ExtraTest, BeforeValidator(_as_mapping, json_schema_input_type=Name | ExtraTest)]


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
        "cluttered-digits",
        "cifar10",
        "cifar100",
        "cifar100-coarse",
        "svhn",
        "svhn-extra",
        "svhn-full",
        "svhn-full-extra",
        "stl10",
        "parquet",
        "image-folder",
        "npz",
        "idx",
        "webdataset",
        "speech",
    ]
    path: str
    split: Literal["order", "content"]
    train: Count | None
    validation: Count | None
    test: Count | None
    size_px: Annotated[int, Field(ge=8, le=1024)] | None
    shape: Annotated[tuple[Axis, ...], Field(min_length=1, max_length=3)] | None
    fit: Literal["exact", "crop", "pad", "stretch"] = "exact"
    image_column: Name | None = None
    label_column: Name | None = None
    group: Name | None = None
    unlabelled: Name | Count | None = None
    extra_tests: dict[SetName, Entry] | None = None

    @model_validator(mode="after")
    def _fits_its_source(self) -> Prepare:
        if self.source == "cluttered-digits" and self.split != "order":
            raise ValueError(
                f"split is {self.split!r}: allowed is 'order' for cluttered-digits, whose training and "
                "validation images are made from different handwritten digits"
            )

        of_vectors = self.source == "speech" or (self.source == "npz" and self.shape is not None)
        kind = "vectors" if of_vectors else "images"
        if self.source == "npz" and self.shape is None and self.size_px is None:
            raise ValueError(
                "size_px and shape are null: npz has images, which need size_px, or vectors, which need "
                "shape"
            )

        needed = "shape" if of_vectors else "size_px"
        other = "size_px" if of_vectors else "shape"

        if getattr(self, needed) is None or getattr(self, other) is not None:
            raise ValueError(
                f"{needed} is {getattr(self, needed)} and {other} is {getattr(self, other)}: "
                f"{self.source} has {kind}, which need {needed}; set {other} to null"
            )

        if self.source in ALWAYS_32_PX and self.size_px != 32:
            raise ValueError(f"size_px is {self.size_px}: the images of {self.source} have 32 px")

        self._check_keys()
        return self

    def _check_keys(self) -> None:
        """Keys that this source does not read are null."""
        if self.source == "cluttered-digits" and None in (self.train, self.validation, self.test):
            raise ValueError(
                "train, validation or test is null: cluttered-digits are made, say how many"
            )

        if self.unlabelled is not None and self.shape is not None:
            raise ValueError(
                f"unlabelled is {self.unlabelled!r}: allowed with images, and {self.source} has vectors; "
                "set it to null"
            )

        for key, sources in READ_BY.items():
            value = getattr(self, key)
            further = key == "image_column" and (self.unlabelled or self.extra_tests)
            further = further or (key == "label_column" and self.extra_tests)
            if value is not None and self.source not in sources and not further:
                raise ValueError(
                    f"{key} is {value!r}: {self.source} has none, allowed with {', '.join(sources)}; "
                    "set it to null"
                )

    @property
    def made(self) -> tuple[int, int, int]:
        """Images that cluttered-digits makes: for training, validation and testing.

        Those whose labels are not used count among those for training.
        """
        train, validation, test = self.train, self.validation, self.test
        assert train is not None and validation is not None and test is not None
        more = self.unlabelled if isinstance(self.unlabelled, int) else 0
        return train + more, validation, test

    @model_validator(mode="after")
    def _extra_tests_can_be_scored(self) -> Prepare:
        named = list(self.extra_tests or {})
        if named and self.shape is not None:
            raise ValueError(
                f"extra_tests names {named[0]}: sets of images can be scored, and the source "
                f"{self.source} has vectors; set extra_tests to {{}}"
            )

        if OWN in named:
            raise ValueError(
                f"extra_tests has the name {OWN}, which the data set's own test images have: "
                "give it another"
            )
        return self

    @property
    def inputs(self) -> Inputs:
        """What the nets will see."""
        return Inputs(self.size_px, self.shape)


def prepare(params: dict[str, Any]) -> Prepare:
    """The section `prepare`."""
    return parse(Prepare, params["prepare"], "prepare")
