"""Weights of a network as safetensors, with the description from which it is built again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.store.tensors import read_tensors, write_tensors


def to_arrays(state: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """A state dict as contiguous numpy arrays on the host."""
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in state.items()}


def to_tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The inverse of `to_arrays`."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def save_weights(
    path: Path, state: Mapping[str, torch.Tensor], description: Mapping[str, Any]
) -> str:
    """Write a state dict and its net's description; returns the digest of the weights."""
    return write_tensors(path, to_arrays(state), description)


def load_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """State dict and description of `path`; errors as in `read_tensors`."""
    arrays, header = read_tensors(path)
    return to_tensors(arrays), header
