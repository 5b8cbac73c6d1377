"""Any image file as the pixels that a net takes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Decoders that are asked; others of PIL start programs (EPS) or are rarely used."""
MAX_FILE_BYTES = 1 << 26
FILTER = Image.Resampling.BICUBIC
"""With PIL's prefilter where an image is made smaller, so that nothing aliases."""


def read_picture(path: Path, size_px: int) -> tuple[np.ndarray, str]:
    """The first frame of an image, and what was done to it.

    Turned as its EXIF says, transparent parts on white, grey as equal red, green and blue, 16 bits
    as their upper 8; then the centre square, resized bicubically.

    Returns:
        uint8 (size_px, size_px, 3), and what was done in words, "" for nothing.

    Raises:
        OSError: no such file.
        ValueError: not an image, damaged, too large, or of pixels without a known range.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path.stat().st_size:,} bytes, allowed are {MAX_FILE_BYTES:,}")

    data = path.open("rb")
    try:
        with data, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(data, formats=FORMATS)
            width, height = opened.size
            image = _rgb(ImageOps.exif_transpose(opened))
    except Exception as error:  # PIL raises many kinds on damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"not a readable image ({reason})") from error

    return _square(image, size_px), _words(width, height, size_px)


def _rgb(image: Image.Image) -> Image.Image:
    """Red, green and blue of 8 bits, of an image of any mode."""
    if image.mode in ("I", "F"):
        raise ValueError(
            f"mode {image.mode} has no known range: save it with 8 or 16 bits a channel"
        )

    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        clear = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)

    return image.convert("RGB")


def _square(image: Image.Image, size_px: int) -> np.ndarray:
    """The centre square, resized."""
    side = min(image.size)
    left = (image.width - side) // 2
    top = (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if side != size_px:
        image = image.resize((size_px, size_px), FILTER)
    return np.array(image)


def _words(width: int, height: int, size_px: int) -> str:
    """What `_square` does to an image of this size; "" for nothing."""
    side = min(width, height)
    cut = "" if width == height else f"the centre {side} x {side} cut out"
    scaled = "" if side == size_px else f"resized to {size_px} x {size_px} (bicubic)"
    done = " and ".join(filter(None, (cut, scaled)))
    return done and f"{width} x {height} px: {done}"
