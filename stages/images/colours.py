"""Pictures of any mode in red, green and blue of 8 bits; used by `pictures`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

PIECE_PIXELS = 1 << 20
"""Of a picture with transparent parts that are made white at a time."""

BACKGROUND = "white"
"""Behind transparent parts, and beside padded pictures."""

_PHOTOMETRIC = 262
"""Tag of a TIFF file that says what its levels mean."""
_WHITE_IS_ZERO = 0


class NoRange(ValueError):
    """The pixels have no known range."""


def white_is_zero(image: Image.Image) -> bool:
    """Whether a TIFF file says that its lowest level is white."""
    return getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def rgb(image: Image.Image, name: str, negative: bool) -> Image.Image:
    """Red, green and blue of 8 bits, of a picture of any mode.

    Args:
        image: decoded and upright.
        name: what an error calls it.
        negative: whether zero is white, where it has 16 bits.

    Raises:
        NoRange: nobody can know which of its values is white.
    """
    if image.mode in ("I", "F"):
        raise NoRange(
            f"{name}: its pixels are of mode {image.mode}, which has no known range: save it with 8 "
            "or 16 bits a channel"
        )

    if image.mode.startswith("I;16"):
        return upper_bits(image, negative)

    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return on_white(image)

    return image if image.mode == "RGB" else image.convert("RGB")


def on_white(image: Image.Image) -> Image.Image:
    """A picture with transparent parts on white, in pieces: whole copies of it take much memory."""
    from PIL import Image

    width, height = image.size
    made = Image.new("RGB", image.size)
    step = max(1, PIECE_PIXELS // width)
    for top in range(0, height, step):
        piece = image.crop((0, top, width, min(height, top + step))).convert("RGBA")
        white = Image.new("RGBA", piece.size, BACKGROUND)
        made.paste(Image.alpha_composite(white, piece).convert("RGB"), (0, top))

    return made


def upper_bits(image: Image.Image, negative: bool) -> Image.Image:
    """Grey of 16 bits as its upper 8, white where it has the transparent level."""
    from PIL import Image

    levels = np.asarray(image)
    if negative:
        levels = 0xFFFF - levels  # Pillow does so with 8 bits, and not with 16
    grey = (levels >> 8).astype(np.uint8)

    key = image.info.get("transparency")
    if isinstance(key, int):
        grey[levels == key] = 255

    return Image.fromarray(grey).convert("RGB")
