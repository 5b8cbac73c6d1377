"""The input layer of every network: images to standardised pixels, vectors to maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stages.settings.inputs import Inputs


class Standardise(nn.Module):
    """Each image minus its own mean, divided by its own standard deviation, times `input_scale`.

    Mean and population deviation run over all 3 * s * s values of one image (Urban et al. 2017,
    section 2.5), which removes contrast and brightness: uint8 images and the same images in [0, 1]
    give the same pixels, to rounding. Students tune `input_scale` (section 2.8). Ours: 1e-8 is
    added to the deviation. Part of the network, so that images stay uint8 until on the device.

    Args:
        input_scale: factor of the standardised pixels, above 0; not a weight and not in the state.
        eps: added to the deviation; an image of one grey gives zeros.
    """

    def __init__(self, input_scale: float = 1.0, eps: float = 1e-8) -> None:
        super().__init__()
        _check_scale(input_scale)
        self.input_scale = float(input_scale)
        self.eps = float(eps)

    def forward(self, images: Tensor) -> Tensor:
        """(n, s, s, 3) uint8 or float -> (n, 3, s, s) float32, channels-last in memory."""
        if images.dim() != 4 or images.shape[-1] != 3:
            raise ValueError(
                f"images must be (n, size, size, 3), got {tuple(images.shape)}: move the channels"
            )

        pixels = images.to(torch.float32).contiguous()

        # A sum of equal floats is not exact, and its error would be divided by itself. Less its
        # first value, an image of one grey is exactly zero on every device.
        pixels = pixels - pixels[:, :1, :1, :1]
        pixels = pixels - pixels.mean(dim=(1, 2, 3), keepdim=True)

        deviation = pixels.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        return (pixels * (self.input_scale / (deviation + self.eps))).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """Shown when a net is printed."""
        return f"input_scale={self.input_scale:g}, eps={self.eps:g}"


class Scaled(nn.Module):
    """Vectors times `input_scale`, as maps; `prepare` has standardised each feature.

    Args:
        inputs: vectors.
        input_scale: factor, above 0; not a weight and not in the state.

    Raises:
        ValueError: `inputs` are images, or a factor that is not above 0.
    """

    def __init__(self, inputs: Inputs, input_scale: float = 1.0) -> None:
        super().__init__()
        if inputs.shape is None:
            raise ValueError(f"Scaled takes vectors, got images of {inputs.words}: use Standardise")
        _check_scale(input_scale)
        self.shape = inputs.shape
        self.map = inputs.map
        self.input_scale = float(input_scale)

    def forward(self, vectors: Tensor) -> Tensor:
        """(n, *shape) -> (n, channels, frames, features) float32, channels-last in memory.

        Without frames the map is one pixel.
        """
        if tuple(vectors.shape[1:]) != self.shape:
            raise ValueError(
                f"vectors must be (n, {', '.join(map(str, self.shape))}), got {tuple(vectors.shape)}"
            )

        maps = vectors.to(torch.float32).reshape(len(vectors), *self.map)
        return (maps * self.input_scale).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """Shown when a net is printed."""
        return f"shape={self.shape}, input_scale={self.input_scale:g}"


def _check_scale(input_scale: float) -> None:
    if not input_scale > 0:
        raise ValueError(f"input_scale must be above 0, got {input_scale}: change space")
