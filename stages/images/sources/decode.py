"""Decode one PNG or JPEG with limits, for the sources `parquet` and `folder`."""

from __future__ import annotations

import io
import warnings

import numpy as np

MAX_SIDE_PX = 256  # checked on the header, before any pixel is decompressed


def decode(data: bytes, name: str, size_px: int | None = None) -> np.ndarray:
    """uint8 (s, s, 3) of an RGB or grey image; `name` is what an error calls it.

    Arguments:
        data: the bytes of a PNG or JPEG file.
        name: the file, with the row if it holds many.
        size_px: the side that the image must have; None allows any up to MAX_SIDE_PX.

    Raises:
        ValueError: not an image, truncated, not square, of another size, too large, or of another
            colour mode.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # PIL only warns of a moderately large image; the size check below refuses it
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
    except Exception as error:
        raise ValueError(
            f"{name}: not a readable PNG or JPEG image ({_first_line(error)}): replace or remove it"
        ) from error
    _check_header(image.size, image.mode, name, size_px)
    try:
        return np.array(image.convert("RGB"))
    except Exception as error:  # PIL raises many kinds on damaged files
        raise ValueError(
            f"{name}: damaged image ({_first_line(error)}): replace or remove it"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _check_header(size: tuple[int, int], mode: str, name: str, size_px: int | None) -> None:
    width, height = size
    if size_px is not None and (width, height) != (size_px, size_px):
        raise ValueError(
            f"{name}: {width} x {height} px, allowed is {size_px} x {size_px}, one size for all "
            "images: resize or remove it"
        )
    if width != height or width > MAX_SIDE_PX:
        raise ValueError(
            f"{name}: {width} x {height} px, allowed are squares of at most {MAX_SIDE_PX} px: "
            "resize or remove it"
        )
    if mode not in ("RGB", "L"):
        raise ValueError(f"{name}: colour mode {mode}, allowed are RGB and L (grey): convert it")
