"""What a scale will cost, before it is run: floating-point operations, bytes, hours; used by scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FLOPS_PER_MAC = 2
TRAINING_PASSES = 3
"""A training step costs about three forward passes: one forward, two backward."""

UNBOUNDED_EPOCHS = 160
"""Assumption for trials without max_epochs: the paper's number of stored epochs."""

DEVICES = {
    "one CPU core": 40e9,
    "one H200": 2e13,
}
"""Sustained operations a second. CPU core: what the run in docs/results/cpu came to (AMD EPYC, torch 2.15, fp32,
one thread, other jobs beside it). H200: assumed, about a third of its fp32 peak; not measured."""


@dataclass(frozen=True)
class Job:
    """One kind of work: `count` repetitions of `images` passes through a net.

    Attributes:
        name: stage or cell.
        macs: multiply-accumulates of one forward pass of one image.
        params: of the net.
        images: images that pass through the net in one repetition.
        count: repetitions (trials or members).
        training: whether gradients are computed.
    """

    name: str
    macs: int
    params: int
    images: int
    count: int
    training: bool = True

    @property
    def flops(self) -> float:
        """Floating-point operations of all repetitions."""
        passes = TRAINING_PASSES if self.training else 1
        return float(self.macs) * FLOPS_PER_MAC * passes * self.images * self.count


def transfer_bytes(epochs: int, images: int, size_px: int, classes: int, pixels: bool) -> int:
    """Bytes of the transfer set: uint8 pixels if kept, int32 index, uint16 label, draws, float32 logits."""
    per_image = (3 * size_px**2 if pixels else 0) + 4 + 2 + 18 + 4 * classes
    return epochs * images * per_image


def hours(flops: float, per_second: float) -> float:
    """Hours at a sustained rate."""
    return flops / per_second / 3600


def lines(jobs: Sequence[Job], on_disk: int) -> list[str]:
    """The estimate as text, one line a job, then the totals."""
    width = max(len(job.name) for job in jobs)
    out = [f"{'':{width}}  {'params':>11}  {'trials':>6}  {'images each':>12}  {'FLOP':>9}"]
    for job in jobs:
        head = f"{job.name:{width}}  {job.params:>11,}  {job.count:>6}"
        out.append(f"{head}  {job.images:>12,}  {job.flops:>9.2e}")
    total = sum(job.flops for job in jobs)
    out.append(f"{'total':{width}}  {'':>11}  {'':>6}  {'':>12}  {total:>9.2e}")
    out.append(f"transfer set on disk: {on_disk / 1e9:.3g} GB")
    for device, rate in DEVICES.items():
        out.append(f"about {hours(total, rate):.3g} hours on {device} at {rate:.2g} FLOP/s sustained")
    return out
