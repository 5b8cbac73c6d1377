"""Further test sets in miniature, in the layouts in which they are published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from stages.report.extra import ScoredSet, table
from tests.helpers.image_files import encoded

CORRUPTIONS = ("fog", "gaussian_noise", "spatter")
"""Two that the benchmark's mean counts, and one that it leaves out."""


def corrupted(
    folder: Path, images: np.ndarray, labels: np.ndarray, names: Sequence[str] = CORRUPTIONS
) -> Path:
    """CIFAR-10-C of these images: more noise from severity to severity, and from name to name."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for place, name in enumerate(names):
        blocks = []
        for severity in range(1, 6):
            noise = rng.normal(0, 12 * severity * (1 + place), images.shape)
            blocks.append(np.clip(images + noise, 0, 255).astype(np.uint8))
        np.save(folder / f"{name}.npy", np.concatenate(blocks))

    np.save(folder / "labels.npy", np.tile(labels.astype(np.uint8), 5))
    return folder


def versions(
    folder: Path, images: np.ndarray, labels: np.ndarray, names: Sequence[str] = ("v4", "v6")
) -> Path:
    """CIFAR-10.1: of the last version all images, of those before half of them."""
    folder.mkdir(parents=True)
    for name in names:
        count = len(labels) if name == names[-1] else len(labels) // 2
        np.save(folder / f"cifar10.1_{name}_data.npy", images[:count])
        np.save(folder / f"cifar10.1_{name}_labels.npy", labels[:count].astype(np.int32))
    return folder


def image_folder(
    folder: Path, images: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> Path:
    """A PNG for each image, in a folder named like its class."""
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / classes[label] / f"{i:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(image))
    return folder


def parquet(
    folder: Path,
    images: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str] | None,
    name: str = "test-00000-of-00001.parquet",
) -> Path:
    """A parquet file; labels are places among `classes`, which it names where they are given."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    pictures = [{"bytes": encoded(image), "path": None} for image in images]
    numbers = pa.array(labels.tolist(), pa.int64())
    table = pa.table({"img": pa.array(pictures, kind), "label": numbers})
    if classes is not None:
        about = {"info": {"features": {"label": {"names": list(classes)}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    pq.write_table(table, folder / name)
    return folder


DRAWN = ("ensemble", "mimic conv4 180k", "mimic mlp1 180k", "hard conv4 180k")


def accuracies(severe: Sequence[str], plain: Sequence[str]) -> pd.DataFrame:
    """metrics/extra.csv of four nets that are drawn and one that is not, on sets of these names.

    Args:
        severe: sets with corruptions.
        plain: sets without; the data set's own test images are there besides.
    """
    rng = np.random.default_rng(3)

    def of(parts: int, severities: int, images: int) -> dict[str, np.ndarray]:
        chance = np.linspace(0.9, 0.5, severities)[:, None]
        return {
            net: rng.random((parts, severities, images)) < chance - 0.08 * place
            for place, net in enumerate((*DRAWN, "teacher"))
        }

    sets = [ScoredSet("test", ("",), of(1, 1, 2000))]
    sets += [ScoredSet(name, CORRUPTIONS, of(3, 5, 300)) for name in severe]
    sets += [ScoredSet(name, ("",), of(1, 1, 200)) for name in plain]
    return table(sets, DRAWN, 0.95)
