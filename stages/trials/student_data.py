"""What a student is trained on: images and targets of each epoch, in the trial's process."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from stages.fit.evaluate import mean_logits
from stages.fit.feed import Arrays, Feed, resident_bytes
from stages.fit.losses import with_labels
from stages.images.draws import draw, order
from stages.nets.student import described_student
from stages.nets.teacher import described_teacher
from stages.store.epoch import EpochShard, read_epoch, read_targets
from stages.store.maps import parts
from stages.store.pieces import Chosen
from stages.store.prepared import PreparedManifest, read_transfer
from stages.store.scratch import check_scratch, copies_in, read_copy
from stages.store.shards import first_members, read_or_make
from stages.store.transfer_manifest import TransferManifest
from stages.transfer.members import load_members
from stages.transfer.rebuild import rebuilder
from stages.transfer.views import transfer_views

if TYPE_CHECKING:
    from stages.settings.common import Numerics
    from stages.trials.cell import Cell

ENDLESS = 2**31
"""Epochs of augmentation made on the fly: more than any training has."""


def feed(cell: Cell, device: torch.device) -> Feed:
    """Stored epoch e mod n, the same images in the same order for every net.

    Section 2.5; assumption 12.
    """
    source = data_of(cell, device)

    def read(place: int) -> Arrays | Chosen:
        shard = source.shard(place)
        if cell.hard:
            return labelled(shard, shard.labels)

        targets = source.targets(place, shard)
        if cell.variant.loss is not None:
            targets = with_labels(targets, shard.labels)

        return (shard.images, targets) if cell.variant.unlabelled else labelled(shard, targets)

    resident = resident_bytes(device, sharing(cell, device))
    return Feed(read, source.epochs * source.places, device, resident, source.places)


def epoch_images(cell: Cell) -> int:
    """How many images a net of this cell sees in an epoch."""
    if cell.hard or not cell.variant.unlabelled:
        return PreparedManifest.read(cell.prepared).images["train"]

    return TransferManifest.read(cell.augmented).images


def labelled(shard: EpochShard, targets: np.ndarray) -> Arrays | Chosen:
    """Images that have a label, and their targets; many are chosen while they are used."""
    kept = np.flatnonzero(shard.labels >= 0)
    if len(kept) == len(shard.labels):
        return shard.images, targets

    chosen = Chosen(shard.images, targets, kept)
    return chosen if chosen.many else chosen.whole()


def data_of(cell: Cell, device: torch.device) -> Stored | Fresh:
    """The images and targets of a cell."""
    if cell.variant.fresh:
        return Fresh(cell, device)
    if cell.name.group == "student_2014":
        return LabelledOnce(cell, device)
    return Stored(cell, device)


def sharing(cell: Cell, device: torch.device) -> int:
    """How many trials share the memory of a device."""
    return cell.execution.slots if device.type == "cpu" else cell.execution.trials_per_gpu


class Stored:
    """The transfer set on disk with its logits.

    All of its epochs or the first of them, with the targets of all members or of the first ones.
    """

    places = 1

    def __init__(self, cell: Cell, device: torch.device) -> None:
        self.augmented = cell.augmented
        self.epochs = cell.variant.epochs or cell.epochs
        self.rebuild = rebuilder(cell.prepared, cell.augmented, device)
        self.batch = cell.numerics.eval_batch

        members = cell.variant.members
        self.logits = cell.logits if members is None else first_members(cell.logits, members)

        scratch = cell.execution.scratch
        self.copies = None if scratch is None else copies_in(scratch)

        if self.copies is not None:
            images = TransferManifest.read(self.augmented).images
            epoch_bytes = images * cell.inputs.bytes
            check_scratch(self.copies, self.augmented, range(self.epochs), epoch_bytes)

    def shard(self, epoch: int) -> EpochShard:
        """Images and labels of a stored epoch."""
        if self.copies is not None:
            return read_copy(self.copies, self.augmented, epoch, self.rebuild)

        return read_epoch(self.augmented, epoch, self.rebuild, self.batch)

    def targets(self, epoch: int, shard: EpochShard) -> np.ndarray:
        """Logits float32 (n, classes) of exactly these images."""
        return read_targets(self.logits, epoch, shard)


class LabelledOnce(Stored):
    """The transfer set with the targets of the ensemble of 2014.

    They are computed once for all trials of the cell.
    """

    def __init__(self, cell: Cell, device: torch.device) -> None:
        super().__init__(cell, device)
        self.cell = cell
        self.device = device
        self.logits = cell.labels
        self.nets: list[nn.Module] = []

    def targets(self, epoch: int, shard: EpochShard) -> np.ndarray:
        """Logits float32 (n, classes), computed and stored where no other trial has done so."""

        def make() -> np.ndarray:
            if not self.nets:
                self.nets = load_members(
                    self.cell.ensemble, described_student, self.device, self.cell.variant.members
                )
            return labels_of(self.nets, shard, self.cell.numerics)

        return read_or_make(self.logits, epoch, shard.images_sha256, make)


class Fresh:
    """Epochs that continue where the transfer set ends, labelled by the ensemble at once.

    They are the next epochs of the same draws, made in parts: place p is part p mod `places` of
    epoch p div `places`.
    """

    def __init__(self, cell: Cell, device: torch.device) -> None:
        originals, self.labels = read_transfer(cell.prepared)
        manifest = TransferManifest.read(cell.augmented)
        self.views = transfer_views(originals, device, manifest.hsv, manifest.crop_min_px)

        batch = cell.numerics.eval_batch
        self.parts = parts(len(self.labels), originals[0].nbytes, batch)
        self.places = len(self.parts)

        self.seed = cell.seed
        self.first = cell.epochs
        self.epochs = ENDLESS
        self.crop_min_px = manifest.crop_min_px
        self.mirror = cell.images.mirror
        self.drawn = lru_cache(1)(self._drawn)

        members = cell.variant.members
        self.nets = load_members(cell.ensemble, described_teacher, device, members)
        self.numerics = cell.numerics

    def shard(self, place: int) -> EpochShard:
        """Images and labels of a part of an epoch that is in no transfer set."""
        epoch, number = divmod(place, self.places)
        part = self.parts[number]
        index, draws = self.drawn(self.first + epoch)
        images = self.views(index[part], draws[part]).cpu().numpy()

        return EpochShard(images, self.labels[index[part]], "")

    def _drawn(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Order and draws of an epoch, counted from the first one of the transfer set."""
        count = len(self.labels)
        index = order(self.seed, epoch, "transfer", count)
        draws = draw(
            self.seed,
            epoch,
            "transfer",
            count,
            size_px=self.views.size_px,
            crop_min=self.crop_min_px,
            mirror=self.mirror,
        )
        return index, draws

    def targets(self, place: int, shard: EpochShard) -> np.ndarray:
        """Mean logits float32 (n, classes) of the members."""
        return labels_of(self.nets, shard, self.numerics)


def labels_of(nets: list[nn.Module], shard: EpochShard, numerics: Numerics) -> np.ndarray:
    """Mean logits of these nets for the images of a shard, float32 (n, classes)."""
    count = len(nets)
    means = mean_logits(nets, shard.images, numerics.eval_batch, numerics.precision, [count])
    return means[count]
