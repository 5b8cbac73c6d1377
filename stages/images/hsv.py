"""The HSV colour space, and the colour jitter in it.

Elementwise and branch-free: conditions are selections over whole tensors, so the same code runs on
any device and a pixel's result depends on nothing but that pixel. A grey pixel has hue 0 and
saturation 0, a black one value 0, as in `colorsys`.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
import torch
from torch import Tensor

from stages.images.draws import JITTER

Planes = tuple[Tensor, Tensor, Tensor]


def rgb_planes_to_hsv(r: Tensor, g: Tensor, b: Tensor) -> Planes:
    """Hue, saturation and value, in [0, 1], of three equal-shaped planes in [0, 1]."""
    v = torch.maximum(torch.maximum(r, g), b)
    delta = v - torch.minimum(torch.minimum(r, g), b)
    s = delta / torch.where(v > 0, v, 1.0)

    # Hue in sixths of the circle, by the largest channel
    safe = torch.where(delta > 0, delta, 1.0)
    h = torch.where(r == v, (g - b) / safe, 2.0 + (b - r) / safe)
    h = torch.where((b == v) & (r < v) & (g < v), 4.0 + (r - g) / safe, h) / 6.0
    return h - torch.floor(h), s, v


def hsv_planes_to_rgb(h: Tensor, s: Tensor, v: Tensor, out: Planes) -> None:
    """Write red, green and blue into `out`; h of any real value (it wraps), s and v in [0, 1].

    A channel is v on the third of the hue circle around its own hue, v - s v on the third opposite,
    and linear in between: six times the distance from the opposite hue, bounded by one and two,
    counts.
    """
    turn = h - h.floor()  # [0, 1]
    chroma = s * v
    low = torch.sub(v, chroma, alpha=2.0)
    high = v + chroma

    # no wrap beyond [0, 1] is near enough to count, but for red, whose opposite hue is in the
    # middle
    for centre, base, sign, channel in zip(
        (3, 2, 4), (low, high, high), (6.0, -6.0, -6.0), out, strict=True
    ):
        distance = turn.sub(centre / 6).abs_().clamp_(1 / 6, 1 / 3)
        torch.addcmul(base, chroma, distance, value=sign, out=channel)


def rgb_to_hsv(rgb: Tensor) -> Tensor:
    """RGB (..., 3) in [0, 1] to HSV (..., 3) in [0, 1], float64, on the same device."""
    return torch.stack(rgb_planes_to_hsv(*rgb.to(torch.float64).unbind(-1)), dim=-1)


def hsv_to_rgb(hsv: Tensor) -> Tensor:
    """HSV (..., 3), s and v in [0, 1], to RGB (..., 3) in [0, 1], float64, on the same device."""
    hsv = hsv.to(torch.float64)
    rgb = torch.empty_like(hsv)

    h, s, v = hsv.unbind(-1)
    r, g, b = rgb.unbind(-1)
    hsv_planes_to_rgb(h, s, v, (r, g, b))
    return rgb


@dataclass(frozen=True)
class Jitter:
    """Constants of the colour jitter: D_h, D_s, D_v, A_s, A_v (Urban et al. 2017, section 2.5).

    Per image d_x ~ U(-D_x, D_x) and a_x ~ U(1 / (1 + A_x), 1 + A_x); then h' = (h + d_h) mod 1,
    s' = clip(a_s s + d_s, 0, 1), v' = clip(a_v v + d_v, 0, 1). The text leaves the order of scale
    and shift open; scale first is the reading taken. All zero: no jitter.

    Raises:
        ValueError: a constant is negative or not finite, or the hue constant exceeds 1/2.
    """

    hue: float
    saturation: float
    value: float
    saturation_scale: float
    value_scale: float

    def __post_init__(self) -> None:
        for name, constant in vars(self).items():
            high = 0.5 if name == "hue" else np.finfo(np.float64).max
            if not 0 <= constant <= high:
                allowed = "0 to 0.5" if name == "hue" else "finite numbers >= 0"
                raise ValueError(f"jitter constant {name} is {constant}, allowed are {allowed}")

    @property
    def off(self) -> bool:
        """Whether every constant is zero, so that the jitter is the identity."""
        return not any(astuple(self))

    def factors(self, draws: np.ndarray) -> np.ndarray:
        """d_h, d_s, d_v, a_s, a_v of each image, float64 (n, 5), from draws uint16 (n, >= 5).

        On the CPU and in numpy, so that every device jitters with the same numbers.
        """
        unit = (draws[:, JITTER].astype(np.float64) + 0.5) / 65536.0  # (0, 1), mean exactly 1/2

        shift = np.array([self.hue, self.saturation, self.value])
        shifts = (2.0 * unit[:, :3] - 1.0) * shift

        spread = 1.0 + np.array([self.saturation_scale, self.value_scale])
        low = 1.0 / spread
        scales = low + (spread - low) * unit[:, 3:]

        return np.concatenate([shifts, scales], axis=1)
