"""The part of verify that runs nets: logits of sampled batches, computed again and compared.

Imports torch. What the stage label does is put together here a second time from the layers: a fault
of that stage is not repeated here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from commands.audit.data import DataCheck
from stages.fit.evaluate import mean_logits
from stages.images.host import as_tensor
from stages.images.vectors import views_of
from stages.nets.outside.member import OutsideNet
from stages.nets.teacher import described_teacher
from stages.runtime.device import check_precision, choose_device, set_up_torch
from stages.settings import common
from stages.store.ensemble_manifest import EnsembleManifest, net_path
from stages.store.epoch import Rebuild, read_epoch
from stages.store.outside_logits import INSIDE
from stages.store.prepared import read_transfer
from stages.store.shards import images_digests, read_logits, shard_path
from stages.store.transfer_manifest import TransferManifest
from stages.transfer.members import load_member
from stages.transfer.weights import Weighted, weighted

MARGIN = {"fp32": 32.0, "bf16": 4.0}
"""Allowed distance between two machines, in distances of this one from float64.

The largest over the batch counts. Measured on the smoke scale's ensemble: up to 10.1 (fp32) and 0.4
(bf16) between oneDNN's kernels and torch's own, up to 1.0 between batches of 200 images and of 1,
and none between one thread and two.
"""

OUTSIDE = 1e-3
"""Allowed distance, as a share of the largest logit, where a net is of a file: what computes it is
not ours to repeat in float64."""


@dataclass(frozen=True)
class Again:
    """Where everything is, how it was computed, and where findings go."""

    check: DataCheck
    numerics: common.Numerics
    device: str
    augmented: Path
    logits: Path
    ensemble: Path
    prepared: Path


@dataclass
class Tally:
    """How near the logits came, over all batches."""

    rows: int = 0
    equal: int = 0
    largest: float = 0.0
    tolerance: float | None = None


def rerun(again: Again, batches: Mapping[int, Sequence[int]]) -> list[str]:
    """Compare these batches (epoch -> first rows); lines that say how near the logits came.

    Raises:
        ValueError: the device cannot compute what the stage computed.
        OSError, ValueError: the originals, from which images are made again, cannot be read.
    """
    check = again.check
    if EnsembleManifest.read(again.ensemble).only_logits:
        return compare_taken(again, TransferManifest.read(again.augmented).epochs)

    # The nets, on a device that computes as the stage did.
    device = choose_device(again.device)
    check_precision(device, again.numerics.precision)
    set_up_torch(again.numerics.threads, device)
    nets = load_members(again.ensemble, device, check)
    if nets is None:
        check.findings.notes.append("ensemble not run again: not all of its members can be read")
        return []

    # The batches of each epoch.
    rebuild = rebuilder(again, device)
    tally = Tally()
    for epoch in tqdm(batches, desc="ensemble", unit="epoch", disable=None):
        path = shard_path(again.augmented, epoch)
        try:
            shard = read_epoch(again.augmented, epoch, rebuild)
            assert isinstance(shard.images, np.ndarray)  # no pieces were asked for
            path = shard_path(again.logits, epoch)
            stored = read_logits(again.logits, epoch, shard.images_sha256)
        except (OSError, ValueError) as error:
            check.damaged(path, error)
            continue

        what = compare(nets, shard.images, stored, batches[epoch], again.numerics, tally)
        if what is not None:
            check.problem(path, what, fresh=True)

    check.findings.counts["rows through the ensemble"] += tally.rows
    return [summary(tally, nets, device, again.numerics)] if tally.rows else []


def compare_taken(again: Again, epochs: int) -> list[str]:
    """Whether data/logits is what another program gave, where the ensemble is only its logits."""
    equal = 0
    for epoch in range(epochs):
        path = shard_path(again.logits, epoch)
        try:
            _, images_sha256 = images_digests(again.augmented, epoch)
            taken = read_logits(again.ensemble / INSIDE, epoch, images_sha256)
            stored = read_logits(again.logits, epoch, images_sha256)
        except (OSError, ValueError) as error:
            again.check.damaged(path, error)
            continue

        again.check.findings.counts["rows from elsewhere"] += len(stored)
        if taken.tobytes() == stored.tobytes():
            equal += 1
        else:
            again.check.problem(path, "is not what data/ensemble has from elsewhere", fresh=True)

    return [f"ensemble: no nets, {equal} of {epochs} epochs have the logits from elsewhere"]


def compare(
    nets: list[nn.Module],
    images: np.ndarray,
    stored: np.ndarray,
    starts: Sequence[int],
    numerics: common.Numerics,
    tally: Tally,
) -> str | None:
    """Batches of one epoch; what is wrong, or None.

    Float64 is computed only where a byte differs.
    """
    size = numerics.eval_batch
    wrong: list[int] = []
    worst = 0.0
    allowed = 0.0

    for start in starts:
        part = images[start : start + size]
        rows = stored[start : start + size]
        values = mean_logits(nets, part, size, numerics.precision, [len(nets)])[len(nets)]
        tally.rows += len(part)
        if (values.shape, values.dtype) != (rows.shape, rows.dtype):
            return (
                f"has {stored.dtype} logits {stored.shape} "
                f"for {len(images)} images and {values.shape[1]} classes"
            )

        # Byte for byte.
        same = (values.view(np.uint32) == rows.view(np.uint32)).all(axis=1)
        tally.equal += int(same.sum())
        if same.all():
            continue

        # As far as another machine may differ.
        tolerance = allowed_distance(nets, part, values, numerics.precision)
        distance = np.abs(values.astype(np.float64) - rows).max(axis=1)
        far = ~(distance <= tolerance)  # NaN is far
        wrong += (start + np.flatnonzero(far)).tolist()

        worst = float(np.max([worst, distance.max()]))
        allowed = max(allowed, tolerance)
        tally.largest = float(np.max([tally.largest, distance.max()]))
        tally.tolerance = max(tally.tolerance or 0.0, tolerance)

    if not wrong:
        return None

    compared = sum(len(stored[start : start + size]) for start in starts)
    return (
        f"{len(wrong)} of {compared} rows (first: {wrong[0]}) are "
        f"not the ensemble's logits, by up to {worst:.3g}; allowed is {allowed:.2g}"
    )


def has_outside(nets: list[nn.Module]) -> bool:
    """Whether a net is of a file."""
    return any(isinstance(each, OutsideNet) for net in nets for each in net.modules())


def allowed_distance(
    nets: list[nn.Module], images: np.ndarray, values: np.ndarray, precision: str
) -> float:
    """How far the logits of another machine may be from these."""
    if has_outside(nets):
        return OUTSIDE * float(np.abs(values).max())
    return MARGIN[precision] * float(np.abs(values - reference(nets, images)).max())


def reference(nets: list[nn.Module], images: np.ndarray) -> np.ndarray:
    """The same mean with every layer in float64, float64 (n, classes)."""
    pixels = as_tensor(images).to(next(nets[0].parameters()).device)
    total = np.zeros(())
    with torch.inference_mode():
        for each in nets:
            net = each.net if isinstance(each, Weighted) else each
            factor = each.factor if isinstance(each, Weighted) else 1.0
            assert isinstance(net, nn.Sequential)  # one of ours
            standardise, *layers = copy.deepcopy(net).eval().double()
            total = (
                total + factor * nn.Sequential(*layers)(standardise(pixels).double()).cpu().numpy()
            )
    return total / len(nets)


def load_members(folder: Path, device: torch.device, check: DataCheck) -> list[nn.Module] | None:
    """The ensemble's nets, or None if one cannot be read."""
    nets: list[nn.Module] = []
    manifest = EnsembleManifest.read(folder)
    count = len(manifest.members)
    for path in (net_path(folder, place, manifest) for place in range(count)):
        try:
            net = load_member(path, described_teacher, device)
        except (OSError, ValueError) as error:
            check.damaged(path, error)
            continue

        nets.append(net)

    return weighted(nets, manifest.weights) if count and len(nets) == count else None


def rebuilder(again: Again, device: torch.device) -> Rebuild | None:
    """What makes images from draws, where the shards hold draws only."""
    manifest = TransferManifest.read(again.augmented)
    if manifest.store == "images":
        return None

    hsv = manifest.hsv
    jitter = (hsv.D_h, hsv.D_s, hsv.D_v, hsv.A_s, hsv.A_v)
    views = views_of(read_transfer(again.prepared)[0], device, jitter, manifest.crop_min_px)
    return lambda index, draws: views(index, draws).cpu().numpy()


def summary(
    tally: Tally, nets: list[nn.Module], device: torch.device, numerics: common.Numerics
) -> str:
    """One line."""
    members = len(nets)
    how = f"{numerics.precision}, {device.type}, {numerics.threads} threads"
    rows = f"{tally.equal} of {tally.rows} rows"
    text = f"ensemble: {rows} by {members} nets ({how}) are equal byte for byte"
    if tally.tolerance is None:
        return text

    margin = f"{MARGIN[numerics.precision]:g} times this machine's distance from float64"
    if has_outside(nets):
        margin = f"{OUTSIDE:g} of the largest logit, since nets of files are among them"
    return (
        f"{text}, largest difference {tally.largest:.3g}, allowed {tally.tolerance:.2g} ({margin}; "
        "the machine and device that ran label give equal bytes)"
    )
