"""How near a net's outputs are to the labels and to another net's outputs, from stored logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.metrics import confusion_matrix

BINS = 15
"""Bins of confidence, as in Guo et al. 2017."""


@dataclass(frozen=True)
class Fidelity:
    """One net on one set of images; means over the images.

    Attributes:
        accuracy: share of images whose top class is the label.
        nll: negative log-likelihood of the labels, nats.
        ece: expected calibration error, a fraction.
        agreement: share of images with the reference's top class.
        kl: Kullback-Leibler divergence from the reference's softmax to the net's, nats.
        logit_l2: sum over classes of squared differences to the reference's logits.
            The last three are None where there is no reference.
    """

    accuracy: float
    nll: float
    ece: float
    agreement: float | None = None
    kl: float | None = None
    logit_l2: float | None = None


def measure(logits: np.ndarray, labels: np.ndarray, reference: np.ndarray | None) -> Fidelity:
    """Compare a net's logits with the labels and, where given, with a reference's (its teacher's).

    Computed in float64. Of equal logits the first class counts as the top one. `logit_l2` is the
    loss by which mimic nets are trained (Urban et al. 2017, eq. 1); `kl` is that of Hinton et al.
    2015 at temperature 1.

    Args:
        logits: (n, classes).
        labels: whole numbers (n,), 0 .. classes - 1.
        reference: (n, classes), or None.

    Raises:
        ValueError: shapes do not fit, a label is outside, or a value is not finite.
    """
    net = _logits(logits, "logits")
    _check_labels(labels, net.shape)

    logs = log_softmax(net, axis=1)
    accuracy = float(np.mean(net.argmax(axis=1) == labels))
    nll = float(-logs[np.arange(len(net)), labels].mean())
    ece = calibration_error(np.exp(logs), labels)
    if reference is None:
        return Fidelity(accuracy, nll, ece)

    other = _logits(reference, "reference")
    if other.shape != net.shape:
        raise ValueError(
            f"reference is of shape {other.shape}, logits of {net.shape}: they must be the same"
        )

    agreement = float(np.mean(net.argmax(axis=1) == other.argmax(axis=1)))
    kl = _divergence(log_softmax(other, axis=1), logs)
    logit_l2 = float(np.square(net - other).sum(axis=1).mean())
    return Fidelity(accuracy, nll, ece, agreement, kl, logit_l2)


def _divergence(reference: np.ndarray, logs: np.ndarray) -> float:
    """Mean KL(reference || net) of log probabilities (n, classes).

    In log space, since a probability that rounds to 0 would make scipy's rel_entr infinite.
    """
    each = (np.exp(reference) * (reference - logs)).sum(axis=1)
    # rounding can leave a tiny negative number where the two are nearly equal
    return max(0.0, float(each.mean()))


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error, a fraction (Guo et al. 2017, eq. 3).

    The mean of the bins' |accuracy - confidence|, weighted by their share of the images. Bins
    of the top class's probability are (k / bins, (k + 1) / bins].

    Args:
        probabilities: (n, classes), each row adding up to 1.
        labels: whole numbers (n,), 0 .. classes - 1.
        bins: how many, at least 1.

    Raises:
        ValueError: shapes do not fit, a label is outside, rows are not probabilities, or no bins.
    """
    values = _logits(probabilities, "probabilities")
    _check_labels(labels, values.shape)
    if values.min() < 0 or not np.allclose(values.sum(axis=1), 1, rtol=0, atol=1e-3):
        raise ValueError(
            "probabilities are negative or do not add up to 1 in each row: give softmax outputs"
        )

    gaps = [
        abs(accuracy - confidence) * count
        for confidence, accuracy, count in _reliability(values, labels, bins)
    ]

    return sum(gaps) / len(values)


def curve(
    logits: np.ndarray, labels: np.ndarray, bins: int = BINS
) -> list[tuple[float, float, int]]:
    """Points of a reliability diagram: (mean confidence, accuracy, images) of each bin, rising.

    Empty bins are left out. Arguments, bins and errors are as in `measure` and `calibration_error`.
    """
    net = _logits(logits, "logits")
    _check_labels(labels, net.shape)
    return _reliability(softmax(net, axis=1), labels, bins)


def _reliability(
    probabilities: np.ndarray, labels: np.ndarray, bins: int
) -> list[tuple[float, float, int]]:
    if bins < 1:
        raise ValueError(f"bins is {bins}: at least 1 is needed")

    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    which = np.searchsorted(np.arange(1, bins) / bins, confidence, side="left")
    groups = [which == k for k in np.unique(which)]

    return [(float(confidence[g].mean()), float(right[g].mean()), int(g.sum())) for g in groups]


def confusion(logits: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Counts of images, int64 (classes, classes): rows are true classes, columns predicted ones.

    Raises:
        ValueError: as in `measure`, or `classes` is not the number of logits per image.
    """
    net = _logits(logits, "logits")
    _check_labels(labels, net.shape)
    if net.shape[1] != classes:
        raise ValueError(
            f"logits have {net.shape[1]} classes, {classes} are asked for: they must be the same"
        )
    return confusion_matrix(labels, net.argmax(axis=1), labels=np.arange(classes)).astype(np.int64)


def _logits(values: np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or not array.size:
        raise ValueError(
            f"{name} are of shape {array.shape}: (images, classes) is needed, neither of them 0"
        )
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).any(axis=1).sum())
        raise ValueError(
            f"{name} of {bad} among {len(array)} images are not finite: nothing can be measured"
        )

    return array


def _check_labels(labels: np.ndarray, shape: tuple[int, ...]) -> None:
    if labels.dtype.kind not in "iu" or labels.shape != shape[:1]:
        raise ValueError(
            f"labels are {labels.dtype} of shape {labels.shape}: give integers of shape {shape[:1]}"
        )
    if labels.min() < 0 or labels.max() >= shape[1]:
        raise ValueError(
            f"labels are {labels.min()} .. {labels.max()}: allowed are 0 .. {shape[1] - 1}"
        )
