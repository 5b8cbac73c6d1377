"""transfer: the transfer set for another program to label, and its logits back.

`python -m commands.transfer export FOLDER` writes the images of every epoch, of the validation and
of the test part as .npy files (uint8, (n, size, size, 3), or float32 vectors), without their labels,
and images.json with their hashes. `python -m commands.transfer import FOLDER` reads there what the
program gave of each: `logits-epoch-000.npy`, ..., `logits-validation.npy`, `logits-test.npy`, or the
same names with .safetensors and the one array `logits`; floats (n, classes), in the order of images
and classes of images.json. It writes teachers/logits, for `ensemble.source: logits`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError

from commands.models.vectors import load_array
from stages.nets.outside.member import as_logits
from stages.runtime import entry
from stages.settings.common import Count
from stages.settings.outside import order_of
from stages.settings.read import strict
from stages.store.atomic import write_json
from stages.store.disk_space import check_space
from stages.store.epoch import read_epoch
from stages.store.manifest import fresh_folder
from stages.store.outside_logits import AGAIN, FOLDER, PARTS, OutsideLogits, write_part
from stages.store.prepared import (
    PreparedManifest,
    read_test,
    read_train,
    read_transfer,
    read_validation,
)
from stages.store.shards import images_digests, images_hash, write_logits
from stages.store.transfer_manifest import TransferManifest
from stages.transfer.rebuild import rebuilder

PREPARED = Path("data/prepared")
AUGMENTED = Path("data/augmented")
LIST = "images.json"
OUTPUTS = ("logits", "probabilities", "log-probabilities")


@strict
class ExportedPart:
    """Images of an epoch or part: how many, and their hash."""

    rows: Count
    images_sha256: str


@strict
class Exported:
    """What images.json holds: names of the classes in the order of the labels, and the parts."""

    classes: tuple[str, ...]
    parts: dict[str, ExportedPart]


def epoch_name(epoch: int) -> str:
    """Name of an epoch's files."""
    return f"epoch-{epoch:03d}"


def parts() -> Iterator[tuple[str, np.ndarray, str]]:
    """Name, images and their hash, of the validation and test part and of each epoch."""
    for name, read in zip(PARTS, (read_validation, read_test), strict=True):
        images = read(PREPARED)[0]
        yield name, images, images_hash(images)

    rebuild = rebuilder(PREPARED, AUGMENTED, torch.device("cpu"))
    for epoch in range(TransferManifest.read(AUGMENTED).epochs):
        shard = read_epoch(AUGMENTED, epoch, rebuild)
        assert isinstance(shard.images, np.ndarray)  # no pieces were asked for
        yield epoch_name(epoch), shard.images, shard.images_sha256


def export(out: Path) -> None:
    """Write the images and their list.

    Raises:
        FileExistsError: something is in the folder.
        OSError: there is not enough room.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty: give the name of a new folder")

    manifest = TransferManifest.read(AUGMENTED)
    prepared = PreparedManifest.read(PREPARED)
    out.mkdir(parents=True, exist_ok=True)
    rows = manifest.epochs * manifest.images + sum(prepared.images[part] for part in PARTS)
    needed = rows * prepared.inputs.bytes
    check_space(out, needed, "the transfer set as .npy files", "lower augment.epochs")

    listed: dict[str, Any] = {}
    for name, images, images_sha256 in parts():
        np.save(out / f"{name}.npy", images)
        listed[name] = {"rows": len(images), "images_sha256": images_sha256}

    write_json(out / LIST, {"classes": list(prepared.classes), "parts": listed})
    print(
        f"{out}: {rows:,} images of {manifest.epochs} epochs, validation and test, {needed / 1e9:.3g} "
        f"GB; write logits-NAME.npy beside each NAME.npy, its columns in the order of classes in "
        f"{LIST}, then run 'python -m commands.transfer import {out}'"
    )


def bring_in(source: Path, name: str, output: str, floor: float, classes: Path | None) -> None:
    """Read the logits, and write teachers/logits.

    Args:
        name: what the teacher is called.
        output: what it gave, one of OUTPUTS.
        floor: of probabilities.
        classes: a text file with the class of each column, one a line; None: the order of the export.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the logits are of other images, or cannot be used.
    """
    ours = PreparedManifest.read(PREPARED).classes
    epochs = TransferManifest.read(AUGMENTED).epochs
    named, listed = read_list(source)
    order = order_of(named, ours, source / LIST) if classes is None else column_order(classes, ours)
    check_images(source, listed, epochs)

    # Everything is read before anything is written.
    found = {}
    at_floor = 0.0
    for part, entry_of in listed.items():
        given = read_given(source, part, entry_of["rows"], len(ours), output)
        values = as_logits(torch.from_numpy(given), output, floor, f"{source}: logits-{part}")
        if output != "logits":
            shares = given if output == "probabilities" else np.exp(given)
            at_floor += float((shares < floor).mean()) / len(listed)
        found[part] = values.numpy()[:, order].astype(np.float32, order="C")

    out = fresh_folder(FOLDER)
    for part in PARTS:
        write_part(out, part, found[part], listed[part]["images_sha256"])
    for epoch in range(epochs):
        part = epoch_name(epoch)
        write_logits(out, epoch, found[part], listed[part]["images_sha256"])
    kept = None if output == "logits" else floor
    OutsideLogits(name, ours, epochs, output, kept).write(out)

    share = f", {100 * at_floor:.1f} % of them below the floor {floor:g}" if kept else ""
    print(f"{out}: {output} of {name} for {epochs} epochs{share}; set ensemble.source to logits")


def read_list(source: Path) -> tuple[list[str], dict[str, Any]]:
    """The classes that images.json names, and what it says of each part.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: it is not the list of an export.
    """
    path = source / LIST
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} not found: logits are taken for images of 'python -m commands.transfer export' "
            "only, whose hashes are there. Logits of the training images themselves do not do: a "
            "student sees another view of each image in each epoch, and needs the teacher's answer "
            "to exactly this view"
        )

    try:
        written = TypeAdapter(Exported).validate_json(path.read_bytes(), strict=True)
    except (ValidationError, RecursionError) as error:
        raise ValueError(
            f"{path} is not the list of an export: take it from there again"
        ) from error
    return list(written.classes), {part: asdict(entry) for part, entry in written.parts.items()}


def check_images(source: Path, listed: dict[str, Any], epochs: int) -> None:
    """The images that were labelled are those of today.

    Raises:
        ValueError: they are others.
    """
    today = {epoch_name(epoch): images_digests(AUGMENTED, epoch)[1] for epoch in range(epochs)}
    today |= {
        part: images_hash(read(PREPARED)[0])
        for part, read in zip(PARTS, (read_validation, read_test), strict=True)
    }
    originals = {images_hash(read_train(PREPARED)[0]), images_hash(read_transfer(PREPARED)[0])}

    for part, images_sha256 in today.items():
        given = listed.get(part, {}).get("images_sha256")
        if given in originals and given != images_sha256:
            raise ValueError(
                f"{source / LIST}: {part} has the training images as they are. A student sees "
                "another view of each in each epoch, and needs the teacher's answer to exactly this "
                "view: export the transfer set and label that"
            )
        if given != images_sha256:
            what = "is lacking" if given is None else "has other images than the transfer set now"
            raise ValueError(f"{source / LIST}: {part} {what}: {AGAIN}")

    for part in listed.keys() - today.keys():
        raise ValueError(f"{source / LIST}: {part} is not in the transfer set now: {AGAIN}")


def read_given(source: Path, part: str, rows: int, classes: int, output: str) -> np.ndarray:
    """float32 (n, classes) of one part.

    Args:
        output: what it holds, one of OUTPUTS; log-probabilities may be minus infinity.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or has another shape, or numbers that are not finite.
    """
    path = source / f"logits-{part}.npy"
    other = path.with_suffix(".safetensors")
    if not path.is_file() and not other.is_file():
        raise FileNotFoundError(f"{path} not found, nor {other.name}: label {part}.npy first")

    path = path if path.is_file() else other
    try:
        values = load_array(path, "logits")
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: {error}") from error

    if values.shape != (rows, classes) or values.dtype.kind != "f":
        raise ValueError(
            f"{path} holds {values.dtype} {list(values.shape)}, needed are floats "
            f"[{rows}, {classes}]: a row for each image and a column for each class"
        )

    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and named below
        small = values.astype(np.float32)
    usable = np.isfinite(small)
    if output == "log-probabilities":
        usable |= np.isneginf(small)

    bad = ~usable.all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        infinite = " (of log-probabilities it may be minus infinity: --output log-probabilities)"
        raise ValueError(
            f"{path}: row {row} holds something else than numbers of float32"
            f"{infinite if np.isneginf(small[row]).any() else ''}"
        )
    if len(small) > 1 and np.ptp(small, axis=0).max() == 0:
        raise ValueError(f"{path} holds the same values for every image")
    return small


def column_order(path: Path, ours: tuple[str, ...]) -> list[int]:
    """Column of each of our classes.

    Raises:
        ValueError: the names differ.
    """
    named = path.read_text(encoding="utf-8").splitlines()
    return order_of(named, ours, path)


def main() -> None:
    """Export or import."""
    parser = argparse.ArgumentParser(
        prog="python -m commands.transfer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words = parser.add_subparsers(dest="word", required=True)
    out = words.add_parser("export", help="write the images")
    out.add_argument("folder", type=Path, help="a new one")

    back = words.add_parser("import", help="read the logits")
    back.add_argument("folder", type=Path, help="that of export, with the logits in it")
    back.add_argument("--name", help="of the teacher, for reports; else that of the folder")
    back.add_argument("--output", choices=OUTPUTS, default="logits", help="what the files hold")
    back.add_argument("--floor", type=float, default=1e-4, help="smallest probability")
    back.add_argument("--classes", type=Path, help="text file, the class of each column a line")
    asked = parser.parse_args()

    if asked.word == "export":
        export(asked.folder)
        return
    if not 0 < asked.floor <= 0.1:
        parser.error(f"--floor is {asked.floor}, allowed is above 0 to 0.1")
    name = asked.name or asked.folder.resolve().name
    bring_in(asked.folder, name, asked.output, asked.floor, asked.classes)


if __name__ == "__main__":
    entry.run(main)
