"""Pictures that lie in arrays, as the squares that a net takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from stages.images.pictures import MAX_PIXELS, PictureRule, fitted
from stages.images.sources.pixels import Pixels


def check_pictures(shape: Sequence[int], dtype: np.dtype, name: str, what: str = "images") -> None:
    """An array holds pictures: uint8 (n, height, width), or with 1 or 3 channels last.

    Args:
        shape, dtype: of the array.
        name: of the file, for errors.
        what: the array's own name.

    Raises:
        ValueError: it does not; the message says how to save it.
    """
    said = f"{name}: {what} are {dtype} ({', '.join(map(str, shape))})"
    wanted = "allowed is uint8 (n, height, width), or (n, height, width, 3)"
    if len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3):
        raise ValueError(f"{said}, channels first; {wanted}: save them with .transpose(0, 2, 3, 1)")
    if len(shape) == 5 or (len(shape) == 4 and shape[3] not in (1, 3, 4)):
        raise ValueError(f"{said}, volumes or another number of channels; {wanted}")
    if len(shape) == 4 and shape[3] == 4:
        raise ValueError(f"{said}, with transparency; {wanted}: save the colours, [..., :3]")
    if len(shape) not in (3, 4):
        raise ValueError(f"{said}, {wanted}: change prepare.path, or set prepare.shape for vectors")
    if dtype != np.uint8:
        raise ValueError(f"{said}, {wanted}: save them as levels 0 to 255 with .astype(np.uint8)")
    if not all(shape):
        raise ValueError(f"{said}, wanted at least one picture: fill the file")
    if shape[1] * shape[2] > MAX_PIXELS:
        raise ValueError(f"{said}, allowed are {MAX_PIXELS:,} pixels a picture: make them smaller")


def squares(images: np.ndarray, name: str, rule: PictureRule, first: int = 0) -> np.ndarray:
    """Pictures by the rule.

    Args:
        images: uint8 (n, height, width), (n, height, width, 1) or (n, height, width, 3).
        name: of the file, for errors.
        rule: size and fit.
        first: number of the first picture, for errors.

    Returns:
        uint8 (n, size_px, size_px, 3).

    Raises:
        ValueError: they have another size, and the rule is exact.
    """
    from PIL import Image

    if images.ndim == 3:
        images = images[..., None]
    coloured = np.broadcast_to(images, (*images.shape[:3], 3))
    if images.shape[1:3] == (rule.size_px, rule.size_px):
        return coloured

    made = np.empty((len(images), rule.size_px, rule.size_px, 3), np.uint8)
    for place, each in enumerate(coloured):
        image = Image.fromarray(np.ascontiguousarray(each))
        made[place] = fitted(image, f"{name}, picture {first + place}", rule).pixels
    return made


def all_squares(
    count: int, pieces: Iterable[np.ndarray], name: str, rule: PictureRule
) -> np.ndarray:
    """`squares` of `count` pictures that come in pieces, uint8 (count, size_px, size_px, 3)."""
    pixels = Pixels(count, rule.size_px, "prepare.path")
    start = 0
    for piece in pieces:
        pixels.put(start, squares(piece, name, rule, start))
        start += len(piece)

    assert start == count
    return pixels.whole()
