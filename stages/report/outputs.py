"""Tables of what nets give on the test images: fidelity, confusions, reliability."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stages.report import fidelity
from stages.report.tables import markdown, millions, per_cent


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """A table of fidelity: columns target, row, budget, params and those of fidelity.Fidelity."""
    head = [
        "Net",
        "Parameters",
        "Accuracy",
        "Same class as the ensemble",
        "KL, nats",
        "Logit L2",
        "NLL, nats",
        "ECE",
    ]

    lines = []
    for entry in table.fillna({"row": "", "budget": ""}).itertuples():
        name = " ".join(part for part in (entry.target, entry.row, entry.budget) if part)
        size = "" if pd.isna(entry.params) else millions(entry.params)
        forms = ((entry.kl, "{:.3f}"), (entry.logit_l2, "{:.2f}"), (entry.nll, "{:.3f}"))
        numbers = ["" if pd.isna(value) else form.format(value) for value, form in forms]
        shares = [per_cent(100 * share) for share in (entry.accuracy, entry.agreement)]
        lines.append([name, size, *shares, *numbers, per_cent(100 * entry.ece)])

    return markdown(caption, head, lines)


def confusions(
    outputs: dict[str, np.ndarray], labels: np.ndarray, classes: list[str]
) -> pd.DataFrame:
    """Columns net, true, predicted, count; classes by name.

    Mistakes that were never made are left out: a thousand classes would have a million lines a net.
    """
    lines = []
    for name, logits in outputs.items():
        counts = fidelity.confusion(logits, labels, len(classes))
        # with the diagonal every class is there, in order
        kept = (counts > 0) | np.eye(len(classes), dtype=bool)
        lines += [(name, classes[i], classes[j], int(counts[i, j])) for i, j in np.argwhere(kept)]
    return pd.DataFrame(lines, columns=["net", "true", "predicted", "count"])


def calibrations(outputs: dict[str, np.ndarray], labels: np.ndarray) -> pd.DataFrame:
    """Reliability diagrams: columns net, confidence, accuracy, count; a line a bin with images."""
    lines = [
        (name, *point)
        for name, logits in outputs.items()
        for point in fidelity.curve(logits, labels)
    ]
    return pd.DataFrame(lines, columns=["net", "confidence", "accuracy", "count"])
