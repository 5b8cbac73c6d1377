"""What a student is trained on: the part of that door that makes images and targets, in the trial's
process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from stages.fit.evaluate import mean_logits
from stages.fit.feed import Feed, resident_bytes
from stages.fit.losses import with_labels
from stages.images.draws import draw, order
from stages.images.vectors import Vectors, views_of
from stages.images.views import Views
from stages.nets.stored import restore
from stages.nets.student import described_student
from stages.nets.teacher import described_teacher
from stages.store.epoch import EpochShard, Rebuild, read_epoch, read_targets
from stages.store.manifest import read_manifest
from stages.store.prepared import read_train
from stages.store.scratch import check_scratch, copies_in, read_copy
from stages.store.shards import first_members, input_bytes, read_or_make
from stages.store.weights import load_weights

if TYPE_CHECKING:
    from stages.settings.common import Numerics
    from stages.trials.cell import Cell

ENDLESS = 2**31
"""Epochs of augmentation made on the fly: more than any training has."""


def feed(cell: Cell, device: torch.device) -> Feed:
    """Stored epoch e mod n, the same images in the same order for every net (section 2.5;
    assumption 12).
    """
    kinds: dict[bool, type[Stored | Fresh]] = {
        cell.variant.fresh: Fresh,
        cell.target == "student_2014": LabelledOnce,
    }
    source = kinds.get(True, Stored)(cell, device)

    def read(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        shard = source.shard(epoch)
        if cell.hard:
            return shard.images, shard.labels
        targets = source.targets(epoch, shard)
        return shard.images, with_labels(targets, shard.labels) if cell.variant.loss else targets

    return Feed(read, source.epochs, device, resident_bytes(device, sharing(cell, device)))


def sharing(cell: Cell, device: torch.device) -> int:
    """How many trials share the memory of a device."""
    return cell.execution.slots if device.type == "cpu" else cell.execution.trials_per_gpu


class Stored:
    """The transfer set on disk, all of its epochs or the first of them, with the targets of some
    members or all.
    """

    def __init__(self, cell: Cell, device: torch.device) -> None:
        self.augmented, members = cell.augmented, cell.variant.members
        self.logits = cell.logits if members is None else first_members(cell.logits, members)
        self.epochs = cell.variant.epochs or cell.epochs
        self.rebuild = rebuilder(cell, device)
        self.copies = None if cell.execution.scratch is None else copies_in(cell.execution.scratch)
        if self.copies is not None:
            each = read_manifest(self.augmented)["images"] * input_bytes(cell.size_px, cell.shape)
            check_scratch(self.copies, self.augmented, range(self.epochs), each)

    def shard(self, epoch: int) -> EpochShard:
        """Images and labels of a stored epoch."""
        if self.copies is not None:
            return read_copy(self.copies, self.augmented, epoch, self.rebuild)
        return read_epoch(self.augmented, epoch, self.rebuild)

    def targets(self, epoch: int, shard: EpochShard) -> np.ndarray:
        """Logits float32 (n, classes) of exactly these images."""
        return read_targets(self.logits, epoch, shard)


class LabelledOnce(Stored):
    """The transfer set with the targets of the ensemble of 2014, computed once for all trials of
    the cell.
    """

    def __init__(self, cell: Cell, device: torch.device) -> None:
        super().__init__(cell, device)
        self.cell, self.device = cell, device
        self.nets: list[nn.Module] = []
        self.logits = cell.labels

    def targets(self, epoch: int, shard: EpochShard) -> np.ndarray:
        """Logits float32 (n, classes): those that another trial has left, or else computed and left
        for others.
        """

        def make() -> np.ndarray:
            self.nets = self.nets or members(self.cell, self.device, described_student)
            return labels_of(self.nets, shard, self.cell.numerics)

        return read_or_make(self.logits, epoch, shard.images_sha256, make)


class Fresh:
    """Epochs that go on where the transfer set ends: the same draws' next epochs, labelled by the
    members at once.
    """

    def __init__(self, cell: Cell, device: torch.device) -> None:
        pixels, self.labels, _ = read_train(cell.prepared)
        facts = read_manifest(cell.augmented)
        self.views = views_of(pixels, device, facts["hsv"].values(), facts["crop_min_px"])
        self.seed, self.first, self.epochs = cell.seed, cell.epochs, ENDLESS
        self.drawing = {"crop_min": facts["crop_min_px"], "mirror": cell.images.mirror}
        self.nets = members(cell, device, described_teacher)
        self.numerics = cell.numerics

    def shard(self, epoch: int) -> EpochShard:
        """Images and labels of an epoch that no other run of augment has made."""
        place, count = self.first + epoch, len(self.labels)
        index = order(self.seed, place, "transfer", count)
        draws = draw(
            self.seed, place, "transfer", count, size_px=self.views.size_px, **self.drawing
        )
        return EpochShard(self.views(index, draws).cpu().numpy(), self.labels[index], "")

    def targets(self, epoch: int, shard: EpochShard) -> np.ndarray:
        """Mean logits float32 (n, classes) of the members."""
        return labels_of(self.nets, shard, self.numerics)


def members(
    cell: Cell, device: torch.device, build: Callable[[Mapping[str, Any]], nn.Module]
) -> list[nn.Module]:
    """The nets that label, on the device: all of `cell.ensemble`, or its first ones."""
    count = cell.variant.members or len(read_manifest(cell.ensemble)["members"])
    paths = [cell.ensemble / f"member-{place:02d}.safetensors" for place in range(count)]
    nets = (restore(path, build, *load_weights(path)) for path in paths)
    return [net.to(device).to(memory_format=torch.channels_last) for net in nets]


def labels_of(nets: list[nn.Module], shard: EpochShard, numerics: Numerics) -> np.ndarray:
    """Mean logits of these nets for the images of a shard, float32 (n, classes)."""
    return mean_logits(nets, shard.images, numerics.eval_batch, numerics.precision, [len(nets)])[
        len(nets)
    ]


def rebuilder(cell: Cell, device: torch.device) -> Rebuild | None:
    """What makes images from draws, where the shards hold draws only; the originals are read when
    it is first used.
    """
    facts = read_manifest(cell.augmented)
    if facts["store"] == "images":
        return None

    @cache
    def views() -> Views | Vectors:
        return views_of(
            read_train(cell.prepared)[0], device, facts["hsv"].values(), facts["crop_min_px"]
        )

    return lambda index, draws: views()(index, draws).cpu().numpy()
