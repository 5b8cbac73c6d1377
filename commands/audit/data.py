"""Checks data/ against its own manifests and checksums, and images against their logits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from commands.audit.findings import Findings, Remedy
from commands.audit.outs import files_of
from commands.pipeline.cache import Hashes
from stages.store.ensemble_manifest import DESCRIPTION
from stages.store.shards import images_hash, read_images, read_logits, shard_path
from stages.store.tensors import read_header, read_tensors
from stages.store.transfer_manifest import TransferManifest

FOLDERS = ("prepared", "unlabelled", "teachers", "ensemble", "augmented", "logits", "extra")
"""Folders of data/ that have a manifest."""


@dataclass(frozen=True)
class DataCheck:
    """The data folder, and where findings go.

    Attributes:
        root: the data folder.
        findings: the findings.
        hashes: how files are hashed.
        remedy: (file, whether its stage's work folder may hold the same wrong bytes) -> what fixes
            it.
        quick: read no more than headers.
    """

    root: Path
    findings: Findings
    hashes: Hashes
    remedy: Callable[[Path, bool], Remedy]
    quick: bool

    def problem(self, path: Path, what: str, fresh: bool = False) -> None:
        """Something is wrong with a file."""
        self.findings.problem(path, what, self.remedy(path, fresh))

    def damaged(self, path: Path, error: Exception) -> None:
        """A file that its reader refused."""
        text = " ".join(str(error).split()).removeprefix(str(path)).lstrip(" :")
        self.problem(path, re.split(r"[;:] (?:delete|run|were) ", text)[0], fresh=True)


def check_data(check: DataCheck) -> None:
    """Manifests, then every file's own checksum, then the pairs."""
    # Manifests.
    for folder in (check.root / name for name in FOLDERS):
        if (folder / "manifest.json").is_file():
            check_manifest(check, folder)
        elif folder.is_dir():
            check.findings.notes.append(
                f"{folder} has no manifest, so it is not finished: 'dvc repro' makes it"
            )

    # Checksums; those of shards are read with their pairs, and nets from elsewhere have none but
    # that of the manifest.
    images = check.root / "augmented"
    logits = check.root / "logits"
    files = [
        path
        for path in sorted(check.root.glob("**/*.safetensors"))
        if path.parent not in (images, logits) and not (path.parent / DESCRIPTION).is_file()
    ]

    for path in tqdm([] if check.quick else files, desc="checksums", unit="file", disable=None):
        check.findings.counts["files with checksums"] += 1
        try:
            read_tensors(path)
        except (OSError, ValueError) as error:
            check.damaged(path, error)

    # Pairs.
    manifest = transfer_manifest(check)
    if manifest is not None and not logits.is_dir():
        check.findings.notes.append(
            f"{logits} is not here: no pair of images and logits was checked"
        )

    epochs = 0 if manifest is None else manifest.epochs
    for epoch in tqdm(range(epochs), desc="pairs", unit="epoch", disable=None):
        check_pair(check, images, logits, epoch)


def transfer_manifest(check: DataCheck) -> TransferManifest | None:
    """The manifest of the transfer set; None if it is missing, or wrong, which is reported."""
    folder = check.root / "augmented"
    path = folder / "manifest.json"
    try:
        return TransferManifest.read(folder)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = str(error).removeprefix(f"{path} ").split(": delete")[0]
        check.problem(path, f"says nothing of the epochs ({reason})")
        return None


def check_manifest(check: DataCheck, folder: Path) -> None:
    """Every file of a data folder against the sha256 in its manifest."""
    path = folder / "manifest.json"
    check.findings.counts["manifests"] += 1
    try:
        there = dict(json.loads(path.read_bytes())["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        check.problem(path, f"is not a manifest ({error!r})")
        return

    here = files_of(folder)
    here.pop("manifest.json", None)

    for name in sorted(there.keys() | here.keys()):
        if name not in here:
            check.problem(folder / name, "missing, the manifest has it")
        elif name not in there:
            check.problem(folder / name, "not in the manifest")
        elif not check.quick and _sha256(check.hashes, here[name]) != there[name]:
            check.problem(folder / name, "its sha256 is not the manifest's")


def _sha256(hashes: Hashes, path: Path) -> str | None:
    try:
        return hashes(path)[1]
    except OSError:  # a finding of the checksums
        return None


def check_pair(check: DataCheck, images: Path, logits: Path, epoch: int) -> None:
    """The two shards of one epoch: their checksums, their epoch, and that they belong together."""
    sha256 = None
    count = None
    check.findings.counts["shards"] += 1
    try:
        sha256, count = image_shard(images, epoch, check.quick)
    except (OSError, ValueError, KeyError) as error:
        check.damaged(shard_path(images, epoch), error)

    if not logits.is_dir():
        return

    check.findings.counts["shards"] += 1
    try:
        header = read_header(shard_path(logits, epoch))
        images_sha256 = header["images_sha256"]
        if header["epoch"] != epoch or images_sha256 != (sha256 or images_sha256):
            raise ValueError(f"holds the logits of other images (epoch {header['epoch']})")
        rows = None if check.quick else len(read_logits(logits, epoch, images_sha256))
        if rows is not None and count is not None and rows != count:
            raise ValueError(f"has {rows} rows for {count} images")
    except (OSError, ValueError, KeyError) as error:
        check.damaged(shard_path(logits, epoch), error)


def image_shard(folder: Path, epoch: int, quick: bool) -> tuple[str, int | None]:
    """Hash of the images of one epoch and their number, which `quick` does not read.

    Raises:
        OSError, ValueError, KeyError: the shard is missing, damaged, of another epoch, or not of
            its images.
    """
    if quick:
        header = read_header(shard_path(folder, epoch))
        if header["epoch"] != epoch:
            raise ValueError(f"holds epoch {header['epoch']}")
        return header["images_sha256"], None

    arrays, header = read_images(folder, epoch)
    if "images" in arrays and images_hash(arrays["images"]) != header["images_sha256"]:
        raise ValueError("its images do not have the hash in its header")
    return header["images_sha256"], len(arrays["index"])
