"""What the nets see: square RGB images of a side, or vectors of a shape."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CHANNELS = 3
"""Of an image: red, green and blue."""


@dataclass(frozen=True)
class Inputs:
    """What a net sees: square RGB images of one side (uint8), or vectors of one shape (float32).

    Vectors have one to three axes: (features,), (frames, features) or (frames, features, channels).
    Exactly one of the attributes is None.

    >>> frames = Inputs.vectors([6, 5])
    >>> frames.map, frames.bytes, frames.words
    ((6, 5, 1), 120, 'vectors of shape [6, 5]')
    >>> frames.to_json()
    {'size_px': None, 'shape': [6, 5]}
    >>> Inputs.from_json({"size_px": 32, "classes": ["cat", "dog"]}) == Inputs.images(32)
    True

    Attributes:
        size_px: side of the images in pixels; None for vectors.
        shape: of one vector; None for images.

    Raises:
        ValueError: both are given or neither, or one is not made of whole numbers of at least 1.
    """

    size_px: int | None
    shape: tuple[int, ...] | None

    def __post_init__(self) -> None:
        if (self.size_px is None) == (self.shape is None):
            which = "neither" if self.shape is None else "both"
            raise ValueError(f"a net takes images of size_px or vectors of a shape, got {which}")

        if self.size_px is not None and not _is_length(self.size_px):
            raise ValueError(
                f"images have a side of at least 1 px, got {self.size_px}: change prepare.size_px"
            )

        if self.shape is not None and not _is_shape(self.shape):
            shape = list(self.shape) if isinstance(self.shape, tuple) else self.shape
            raise ValueError(
                "vectors have one to three axes of at least 1 ([features], [frames, features] or "
                f"[frames, features, channels]), got {shape}: change prepare.shape"
            )

    @classmethod
    def images(cls, size_px: int) -> Inputs:
        """Square RGB images with this side in pixels."""
        return cls(size_px, None)

    @classmethod
    def vectors(cls, shape: Sequence[int]) -> Inputs:
        """Vectors of this shape."""
        return cls(None, tuple(shape))

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Inputs:
        """Those of a manifest, a plan or the description of a net; its other keys are not read."""
        shape = record.get("shape")
        return cls(record.get("size_px"), tuple(shape) if isinstance(shape, list) else shape)

    def to_json(self) -> dict[str, Any]:
        """Keys and values of a manifest: `size_px`, and for vectors `shape`."""
        if self.shape is None:
            return {"size_px": self.size_px}
        return {"size_px": None, "shape": list(self.shape)}

    @property
    def is_images(self) -> bool:
        """Whether a net sees images."""
        return self.shape is None

    @property
    def is_vectors(self) -> bool:
        """Whether a net sees vectors."""
        return self.shape is not None

    @property
    def has_frames(self) -> bool:
        """Whether the vectors have frames, over which a convolution can go."""
        return self.shape is not None and len(self.shape) > 1

    @property
    def map(self) -> tuple[int, int, int]:
        """Height, width and channels of one; features without frames are channels of one pixel."""
        if self.shape is None:
            assert self.size_px is not None  # checked when it was made
            return self.size_px, self.size_px, CHANNELS
        if len(self.shape) == 1:
            return 1, 1, self.shape[0]
        return self.shape[0], self.shape[1], self.shape[2] if len(self.shape) == 3 else 1

    @property
    def bytes(self) -> int:
        """Bytes of one image or vector."""
        return math.prod(self.map) * (1 if self.is_images else 4)

    @property
    def words(self) -> str:
        """For messages: `32 px`, or `vectors of shape [6, 5]`."""
        return (
            f"{self.size_px} px" if self.shape is None else f"vectors of shape {list(self.shape)}"
        )


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_shape(value: object) -> bool:
    return isinstance(value, tuple) and 1 <= len(value) <= 3 and all(map(_is_length, value))


CIFAR_IMAGES = Inputs.images(32)
"""Images of CIFAR-10, on which the paper's nets are defined (Urban et al. 2017, section 2.5)."""
