"""Whether an exported file gives what the net gives; used by export before it leaves a file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from commands.models.programs import Runner

TOLERANCE = 1e-4
"""Largest difference of a logit that is allowed, as a share of the largest logit (by size) of the
sample. Nets of 3k to 10M parameters differed by 2.5e-6 of it at most between torch and onnxruntime
(float32, CPU), with wrong weights by far more."""
ANOTHER_NET = 0.05
"""The same between these weights and the outputs that the run has stored, which may be from another
machine or in bfloat16. A net of another trial differs by more."""
BATCH = 64


def batches(inputs: np.ndarray) -> Iterator[np.ndarray]:
    """One input, then seven, then the others in batches: a file that takes one number only is found
    out.
    """
    edges = [0, 1, 8, *range(8 + BATCH, len(inputs), BATCH), len(inputs)]
    for start, stop in zip(edges, edges[1:], strict=False):
        if start < min(stop, len(inputs)):
            yield inputs[start:stop]


def outputs(runner: Runner, inputs: np.ndarray, name: str = "the net") -> np.ndarray:
    """Logits float32 (n, classes) in the batches of `batches`; `name` is what an error calls the
    runner.

    Raises:
        ValueError: the net cannot take one of them.
    """
    found = []
    for part in batches(inputs):
        try:
            found.append(runner(part))
        except Exception as error:  # torch and onnxruntime raise many kinds
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{name} does not take {part.dtype} {part.shape} ({reason})"
            ) from error
    return np.concatenate(found)


def allowed(wanted: np.ndarray, share: float = TOLERANCE) -> float:
    """Largest difference of a logit that is allowed from these."""
    return share * float(np.abs(wanted).max())


def compare(name: str, found: np.ndarray, wanted: np.ndarray, share: float = TOLERANCE) -> float:
    """Largest difference of a logit.

    Args:
        name: of what gave `found`, for the error.
        share: how large it may be, as a share of the largest logit.

    Raises:
        ValueError: it is larger, or not a number.
    """
    if found.shape != wanted.shape:
        raise ValueError(f"{name} gives outputs of shape {found.shape}, wanted {wanted.shape}")
    largest = float(np.abs(found.astype(np.float64) - wanted).max())
    if not largest <= allowed(wanted, share):
        limit = allowed(wanted, share)
        raise ValueError(
            f"{name} gives other outputs: largest difference {largest:.2g}, allowed {limit:.2g}"
        )
    return largest
