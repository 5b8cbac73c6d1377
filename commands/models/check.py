"""Whether an exported file gives what the net gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
    return np.concatenate([batch_outputs(runner, part, name) for part in batches(inputs)])


def batch_outputs(runner: Runner, inputs: np.ndarray, name: str = "the net") -> np.ndarray:
    """The same, computed at once."""
    try:
        return runner(inputs)
    except Exception as error:  # torch and onnxruntime raise many kinds
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{name} does not take {inputs.dtype} {inputs.shape} ({reason})"
        ) from error


def finite(logits: np.ndarray) -> np.ndarray:
    """bool (n,): whether all logits of an input are finite numbers."""
    return np.isfinite(logits).all(axis=1)


def check_finite(name: str, logits: np.ndarray) -> None:
    """Check that a net has an answer to every input.

    Args:
        name: of what gave the logits, for the error.
        logits: float32 (n, classes).

    Raises:
        ValueError: some are not finite numbers.
    """
    bad = np.flatnonzero(~finite(logits))
    if len(bad):
        raise ValueError(
            f"{name} gives outputs that are not finite numbers, for {len(bad)} of {len(logits)} "
            f"inputs, first for number {bad[0]}"
        )


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
        ValueError: it is larger, or a logit is not finite.
    """
    if logits.shape != wanted.shape:
        raise ValueError(f"{name} gives outputs of shape {logits.shape}, wanted {wanted.shape}")
    check_finite(name, logits)
    check_finite("the net", wanted)

    largest = float(_differences(logits, wanted).max())
    limit = allowed(wanted, share)
    if not largest <= limit:
        raise ValueError(
            f"{name} gives other outputs: largest difference {largest:.2g}, allowed {limit:.2g}"
        )

    return largest


@dataclass(frozen=True)
class CheckedInputs:
    """Inputs on which files are compared with the net.

    Attributes:
        tested: test images or vectors (n, ...).
        wanted: what the net answers to them, logits float32 (n, classes).
        made: what a made-up input is -> the input, see `made_up`.
        wanted_of_made: logits of these, float32 (m, classes).
    """

    tested: np.ndarray
    wanted: np.ndarray
    made: dict[str, np.ndarray]
    wanted_of_made: np.ndarray

    @classmethod
    def of(cls, runner: Runner, tested: np.ndarray, made: dict[str, np.ndarray]) -> CheckedInputs:
        """Inputs, and what a net answers to them.

        Raises:
            ValueError: some answers are not finite.
        """
        sample = cls(
            tested,
            outputs(runner, tested),
            made,
            outputs(runner, np.stack([*made.values()])),
        )
        check_finite("the net", sample.wanted)
        sample._check_finite("the net", sample.wanted_of_made)
        return sample

    def compare(self, name: str, runner: Runner) -> float:
        """Largest difference of a logit on test inputs, where made-up ones are answered right too.

        Args:
            name: of the file, for errors.
            runner: of the file.

        Raises:
            ValueError: the file gives other outputs, some that are not finite, or takes no such
                inputs.
        """
        largest = compare(name, outputs(runner, self.tested, name), self.wanted)

        logits = outputs(runner, np.stack([*self.made.values()]), name)
        self._check_finite(name, logits)
        self._compare_made(name, logits)
        return largest

    def _check_finite(self, name: str, logits: np.ndarray) -> None:
        for what, good in zip(self.made, finite(logits), strict=True):
            if not good:
                raise ValueError(
                    f"{name} gives outputs that are not finite numbers for a made-up input ({what})"
                )

    def _compare_made(self, name: str, logits: np.ndarray) -> None:
        """Each made-up input has its own limit: some have far larger logits than any real one."""
        largest = _differences(logits, self.wanted_of_made).max(axis=1)
        limits = np.maximum(
            allowed(self.wanted), TOLERANCE * np.abs(self.wanted_of_made).max(axis=1)
        )
        for what, difference, limit in zip(self.made, largest, limits, strict=True):
            if difference > limit:
                raise ValueError(
                    f"{name} gives other outputs for a made-up input ({what}): largest difference "
                    f"{difference:.2g}, allowed {limit:.2g}"
                )


def _differences(logits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Size of each logit's difference, float64."""
    return np.abs(logits.astype(np.float64) - wanted)
