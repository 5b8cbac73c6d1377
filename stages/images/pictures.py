"""Any picture as the pixels that a net takes: the one reader for training, prediction and export.

What it does is stated in docs/data.md. A test holds it equal for all who read pictures.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from stages.images.colours import BACKGROUND, NoRange, rgb, upper_bits, white_is_zero

if TYPE_CHECKING:
    from PIL import Image

Fit = Literal["exact", "crop", "pad", "stretch"]
"""How a picture of another size becomes a square.

exact: it is refused. crop: the centre square. pad: white on both sides. stretch: the whole, squeezed.
"""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels from 0; the last two are behind the last pixel."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")
"""Decoders that are asked; others of Pillow start programs (EPS) or are rarely used."""
SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".webp",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
    ".avif",
)
"""Of files that are taken for pictures, in lower case."""

MAX_FILE_BYTES = 1 << 26
"""Of one encoded picture."""
MAX_PIXELS = 1 << 26
"""Of one picture: 67 million. Asked of the header, before anything is decompressed."""
LARGE_PIXELS = 1 << 23
"""Pictures of more are decoded two at a time: eight at once would take 10 GB of memory."""


@dataclass(frozen=True)
class PictureRule:
    """What a picture becomes.

    Attributes:
        size_px: side of the square in pixels.
        fit: how one of another size becomes a square, see `Fit`.
    """

    size_px: int
    fit: Fit = "exact"

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise ValueError(
                f"fit is {self.fit!r}, allowed are {', '.join(get_args(Fit))}: change prepare.fit"
            )

    @property
    def words(self) -> str:
        """For people: what is done to a picture of another size."""
        size = f"{self.size_px} x {self.size_px} px"
        resized = f"resized to {size} (bicubic, antialiased)"
        return {
            "exact": f"refused unless it has {size}",
            "crop": f"the centre square, {resized}",
            "pad": f"{resized} along its longer side, {BACKGROUND} on both sides of the other",
            "stretch": f"{resized}, whatever its shape",
        }[self.fit]


class ReadPicture(NamedTuple):
    """A picture as a net takes it.

    Attributes:
        pixels: uint8 (size_px, size_px, 3).
        said: what was done to it in words, "" for nothing.
        width, height: of the whole picture in pixels, upright.
    """

    pixels: np.ndarray
    said: str
    width: int
    height: int


class ReadParts(NamedTuple):
    """Parts of a picture as a net takes them.

    Attributes:
        parts: one for each box.
        width, height: of the whole picture in pixels, upright.
    """

    parts: list[ReadPicture]
    width: int
    height: int


_LARGE = threading.BoundedSemaphore(2)
_ORIENTATION = 0x0112
"""Tag of EXIF data that says how a picture is to be turned."""
_UPRIGHT = (None, 0, 1)
_SIDEWAYS = (5, 6, 7, 8)


def read_picture(data: bytes, name: str, rule: PictureRule, box: Box | None = None) -> ReadPicture:
    """The first frame of a picture, or a part of it, as a net takes it.

    It is turned as its EXIF data say. Transparent parts become white, grey becomes equal red, green
    and blue, of 16 bits the upper 8 are taken. Colour profiles are not applied. Then `fitted`.

    Args:
        data: the bytes of a file, see FORMATS.
        name: what an error calls it.
        rule: size and fit.
        box: the part that is cut out of the upright picture, which may reach over its border; None
            for the whole.

    Raises:
        ValueError: not a picture, damaged, too large, of pixels without a known range, or of another
            size where the rule is exact; the box lies outside. One line, which begins with `name`.
    """
    if box is not None:
        return read_parts(data, name, rule, [box]).parts[0]
    with _opened(data, name) as opened, _turns(opened):
        return fitted(_rgb_picture(opened, name, rule), name, rule)


def read_parts(data: bytes, name: str, rule: PictureRule, boxes: Sequence[Box]) -> ReadParts:
    """Several parts of a picture, which is decoded once; as `read_picture`."""
    with _opened(data, name) as opened, _turns(opened):
        whole = _rgb_picture(opened, name, None)
        parts = [fitted(_cut(whole, name, box), name, rule) for box in boxes]
        return ReadParts(parts, whole.width, whole.height)


def _turns(opened: Image.Image) -> AbstractContextManager[object]:
    """Large pictures are decoded two at a time."""
    width, height = opened.size
    return _LARGE if width * height > LARGE_PIXELS else nullcontext()


def picture_size(data: bytes, name: str) -> tuple[int, int]:
    """Width and height in pixels of the upright picture, by its header alone; as `read_picture`."""
    with _opened(data, name) as opened:
        return _upright_size(opened, _turn(opened))


def fitted(image: Image.Image, name: str, rule: PictureRule) -> ReadPicture:
    """An RGB picture as a square by the rule.

    Raises:
        ValueError: it has another size, and the rule is exact.
    """
    from PIL import Image, ImageOps

    size = rule.size_px
    width, height = image.size
    if image.size == (size, size):
        return ReadPicture(np.array(image), "", width, height)

    _check_exact(image.size, name, rule)
    bicubic = Image.Resampling.BICUBIC  # Pillow widens it where a picture becomes smaller
    done = []

    # The shape.
    if rule.fit == "crop" and width != height:
        side = min(width, height)
        left = (width - side) // 2
        top = (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        done.append(f"the centre {side} x {side} cut out")

    # The size.
    if rule.fit == "pad":
        image = ImageOps.pad(image, (size, size), bicubic, BACKGROUND)
        padded = f", {BACKGROUND} on both sides" if width != height else ""
        done.append(f"resized into {size} x {size}{padded} (bicubic)")
    elif image.size != (size, size):
        image = image.resize((size, size), bicubic)
        done.append(f"resized to {size} x {size} (bicubic)")

    said = f"{width} x {height} px: {' and '.join(done)}"
    return ReadPicture(np.array(image), said, width, height)


def _cut(image: Image.Image, name: str, box: Box) -> Image.Image:
    """The part of a picture within a box, without what lies over the border."""
    left, top = max(0, box[0]), max(0, box[1])
    right, bottom = min(image.width, box[2]), min(image.height, box[3])
    if left >= right or top >= bottom:
        raise ValueError(
            f"{name}: the box from {box[0]}, {box[1]} to {box[2]}, {box[3]} has no pixel of its "
            f"{image.width} x {image.height}: correct the list, or remove the line"
        )
    return image.crop((left, top, right, bottom))


def check_file_bytes(size: int, name: str) -> None:
    """An encoded picture of `size` bytes is not too large; asked before it is read.

    Raises:
        ValueError: it is.
    """
    if size > MAX_FILE_BYTES:
        raise ValueError(
            f"{name}: {size:,} bytes, allowed are {MAX_FILE_BYTES:,} a picture: replace or remove it"
        )


def _rgb_picture(opened: Image.Image, name: str, rule: PictureRule | None) -> Image.Image:
    """The picture, upright, in red, green and blue of 8 bits; its size is compared with a rule."""
    from PIL import ImageOps

    turn = _turn(opened)
    if rule is not None:
        _check_exact(_upright_size(opened, turn), name, rule)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened.load()
            upright = opened if turn in _UPRIGHT else ImageOps.exif_transpose(opened)
            if opened.format == "PPM" and upright.mode == "I":
                return upper_bits(upright, negative=False)  # Pillow scales them to 16 bits
            return rgb(upright, name, white_is_zero(opened))
    except NoRange:
        raise
    except Exception as error:  # Pillow raises many kinds on damaged files
        raise ValueError(
            f"{name}: damaged picture ({_first_line(error)}): replace or remove it"
        ) from error


def _opened(data: bytes, name: str) -> Image.Image:
    """The picture with its header read, if its size is allowed."""
    from PIL import Image

    check_file_bytes(len(data), name)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures; refused below
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:
        raise ValueError(
            f"{name}: not a readable picture ({_reason(data, error)}), allowed are "
            f"{', '.join(FORMATS)}: replace or remove it"
        ) from error

    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{name}: {width} x {height} px, allowed are {MAX_PIXELS:,} pixels: make it smaller or "
            "remove it"
        )
    return image


def _reason(data: bytes, error: Exception) -> str:
    """Why a file is not readable."""
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1"):
        return "it is HEIC, as telephones store photos"
    if type(error).__name__ == "UnidentifiedImageError":
        return "it has none of the formats that are read"
    return _first_line(error)


def _first_line(error: Exception) -> str:
    """What an error says, or its kind."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _turn(image: Image.Image) -> object:
    """The orientation in the EXIF data; broken data turn nothing."""
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # of many kinds on damaged files
        return None


def _upright_size(image: Image.Image, turn: object) -> tuple[int, int]:
    """Width and height when it is turned."""
    # Pillow gives the size of a TIFF file upright, while its EXIF data still say how to turn it.
    lies = turn in _SIDEWAYS and image.format != "TIFF"
    width, height = image.size
    return (height, width) if lies else (width, height)


def _check_exact(size: tuple[int, int], name: str, rule: PictureRule) -> None:
    """Refuse another size, where the rule is exact."""
    width, height = size
    if rule.fit == "exact" and size != (rule.size_px, rule.size_px):
        raise ValueError(
            f"{name}: {width} x {height} px, wanted {rule.size_px} x {rule.size_px}: set "
            "prepare.size_px to the size of the pictures, or prepare.fit to crop, pad or stretch"
        )
