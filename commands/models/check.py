"""Whether an exported file gives what the net gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from commands.models.programs import Runner

TOLERANCE = 1e-4
"""Largest allowed difference of a logit, as a share of the largest logit (by size) of the sample.

Nets of 3k to 10M parameters differed by 2.5e-6 of it at most between torch and onnxruntime
(float32, CPU), with wrong weights by far more.
"""

ANOTHER_NET = 0.05
"""The same between these weights and the outputs that the run has stored.

Those may be from another machine or in bfloat16. A net of another trial differs by more.
"""

BATCH = 64


def batches(inputs: np.ndarray) -> Iterator[np.ndarray]:
    """One input, then seven, then the rest in batches: no file may take one number only."""
    edges = [0, 1, 8, *range(8 + BATCH, len(inputs), BATCH), len(inputs)]
    for start, stop in zip(edges, edges[1:], strict=False):
        if start < min(stop, len(inputs)):
            yield inputs[start:stop]


def outputs(runner: Runner, inputs: np.ndarray, name: str = "the net") -> np.ndarray:
    """Logits float32 (n, classes), computed in the batches of `batches`.

    Args:
        runner: of the net.
        inputs: (n, ...), as the net takes them.
        name: what an error calls the runner.

    Raises:
        ValueError: the net cannot take one of the batches.
    """
    parts = []
    for part in batches(inputs):
        try:
            parts.append(runner(part))
        except Exception as error:  # torch and onnxruntime raise many kinds
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{name} does not take {part.dtype} {part.shape} ({reason})"
            ) from error

    return np.concatenate(parts)


def allowed(wanted: np.ndarray, share: float = TOLERANCE) -> float:
    """Largest difference of a logit that is allowed from those of `wanted`."""
    return share * float(np.abs(wanted).max())


def compare(name: str, logits: np.ndarray, wanted: np.ndarray, share: float = TOLERANCE) -> float:
    """Largest difference of a logit.

    Args:
        name: of what gave the logits, for the error.
        logits: float32 (n, classes).
        wanted: what they should be.
        share: how large the difference may be, as a share of the largest logit.

    Raises:
        ValueError: it is larger, or not a number.
    """
    if logits.shape != wanted.shape:
        raise ValueError(f"{name} gives outputs of shape {logits.shape}, wanted {wanted.shape}")

    largest = float(np.abs(logits.astype(np.float64) - wanted).max())
    limit = allowed(wanted, share)
    if not largest <= limit:
        raise ValueError(
            f"{name} gives other outputs: largest difference {largest:.2g}, allowed {limit:.2g}"
        )

    return largest
