"""Small nets of all kinds that can be exported, with weights from a seed."""

from __future__ import annotations

from typing import Any

import torch

from stages.nets.families import FAMILIES, layers_of
from stages.nets.stack import stack
from stages.nets.teacher import build_fast_teacher, build_teacher
from stages.settings.inputs import Inputs

IMAGES = Inputs.images(32)
VECTORS = Inputs.vectors([7])
FRAMES = Inputs.vectors([8, 6])
DENSE = [name for name, family in FAMILIES.items() if not family.layout]

KINDS: dict[str, Inputs] = {
    **dict.fromkeys([*FAMILIES, "teacher", "fast teacher"], IMAGES),
    **{f"{name} of vectors": VECTORS for name in (*DENSE, "teacher")},
    **{f"{name} of frames": FRAMES for name in (*DENSE, "teacher")},
}
"""Every kind of net that can be exported, and what it takes."""


def small_net(kind: str, classes: int = 10, seed: int = 0) -> torch.nn.Sequential:
    """A net of that kind in eval mode; its weights are drawn from the seed."""
    inputs = KINDS[kind]
    net = _built(kind.partition(" of ")[0], classes, inputs)

    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in net.parameters():
            weights.copy_(torch.randn(weights.shape, generator=draws) * 0.2)
    return net.eval()


def _built(family: str, classes: int, inputs: Inputs) -> torch.nn.Sequential:
    if family == "fast teacher":
        return build_fast_teacher((4, 5, 6), (0.0,), classes, inputs)
    if family == "teacher":
        widths = (4, 5, 6, 7) if inputs.is_images else (4, 6) if inputs.has_frames else (6,)
        dropouts = 5 if inputs.is_images else 4 if inputs.has_frames else 3
        return build_teacher(widths, (0.0,) * dropouts, classes, inputs)

    known = FAMILIES[family]
    whole = known.bottleneck or known.ratios
    widths = (4,) * known.layout.count("c") + (6,) * (known.hidden - (not whole))
    dependent = None if known.ratios else 5
    return stack(layers_of(family, widths, dependent, classes, inputs), inputs, input_scale=1.7)


def description(kind: str, classes: int = 10) -> dict[str, Any]:
    """What an exported file carries, as far as readers need it."""
    names = [str(i) for i in range(classes)]
    return {"classes": names, **KINDS[kind].to_json()}
