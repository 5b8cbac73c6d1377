"""Layers to torch modules, for teachers and students alike."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from stages.nets.layers import Layer
from stages.nets.pixels import Scaled, Standardise
from stages.settings.inputs import Inputs


def stack(
    layers: Sequence[Layer],
    inputs: Inputs,
    input_scale: float = 1.0,
    dropout: Sequence[float] = (),
) -> nn.Sequential:
    """A net of named modules: (n, s, s, 3) images or (n, ...) vectors to (n, classes) float32.

    Features are flattened in the order channel, row, column, whatever the memory format.
    The weights are torch's own, for `initial.glorot_` to overwrite; torch's global generator is
    left as it was.

    Args:
        layers: as of `layers.chain`, for the same `inputs`.
        input_scale: factor of the standardised pixels, or of the vectors.
        dropout: probabilities, one after each pool and then one after each fully connected ReLU
            layer; empty for no dropout at all. Elementwise.

    Raises:
        ValueError: a wrong number of probabilities, or one outside [0, 1).
    """
    dropped = [layer.name for layer in layers if layer.kind in ("pool", "fc")]
    if dropout and len(dropout) != len(dropped):
        raise ValueError(
            f"this net has {len(dropped)} dropouts (after {', '.join(dropped)}),"
            f" got {len(dropout)}: give one per DOc and DOf of space, or none"
        )

    for p in dropout:
        if not 0 <= p < 1:
            raise ValueError(f"a dropout probability must be in [0, 1), got {p}: change space")

    probabilities = dict(zip(dropped, dropout, strict=False))

    modules: OrderedDict[str, nn.Module] = OrderedDict()
    if inputs.is_images:
        modules["standardise"] = Standardise(input_scale)
    else:
        modules["scaled"] = Scaled(inputs, input_scale)

    # New modules draw their weights from torch's global generator.
    with torch.random.fork_rng(devices=[]):
        relus = _relus(layers)
        for layer in layers:
            if layer.kind not in ("conv", "pool") and "flatten" not in modules:
                modules["flatten"] = nn.Flatten()

            modules[layer.name] = (
                _module(layer) if layer is not layers[-1] else Output(layer.inputs, layer.outputs)
            )

            if layer.name in relus:
                owner = relus[layer.name]
                if owner.normalised:
                    modules[f"norm_{owner.name}"] = nn.BatchNorm2d(owner.outputs)
                modules[f"relu_{owner.name}"] = nn.ReLU(inplace=True)
            if layer.name in probabilities:
                modules[f"dropout_{layer.name}"] = nn.Dropout(probabilities[layer.name])

    return nn.Sequential(modules)


class Output(nn.Linear):
    """The output layer, in float32 under autocast too.

    In bfloat16 a logit has one or two decimals, both losses see that, and nets lose accuracy.
    """

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, inputs) to (n, classes) float32."""
        if inputs.dtype == self.weight.dtype:  # no autocast in front of it
            return super().forward(inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            return super().forward(inputs.float())


class MaxPool(nn.MaxPool2d):
    """Maximum pooling, on a CPU without gradients by rows and then by columns.

    The largest value of a window is the largest of its rows' largest values, so the outputs are
    the same. Torch's kernel for channels-last maps keeps the place of each maximum, which only
    gradients need, and takes two to three times as long where there are few channels. An export
    has torch's operator.

    Args:
        kernel: side of a window.
        stride: from one window to the next.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__(kernel, stride)
        self.side = kernel
        self.step = stride

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, channels, rows, columns) to the same with fewer rows and columns."""
        plain = inputs.device.type != "cpu" or torch.compiler.is_compiling()
        if plain or (torch.is_grad_enabled() and inputs.requires_grad):
            return super().forward(inputs)

        rows = _largest(inputs.permute(0, 2, 3, 1), 1, self.side, self.step)
        return _largest(rows, 2, self.side, self.step).permute(0, 3, 1, 2)


def _largest(maps: torch.Tensor, axis: int, kernel: int, stride: int) -> torch.Tensor:
    """The largest of every `kernel` neighbours along an axis, from each `stride`-th on."""
    count = (maps.shape[axis] - kernel) // stride + 1
    whole = slice(None)

    def shifted(by: int) -> torch.Tensor:
        place = slice(by, by + stride * (count - 1) + 1, stride)
        return maps[(whole,) * axis + (place,)]

    largest = torch.maximum(shifted(0), shifted(1)) if kernel > 1 else shifted(0)
    for by in range(2, kernel):
        torch.maximum(largest, shifted(by), out=largest)
    return largest


def _relus(layers: Sequence[Layer]) -> dict[str, Layer]:
    """Layer after which a ReLU stands -> layer that it belongs to.

    The ReLU of a convolution in front of a pool stands behind the pool: the largest value of a
    window, cut at zero, is the largest of the cut values, so that outputs and gradients are the
    same, from a quarter of the elements. That holds where windows overlap too. Batch norm, which
    stands in front of the ReLU, goes with it, but not behind a pool that leaves one pixel.
    """
    following = [*layers[1:], layers[-1]]
    found = {}

    for layer, after in zip(layers, following, strict=True):
        if layer.kind in ("conv", "fc"):
            pooled = after.kind == "pool" and not (layer.normalised and after.map_px == (1, 1))
            found[(after if pooled else layer).name] = layer

    return found


def _module(layer: Layer) -> nn.Module:
    if layer.kind == "conv":
        sizes = layer.inputs, layer.outputs, layer.kernel
        return nn.Conv2d(*sizes, padding=layer.kernel // 2, bias=not layer.normalised)
    if layer.kind == "pool":
        return MaxPool(layer.kernel, layer.stride)
    return nn.Linear(layer.inputs, layer.outputs)
