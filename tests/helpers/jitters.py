"""Constants of the colour jitter: the paper's, and none."""

from __future__ import annotations

from stages.images.hsv import Jitter

PAPER = Jitter(hue=0.06, saturation=0.26, value=0.20, saturation_scale=0.21, value_scale=0.13)
OFF = Jitter(0.0, 0.0, 0.0, 0.0, 0.0)
