"""Outputs of the reported nets on the test images.

A trial table holds the sha256 of each net's outputs, so that what depends on the tables depends on
the outputs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stages.store.tensors import read_tensors, write_tensors

Nets = Mapping[int, np.ndarray]
"""Number of a trial, a retraining or a member -> logits float32 (n, classes)."""


def fingerprint(logits: np.ndarray) -> str:
    """sha256 of one net's outputs, float32 (n, classes), as hex."""
    return hashlib.sha256(np.ascontiguousarray(logits, "<f4").tobytes()).hexdigest()


def mean_logits(nets: Nets, weights: Sequence[float] | None = None) -> np.ndarray:
    """Outputs of an ensemble: the mean of its members', float64 (n, classes) (section 2.7).

    Args:
        weights: ours: of each, with the sum 1; None where all are equal.
    """
    total = np.zeros(next(iter(nets.values())).shape, np.float64)
    if weights is not None:
        for net, weight in zip(nets.values(), weights, strict=True):
            total += weight * net
        return total

    for net in nets.values():
        total += net
    return total / len(nets)


def write_test_logits(path: Path, kinds: Mapping[str, Nets]) -> None:
    """Write the outputs of several kinds of nets, e.g. `trials` and `retrained`.

    A kind without nets has no array.
    """
    numbers = {kind: list(nets) for kind, nets in kinds.items()}
    arrays = {
        kind: np.stack([*nets.values()]).astype(np.float32) for kind, nets in kinds.items() if nets
    }

    write_tensors(path, arrays, {"numbers": numbers})


def read_test_logits(path: Path) -> dict[str, dict[int, np.ndarray]]:
    """What `write_test_logits` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or holds something else.
    """
    arrays, header = read_tensors(path)
    kinds = {}

    try:
        for kind, numbers in header["numbers"].items():
            outputs = arrays[kind] if numbers else np.zeros((0, 0, 0), np.float32)

            if outputs.dtype != np.float32 or outputs.ndim != 3:
                raise ValueError(f"array {kind} is {outputs.dtype} {outputs.shape}")
            if len(set(numbers)) < len(numbers) or any(type(each) is not int for each in numbers):
                raise ValueError(f"numbers of {kind} are {numbers}")

            kinds[kind] = dict(zip(numbers, outputs, strict=True))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path} holds no outputs of nets ({error}): delete it and run 'dvc repro' again"
        ) from error

    return kinds
