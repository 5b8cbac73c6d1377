"""A net without its bottleneck: the two linear layers multiplied into one, same function."""

from __future__ import annotations

import copy
from collections import OrderedDict

import torch
from torch import nn


@torch.no_grad()
def absorb(net: nn.Sequential) -> nn.Sequential:
    """A new net, one layer fewer, with the bottleneck multiplied into the layer after it.

    A linear layer in front of a linear layer adds parameters, not functions (Urban et al. 2017,
    section 2.3): it makes wide layers trainable within a budget and is not needed afterwards. The
    product is taken in float64; nothing is shared with `net`.

    Args:
        net: `mlp1`, `conv1` or `snn-2014`, with a linear layer `bottleneck` followed by another
            linear layer.

    Raises:
        ValueError: the net has no such layer.
    """
    # The two layers
    modules = OrderedDict(net.named_children())
    names = list(modules)
    first = modules.get("bottleneck")
    after = names[names.index("bottleneck") + 1] if first is not None else ""
    second = modules.get(after)
    if not isinstance(first, nn.Linear) or not isinstance(second, nn.Linear):
        raise ValueError(
            f"no bottleneck to absorb in {', '.join(names)}: only mlp1, conv1 and snn-2014 have one"
        )

    # Their product
    merged = nn.Linear(
        first.in_features,
        second.out_features,
        device=second.weight.device,
        dtype=second.weight.dtype,
    )
    weight = second.weight.double()
    merged.weight.copy_(weight @ first.weight.double())
    merged.bias.copy_(weight @ first.bias.double() + second.bias.double())

    # Names stay in their order, so that the merged layer takes the place of the second one
    kept = {name: copy.deepcopy(module) for name, module in modules.items() if name != "bottleneck"}
    return nn.Sequential(OrderedDict({**kept, after: merged})).train(net.training)
