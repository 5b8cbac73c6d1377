"""One PNG or JPEG decoded, with limits."""

from __future__ import annotations

import io
import warnings

import numpy as np

MAX_SIDE_PX = 256  # checked on the header, before any pixel is decompressed
MAX_FILE_BYTES = 1 << 22  # of one encoded image; 256 x 256 px have 196,608 bytes
MAX_TOTAL_BYTES = 16 << 30  # of all images of a set, decoded: five million of 32 px


def decode(data: bytes, name: str, size_px: int | None = None) -> np.ndarray:
    """uint8 (s, s, 3) of an RGB or grey image; `name` is what an error calls it.

    Args:
        data: the bytes of a PNG or JPEG file.
        name: the file, with the row if it holds many.
        size_px: the side that the image must have; None allows any up to MAX_SIDE_PX.

    Raises:
        ValueError: not an image, truncated, not square, of another size, too large, or of another
            colour mode.
    """
    from PIL import Image

    check_file_bytes(len(data), name)

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


def check_file_bytes(size: int, name: str) -> None:
    """An encoded image of `size` bytes is not too large; asked before it is read where that can be.

    Raises:
        ValueError: it is.
    """
    if size > MAX_FILE_BYTES:
        raise ValueError(
            f"{name}: {size:,} bytes, allowed are {MAX_FILE_BYTES:,} an image: replace or remove it"
        )


def check_total(count: int, size_px: int, name: str) -> None:
    """`count` images of `size_px` fit into MAX_TOTAL_BYTES; asked when the first one is decoded.

    Raises:
        ValueError: they do not.
    """
    if count * size_px**2 * 3 > MAX_TOTAL_BYTES:
        raise ValueError(
            f"{name}: {count:,} images of {size_px} px are more than {MAX_TOTAL_BYTES >> 30} GiB: "
            "give fewer or smaller"
        )


def _first_line(error: Exception) -> str:
    """What an error says, or its kind."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _check_header(size: tuple[int, int], mode: str, name: str, size_px: int | None) -> None:
    """Refuse a size or a mode before any pixel is decompressed."""
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
