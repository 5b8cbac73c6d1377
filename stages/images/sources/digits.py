"""Cluttered digits: a small image task made from scikit-learn's bundled digits.

Needs no download. The 1,797 handwritten digits are divided into training, validation and test
digits before anything is composed, so no stroke of a test image occurs in another set. The mirror
must be off in the augmentation of this task: it turns digits into other shapes.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage

from stages.images.sources.labelled import Labelled, Source

_SHARES = {"train": (0.0, 0.6), "validation": (0.6, 0.8), "test": (0.8, 1.0)}
_PAD = 2  # pixels of zeros around the 8 x 8 digits, so that their edges fade out


@dataclass(frozen=True)
class DigitsSettings:
    """How an image is composed; lengths in pixels of the final image.

    Raises:
        ValueError: a setting is out of range.
    """

    size_px: int = 32
    digit_min_px: float = 18.0
    digit_max_px: float = 26.0
    centre_jitter_px: float = 5.0
    rotation_degrees: float = 10.0
    clutter_pieces: int = 2
    clutter_px: int = 9
    contrast: float = 0.5  # share of full brightness that ink adds, the rest is background
    noise: float = 0.3  # strength of the background, 0 is flat grey
    octaves: int = 4  # noise grids of 2, 4, 8, ... points a side, each half as strong

    def __post_init__(self) -> None:
        limits = {
            "octaves": (1, 8),
            "size_px": (2 ** min(self.octaves, 8), 256),
            "digit_min_px": (1, self.digit_max_px),
            "digit_max_px": (1, 2 * self.size_px),
            "centre_jitter_px": (0, self.size_px),
            "rotation_degrees": (0, 180),
            "clutter_pieces": (0, 100),
            "clutter_px": (1, self.size_px),
            "contrast": (0, 1),
            "noise": (0, 10),
        }

        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}, allowed are {low} to {high}")


def cluttered_digits(
    seed: int, train: int, validation: int, test: int, settings: DigitsSettings | None = None
) -> Source:
    """Coloured digits on coloured noise, with pieces of other digits as clutter.

    Image i of a split depends on (seed, split, i) and the settings only, so that a larger set
    extends a smaller one.

    Args:
        seed: integer from 0 to 2**32 - 1.
        train, validation, test: number of images of each split.
        settings: how they are composed; None for the defaults.

    Returns:
        Training images and, as their last, validation images; test images; class names "0".."9".

    Raises:
        ValueError: the seed or a number of images is out of range.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}, allowed are integers from 0 to 2**32 - 1")

    settings = settings or DigitsSettings()

    sets = {}
    for split, count in (("train", train), ("validation", validation), ("test", test)):
        if count < 0:
            raise ValueError(f"{split} is {count}, allowed are integers >= 0")
        sets[split] = _make(seed, split, count, settings)

    pool = Labelled(
        np.concatenate([sets["train"].images, sets["validation"].images]),
        np.concatenate([sets["train"].labels, sets["validation"].labels]),
    )
    return Source(pool, sets["test"], tuple("0123456789"))


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Spline coefficients of the padded digits, float64 (1797, 12, 12), and their labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    ink = np.pad(data.images / 16.0, ((0, 0), (_PAD, _PAD), (_PAD, _PAD)))
    coefficients = np.stack([ndimage.spline_filter(image, order=3) for image in ink])
    return coefficients, data.target.astype(np.int64)


def _pool(seed: int, split: str) -> np.ndarray:
    """Sorted positions of the split's digits: its share of each class, drawn by the seed."""
    labels = _digits()[1]
    low, high = _SHARES[split]
    raw = np.random.Philox(np.random.SeedSequence((seed, zlib.crc32(b"pools"))))
    keys = raw.random_raw(len(labels))

    parts = []
    for digit in range(10):
        members = np.flatnonzero(labels == digit)
        members = members[np.argsort(keys[members], kind="stable")]
        parts.append(members[round(low * len(members)) : round(high * len(members))])

    return np.sort(np.concatenate(parts))


def _make(seed: int, split: str, count: int, settings: DigitsSettings) -> Labelled:
    """The images of one split."""
    labels = _digits()[1]
    pool = _pool(seed, split)
    size = settings.size_px
    images = np.empty((count, size, size, 3), dtype=np.uint8)
    digits = np.empty(count, dtype=np.int64)

    for i in range(count):
        words = np.random.SeedSequence((seed, zlib.crc32(split.encode()), i))

        # of the generator only random() is used: the plain conversion of the raw stream
        rng = np.random.Generator(np.random.Philox(words))

        digit = pool[_index(rng, len(pool))]
        images[i] = _compose(rng, digit, pool[pool != digit], settings)
        digits[i] = labels[digit]

    return Labelled(images, digits)


def _compose(
    rng: np.random.Generator, digit: int, others: np.ndarray, settings: DigitsSettings
) -> np.ndarray:
    """One image, uint8 (s, s, 3): noise, clutter over it, the digit on top."""
    size = settings.size_px
    piece = settings.clutter_px
    noise = _noise(rng, settings)
    layer = np.zeros((size, size, 3))  # what the ink adds, in [0, 1]

    for _ in range(settings.clutter_pieces):
        other = others[_index(rng, len(others))]
        off = 4.0 * rng.random(2) - 2.0  # where in the 8 x 8 digit the piece is cut
        ink = _ink(rng, other, piece, settings, off, np.zeros(2))
        row = _index(rng, size - piece + 1)
        column = _index(rng, size - piece + 1)
        _paint(layer[row : row + piece, column : column + piece], ink, _colour(rng))

    shift = (2.0 * rng.random(2) - 1.0) * settings.centre_jitter_px
    _paint(layer, _ink(rng, digit, size, settings, np.zeros(2), shift), _colour(rng))

    mixed = (1.0 - settings.contrast) * noise + settings.contrast * layer
    return np.rint(255.0 * mixed).astype(np.uint8)


def _index(rng: np.random.Generator, count: int) -> int:
    return int(rng.random() * count)


def _colour(rng: np.random.Generator) -> np.ndarray:
    """A random colour, float64 (3,), its largest channel 1."""
    colour = rng.random(3)
    return colour / max(colour.max(), 1e-12)


def _paint(layer: np.ndarray, ink: np.ndarray, colour: np.ndarray) -> None:
    """Cover `layer` (s, s, 3) in place by the colour where there is ink (s, s) in [0, 1]."""
    layer += ink[:, :, None] * (colour - layer)


def _ink(
    rng: np.random.Generator,
    digit: int,
    side: int,
    settings: DigitsSettings,
    source: np.ndarray,
    shift: np.ndarray,
) -> np.ndarray:
    """Ink of a digit, float64 (side, side) in [0, 1], at a random size and rotation.

    Point `source` of the digit (its own pixels, from the centre) goes to `shift` from the centre.
    """
    digit_px = settings.digit_min_px
    digit_px += (settings.digit_max_px - settings.digit_min_px) * rng.random()

    angle = math.radians((2.0 * rng.random() - 1.0) * settings.rotation_degrees)
    cos = math.cos(angle) * 8.0 / digit_px
    sin = math.sin(angle) * 8.0 / digit_px
    turn = np.array([[cos, -sin], [sin, cos]])
    row, column = (side - 1) / 2.0 + shift

    # written out: a matrix product may round differently on another processor
    moved = np.array([cos * row - sin * column, sin * row + cos * column])
    offset = 3.5 + _PAD + source - moved

    ink = ndimage.affine_transform(
        _digits()[0][digit], turn, offset, (side, side), order=3, prefilter=False
    )
    return np.clip(ink, 0.0, 1.0)


@cache
def _ramps(size_px: int, octaves: int) -> list[np.ndarray]:
    """Linear interpolation from 2, 4, 8, ... points to size_px, each float64 (size_px, points)."""
    sides = [2 ** (k + 1) for k in range(octaves)]
    return [ndimage.zoom(np.eye(side), (size_px / side, 1.0), order=1) for side in sides]


def _noise(rng: np.random.Generator, settings: DigitsSettings) -> np.ndarray:
    """Smooth noise of each channel, float64 (s, s, 3) in [0, 1], around 1/2."""
    total = np.zeros((3, settings.size_px, settings.size_px))
    for k, ramp in enumerate(_ramps(settings.size_px, settings.octaves)):
        grid = 2.0 * rng.random((3, ramp.shape[1], ramp.shape[1])) - 1.0
        total += ramp @ grid @ ramp.T * 0.5**k
    return np.clip(0.5 + 0.5 * settings.noise * total.transpose(1, 2, 0), 0.0, 1.0)
