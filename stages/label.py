"""label: the ensemble's logits for exactly the augmented images -> data/logits, the mimic targets.

Reads data/ensemble, data/augmented (and data/prepared where only draws were stored). Writes one
shard an epoch: float32 logits, the arithmetic mean over members of their pre-softmax outputs, not
standardised (Urban et al. 2017, sections 2.2 and 2.7; assumption 18), bound to their images by
hash. Folders `first-NN` inside hold the mean over the first NN members alone, for each size of
`label.members`. Where the ensemble is only logits, which another program has made of these images, they
are taken as they are.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

from stages.runtime import entry
from stages.runtime.engines import Engine, from_settings
from stages.runtime.environment import describe, record
from stages.runtime.shares import make_epochs, shared_among
from stages.runtime.work import work_folder
from stages.settings import common
from stages.settings.read import read_params
from stages.settings.transfer import label
from stages.store.atomic import link_or_copy
from stages.store.disk_space import check_space
from stages.store.ensemble_manifest import EnsembleManifest
from stages.store.manifest import fresh_folder, write_manifest
from stages.store.outside_logits import AGAIN, INSIDE
from stages.store.prepared import PreparedManifest, data_folders
from stages.store.shards import images_digests, logits_shard_bytes, read_logits, shard_path
from stages.store.transfer_manifest import TransferManifest
from stages.transfer.labels import (
    AUGMENTED,
    ENSEMBLE,
    PREPARED,
    LabelJob,
    folders,
    is_there,
    label_epochs,
)

OUT = Path("data/logits")
PRELOAD = ("stages.fit.evaluate", "stages.nets.teacher")
PASSES_PER_PROCESS = 10_000
"""A process more for each ten thousand images through a net: some seconds on one CPU core."""


def label_all(job: LabelJob, augmented: TransferManifest, engine: Engine, processes: int) -> None:
    """Label every epoch, in this process or in several."""
    classes = len(PreparedManifest.read(job.prepared).classes)
    missing = [epoch for epoch in range(augmented.epochs) if not is_there(job, epoch)]

    # Refuses what does not fit on the disk.
    needed = len(missing) * logits_shard_bytes(augmented.images, classes) * len(job.sizes)
    check_space(job.work, needed, "the ensemble's logits", "lower augment.epochs")

    make_epochs(
        engine,
        label_epochs,
        job,
        augmented.epochs,
        processes,
        name="label",
        images=augmented.images,
        there=partial(is_there, job),
    )


def write_outputs(job: LabelJob, epochs: int) -> None:
    """The finished shards, with their manifest."""
    out = fresh_folder(OUT)
    sources = folders(job, job.work)
    targets = folders(job, out)

    for size, source in sources.items():
        for epoch in range(epochs):
            link_or_copy(shard_path(source, epoch), shard_path(targets[size], epoch))

    write_manifest(out, {"epochs": epochs, "members": job.sizes[-1]})


def take_logits(augmented: TransferManifest) -> None:
    """Put the logits from elsewhere in the place of those of nets, each beside its images.

    Raises:
        FileNotFoundError: an epoch is lacking.
        ValueError: the logits are of other images.
    """
    source = ENSEMBLE / INSIDE
    for epoch in range(augmented.epochs):
        _, images_sha256 = images_digests(AUGMENTED, epoch)
        try:
            read_logits(source, epoch, images_sha256)
        except (FileNotFoundError, ValueError) as error:
            raise ValueError(f"ensemble.source is logits, and {error}; {AGAIN}") from error

    out = fresh_folder(OUT)
    for epoch in range(augmented.epochs):
        link_or_copy(shard_path(source, epoch), shard_path(out, epoch))
    write_manifest(out, {"epochs": augmented.epochs, "members": 1})
    print(f"label: {augmented.epochs} epochs of {augmented.images} images by another program")


def main() -> None:
    """Run the stage."""
    params = read_params()
    numerics = common.numerics(params)
    execution = common.execution(params)

    augmented = TransferManifest.read(AUGMENTED)
    ensemble = EnsembleManifest.read(ENSEMBLE)
    if ensemble.only_logits:
        take_logits(augmented)
        return

    members = len(ensemble.members)
    sizes = (*label(params).members, members)
    settings = {"numerics": asdict(numerics), "members": sizes}
    inputs = [*data_folders(PREPARED), AUGMENTED, ENSEMBLE]

    with work_folder("label", settings, [AUGMENTED, ENSEMBLE], __file__) as work:
        job = LabelJob(work, numerics, execution.device, sizes)

        with from_settings(execution, PRELOAD, inputs) as asked:
            passes = augmented.epochs * augmented.images * members
            engine, processes = shared_among(asked, passes, PASSES_PER_PROCESS, augmented.epochs)
            label_all(job, augmented, engine, processes)
            machine = engine.submit(describe, execution.device, numerics.threads).result()

        write_outputs(job, augmented.epochs)
        record("label", {**machine, "precision": numerics.precision, "seed": common.seed(params)})

    print(f"label: {augmented.epochs} epochs of {augmented.images} images by {members} nets")


if __name__ == "__main__":
    entry.run(main)
