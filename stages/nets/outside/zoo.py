"""Architectures of torchvision and timm, with weights from safetensors files."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from stages.nets.outside.libraries import extra, fault
from stages.settings.outside import Described
from stages.settings.read import nearest

NOT_OF_A_NET = ("pretrained", "weights", "progress", "checkpoint", "cache")
"""How arguments begin by which torchvision and timm load weights from elsewhere, some with pickle."""


def from_zoo(path: Path, described: Described, device: torch.device) -> nn.Module:
    """A net of torchvision or timm, with weights from a safetensors file.

    Raises:
        ValueError: no such architecture, or the weights are of another one.
    """
    made = _torchvision if described.format == "torchvision" else _timm
    state = _weights(path)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of initial weights, which are replaced
        net = made(described, path)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"{path} holds weights of another net than {described.architecture} with "
            f"{len(described.classes)} classes: {fault(error)}"
        ) from error
    return net.eval().requires_grad_(False).to(device)


def _torchvision(described: Described, path: Path) -> nn.Module:
    from torchvision import models

    _check_listed(described, models.list_models(module=models), path)
    return _built(models.get_model, described, path, weights=None)


def _timm(described: Described, path: Path) -> nn.Module:
    timm = extra("timm", "timm")
    _check_listed(described, timm.list_models(), path)  # others would be looked for on the Internet
    return _built(timm.create_model, described, path, pretrained=False)


def _check_listed(described: Described, known: list[str], path: Path) -> None:
    if described.architecture not in known:
        words = nearest(described.architecture, known)
        raise ValueError(
            f"{path}: architecture is {described.architecture!r}, unknown to {described.format}"
            f"{words[:300]}"
        )


def _built(make: Callable[..., nn.Module], described: Described, path: Path, **more: Any) -> Any:
    """A net with as many outputs as there are classes."""
    for key in described.arguments:
        if key.startswith(NOT_OF_A_NET):
            raise ValueError(
                f"{path}: arguments has {key!r}, by which {described.format} loads weights: take it "
                "away, the weights are those of file; allowed are arguments of the architecture"
            )

    try:
        return make(
            described.architecture,
            num_classes=len(described.classes),
            **more,
            **described.arguments,
        )
    except Exception as error:  # each architecture raises its own kinds
        raise ValueError(
            f"{path}: {described.format} cannot make {described.architecture} with the arguments "
            f"{described.arguments}: {fault(error)}"
        ) from error


def _weights(path: Path) -> dict[str, Tensor]:
    """The arrays of a safetensors file, on the host."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is not a safetensors file: {fault(error)}") from error
