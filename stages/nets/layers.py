"""Sizes, parameters and multiply-accumulates of every network, without torch.

The modules of `stack` are built from the same layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stages.settings.inputs import Inputs


@dataclass(frozen=True)
class Layer:
    """One layer: `conv` and `fc` are followed by a ReLU, `linear` (a bottleneck) and `out` are not.

    `inputs` and `outputs` are channels for `conv` and `pool`, features for the others; `kernel` is
    the side of a filter or pool window, `stride` its step; `map_px` are height and width of the
    output map. A `normalised` convolution has batch norm in front of its ReLU, and no biases.
    """

    kind: str  # conv | pool | linear | fc | out
    name: str
    inputs: int
    outputs: int
    kernel: int = 1
    map_px: tuple[int, int] = (1, 1)
    stride: int = 1
    normalised: bool = False

    @property
    def params(self) -> int:
        """Weights and biases; of batch norm its factors and shifts."""
        if self.kind == "pool":
            return 0
        if self.normalised:
            return self.kernel**2 * self.inputs * self.outputs + 2 * self.outputs
        return self.kernel**2 * self.inputs * self.outputs + self.outputs

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image in a forward pass, without biases and pools."""
        if self.kind == "pool":
            return 0
        return self.kernel**2 * self.inputs * self.outputs * math.prod(self.map_px)


def chain(
    layout: str,
    convs: Sequence[int],
    hidden: Sequence[int],
    *,
    kernel: int,
    pool: int,
    stride: int | None = None,
    bottleneck: int | None,
    classes: int,
    inputs: Inputs,
    normalised: bool = False,
) -> tuple[Layer, ...]:
    """Layers of a net: convolutions and pools, then a bottleneck, hidden layers and the output.

    >>> images = Inputs.images(32)
    >>> net = chain("cp", [8], [16], kernel=5, pool=2, bottleneck=None, classes=10, inputs=images)
    >>> [(layer.kind, layer.outputs, layer.params) for layer in net]
    [('conv', 8, 608), ('pool', 8, 0), ('fc', 16, 32784), ('out', 10, 170)]

    Args:
        layout: a `c` per convolution (stride 1, same size) and a `p` per max-pool, in order; at its
            end may be a `g`, a max-pool of the whole map.
        convs: filters of each convolution, as many as `layout` has `c`.
        hidden: units of each fully connected ReLU layer.
        kernel: side of the filters, odd; the padding is kernel // 2.
        pool: side of the pools' windows; a remainder at the border is dropped.
        stride: step of the pools; None for the side, windows that do not overlap.
        bottleneck: units of the linear layer in front of the hidden ones; None for none.
        classes: outputs.
        inputs: what the first layer sees.
        normalised: the convolutions have batch norm.

    Raises:
        ValueError: the images or vectors are too small for the pools.
    """
    assert layout.count("c") == len(convs)
    *sides, channels = inputs.map
    step = stride or pool
    _check_pools(inputs, layout.count("p"), pool, step)

    # Convolutions and pools, in the order of the layout.
    layers: list[Layer] = []
    filters = iter(convs)
    for position, letter in enumerate(layout):
        name = f"{'conv' if letter == 'c' else 'pool'}{layout[: position + 1].count(letter)}"
        size = (sides[0], sides[1])

        if letter == "c":
            width = next(filters)
            layers.append(Layer("conv", name, channels, width, kernel, size, normalised=normalised))
            channels = width
        elif letter == "g":
            layers.append(Layer("pool", "pool", channels, channels, sides[0], (1, 1), sides[0]))
            sides = [1, 1]
        else:
            sides = [(side - pool) // step + 1 for side in sides]
            layers.append(Layer("pool", name, channels, channels, pool, (sides[0], sides[1]), step))

    # Linear layers, on the flattened map.
    features = channels * math.prod(sides)

    if bottleneck is not None:
        layers.append(Layer("linear", "bottleneck", features, bottleneck))
        features = bottleneck

    for index, width in enumerate(hidden, start=1):
        layers.append(Layer("fc", f"fc{index}", features, width))
        features = width

    return (*layers, Layer("out", "out", features, classes))


def _check_pools(inputs: Inputs, pools: int, pool: int, step: int) -> None:
    """Raise ValueError where `inputs` are too small for so many pools one after another."""
    smallest = 1
    for _ in range(pools):
        smallest = (smallest - 1) * step + pool

    height, width, _ = inputs.map
    if min(height, width) >= smallest:
        return

    if inputs.is_vectors:
        raise ValueError(
            f"{inputs.words} are too small for a pool of {pool}x{pool}: "
            "give all features as one axis (prepare.shape)"
        )

    apart = "" if step == pool else f" with stride {step}"
    raise ValueError(
        f"images of {inputs.words} are too small for {pools} pools of {pool}x{pool}{apart}:"
        f" use images of at least {smallest} px (prepare.source) or a net with fewer pools"
    )


def count(layers: Sequence[Layer]) -> int:
    """Weights and biases of all layers, the output layer included."""
    return sum(layer.params for layer in layers)


def macs(layers: Sequence[Layer]) -> int:
    """Multiply-accumulates of one image in a forward pass."""
    return sum(layer.macs for layer in layers)


def width_in(box: Sequence[int], control: float) -> float:
    """Width before rounding: `control` in [0, 1] placed between the two ends of `box`."""
    low, high = box
    return low + (high - low) * control


def check_box(box: Sequence[int], parameter: str) -> None:
    """Raise ValueError unless `box` is two whole numbers, 1 <= low <= high."""
    whole = len(box) == 2 and all(isinstance(end, int) and end is not True for end in box)
    if not whole or not 1 <= box[0] <= box[1]:
        raise ValueError(
            f"a width box must be two whole numbers, 1 <= low <= high, got {list(box)}: "
            f"change {parameter}"
        )


def to_multiple(width: float, multiple: int) -> int:
    """The multiple nearest to `width`, half to even; at least one `multiple`."""
    return max(multiple, multiple * round(width / multiple))


def check_multiple(multiple: int, parameter: str) -> None:
    """Raise ValueError unless `multiple` is a whole number of at least 1."""
    if not isinstance(multiple, int) or multiple is True or multiple < 1:
        raise ValueError(
            f"widths are multiples of a whole number of at least 1, got {multiple}: "
            f"change {parameter}"
        )


def check_control(name: str, value: float, low: float, parameter: str) -> None:
    """Raise ValueError unless `value` is in [low, 1]; NaN is refused too."""
    if not low <= value <= 1:
        raise ValueError(f"{name} must be in [{low:g}, 1], got {value}: change {parameter}")
