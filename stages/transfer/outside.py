"""Nets of files are looked at before anything is labelled with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.fit.evaluate import logits
from stages.nets.outside.member import OutsideNet, load_outside
from stages.settings.outside import Described
from stages.store import chance

TRIED = 200
"""Validation images on which other readings of a net are tried."""
CLEARLY = 0.05
"""Difference of accuracies from which another reading is told."""
SURE = 0.001
"""Of the sign test on these images: how often chance alone would make such a difference."""

RANGES = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))
NORMALISATIONS = (((0.0,), (1.0,)), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
"""None, and that of ImageNet for values in [0, 1]."""


@dataclass(frozen=True)
class LookedAt:
    """What is known of a net of a file.

    Attributes:
        name: of its YAML file, without the ending.
        path: of that file.
        format: what runs it.
        order: place in its outputs of each of our classes.
        outputs: logits float32 (n, classes) of the validation images.
        accuracy: on these, a fraction.
        params: numbers that it has learnt.
        lines: what is to be told.
    """

    name: str
    path: Path
    format: str
    order: tuple[int, ...]
    outputs: np.ndarray
    accuracy: float
    params: int
    lines: tuple[str, ...]


def descriptions(folder: Path) -> list[Path]:
    """The YAML files in a folder, by name.

    Raises:
        FileNotFoundError: there is none.
    """
    found = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    if not found:
        raise FileNotFoundError(
            f"{folder} has no YAML file that describes a net: see docs/teachers.md, or set "
            "ensemble.source to teachers"
        )
    return found


def look_at(
    path: Path,
    classes: Sequence[str],
    images: np.ndarray,
    labels: np.ndarray,
    device: torch.device,
    batch: int,
) -> LookedAt:
    """Run a net of a file on the validation images.

    Args:
        path: of its YAML file.
        classes: of the data.
        images: uint8 (n, s, s, 3), or vectors float32 (n, ...).
        labels: int64 (n,).
        batch: images per forward pass.

    Raises:
        FileNotFoundError, ValueError: one line that says why it cannot be a teacher.
    """
    net = load_outside(path, list(classes), device)
    try:
        outputs = logits(net, images, batch).cpu().numpy()
    except (ValueError, RuntimeError) as error:
        words = " ".join(str(error).split())[:400]
        runs = runs_otherwise(net, images, batch)
        raise ValueError(f"{path}: the net cannot label these images: {words}{runs}") from error

    if np.ptp(outputs, axis=0).max() <= 1e-6 * max(np.abs(outputs).max(), 1e-30):
        raise ValueError(f"{path}: the net gives the same outputs for every image")

    accuracy = float((outputs.argmax(1) == labels).mean())
    lines = [f"{path.stem} ({net.described.format}): {chance.words(accuracy, labels)}"]
    if net.described.output == "logits" and like_probabilities(outputs):
        lines.append("  these look like probabilities: output: probabilities")
    lines += permuted(net.order, outputs, labels, classes)
    lines += read_otherwise(net, images, labels, batch, accuracy)

    return LookedAt(
        path.stem,
        path,
        net.described.format,
        tuple(net.order),
        outputs,
        accuracy,
        net.count(path.parent),
        tuple(lines),
    )


def like_probabilities(outputs: np.ndarray) -> bool:
    """Whether all rows of outputs (n, classes) are 0 or more and have the sum 1."""
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(1), 1, atol=1e-3))


def runs_otherwise(net: OutsideNet, images: np.ndarray, batch: int) -> str:
    """End of a message: with what else a net can be run on the batch that failed; or empty."""
    if images.dtype != np.uint8:
        return ""

    def runs(reading: Described, some: np.ndarray) -> bool:
        return _hits(net, reading, some, np.zeros(len(some), int), batch) is not None

    parts = (images[start : start + batch] for start in range(0, len(images), batch))
    failed = next((part for part in parts if not runs(net.described, part)), None)
    if failed is None:
        return ""

    for reading in (*readings(net.described, together=False), *shapes(net.described)):
        if runs(reading, failed):
            return f"; it can be run with {differences(net.described, reading)}"
    return ""


def shapes(described: Described) -> Iterator[Described]:
    """The same net with other layouts and with one channel."""
    for layout in ("NCHW", "NHWC", "flat"):
        for channels in ("rgb", "grey"):
            yield replace(
                described, layout=layout, channels=channels, mean=(0.0,), deviation=(1.0,)
            )


def permuted(
    order: Sequence[int], outputs: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> Iterator[str]:
    """A line, if the outputs fit the labels clearly better in another order of the classes.

    The best order is found by assignment, which fits chance too. So it is compared with what it
    reaches on the same labels, shuffled.

    Args:
        order: place in the net's own outputs of each of our classes.
    """
    from scipy.optimize import linear_sum_assignment

    def best(truth: np.ndarray) -> tuple[float, np.ndarray]:
        counts = np.zeros((len(classes), len(classes)))
        np.add.at(counts, (outputs.argmax(1), truth), 1)
        rows, columns = linear_sum_assignment(-counts)
        return float(counts[rows, columns].sum() / len(truth)), columns

    accuracy = float((outputs.argmax(1) == labels).mean())
    reached, columns = best(labels)
    by_chance, _ = best(np.random.default_rng(0).permutation(labels))
    if reached < max(accuracy, by_chance) + 2 * CLEARLY:
        return

    # Output `order[i]` of the net, named classes[i], fits the class columns[i].
    names = [""] * len(classes)
    for ours, place in enumerate(order):
        names[place] = classes[columns[ours]]
    yield (
        f"  it would be right on {100 * reached:.1f} % with its classes in another order: "
        f"classes: {json.dumps(names, ensure_ascii=False)}"
    )


def read_otherwise(
    net: OutsideNet, images: np.ndarray, labels: np.ndarray, batch: int, accuracy: float
) -> Iterator[str]:
    """A line, if the net is clearly better with another range, normalisation, channels or layout.

    One of them at a time is changed; where the net is hardly better than naming the commonest
    class, several together.
    """
    from scipy.stats import binomtest

    if images.dtype != np.uint8:
        return

    some = np.unique(np.linspace(0, len(images) - 1, TRIED).astype(int))
    low = accuracy < 2 * chance.commonest_share(labels)
    as_described = _hits(net, net.described, images[some], labels[some], batch)
    assert as_described is not None  # all images went through it before

    best = as_described
    words = ""
    for reading in readings(net.described, together=low):
        hits = _hits(net, reading, images[some], labels[some], batch)
        if hits is not None and hits.sum() > best.sum():
            best = hits
            words = differences(net.described, reading)

    # A reading that blinds the net may be right on the commonest class.
    share = chance.commonest_share(labels[some])
    if not words or best.mean() - max(as_described.mean(), share) < CLEARLY:
        return

    won = int((best & ~as_described).sum())
    lost = int((as_described & ~best).sum())
    above = binomtest(int(best.sum()), len(some), share, alternative="greater").pvalue < SURE
    if above and binomtest(won, won + lost, alternative="greater").pvalue < SURE:
        yield (
            f"  of {len(some)} images it is right on {100 * best.mean():.1f} % with {words}, and "
            f"on {100 * as_described.mean():.1f} % as described: is that what it was trained with?"
        )


def _hits(
    net: OutsideNet, described: Described, images: np.ndarray, labels: np.ndarray, batch: int
) -> np.ndarray | None:
    """Whether each image is recognised, with another description; None where it cannot be run."""
    other = OutsideNet(described, net.run, net.order, [], net.place.device)
    try:
        return logits(other, images, batch).cpu().numpy().argmax(1) == labels
    except (ValueError, RuntimeError, TypeError):
        return None


def readings(described: Described, *, together: bool) -> Iterator[Described]:
    """Other descriptions of the same net.

    Args:
        together: whether several keys are changed at once.
    """
    ranges = dict.fromkeys((described.range, *RANGES))
    own = (described.mean, described.deviation)
    statistics = [*dict.fromkeys((own, *NORMALISATIONS))]
    if described.channels == "grey":
        statistics = [each for each in statistics if len(each[0]) == 1]

    colours = [described.channels]
    if described.channels != "grey":
        colours = sorted({"rgb", "bgr"}, key=lambda each: each != described.channels)
    layouts = [described.layout]
    if described.layout != "flat":
        layouts = sorted({"NCHW", "NHWC"}, key=lambda each: each != described.layout)

    for layout, channels, limits, (mean, deviation) in product(
        layouts, colours, ranges, statistics
    ):
        changes: dict[str, Any] = {
            "layout": layout,
            "channels": channels,
            "range": limits,
            "mean": mean,
            "deviation": deviation,
        }
        other = replace(described, **changes)
        changed = changed_keys(described, other)
        groups = {"mean" if key == "deviation" else key for key in changed}
        if groups and (together or len(groups) == 1):
            yield other


def changed_keys(one: Described, other: Described) -> list[str]:
    """Names of the keys of images that differ."""
    keys = ("layout", "channels", "range", "mean", "deviation")
    return [key for key in keys if getattr(one, key) != getattr(other, key)]


def differences(one: Described, other: Described) -> str:
    """The keys that differ, as they would be written."""

    def written(value: Any) -> str:
        if isinstance(value, tuple):
            return f"[{', '.join(f'{each:g}' for each in value)}]"
        return str(value)

    keys = changed_keys(one, other)
    return ", ".join(f"{key}: {written(getattr(other, key))}" for key in keys)
