"""What the paper prints, and which rows of a run are rows of the paper."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

from stages.nets.families import FAMILIES, family_of

BUDGET_2014 = "70.9M"
"""The budget at which `snn-2014` has the printed widths."""


def paper_values() -> dict[str, Any]:
    """Table 1 and Table 2 as printed, accuracies in percent (Urban et al. 2017)."""
    return json.loads((resources.files("stages.report") / "paper.json").read_text())


def printed_rows() -> dict[str, Any]:
    """Row -> label and accuracies by budget, as in Table 2; its last line is `snn-2014`."""
    table = paper_values()["table2"]
    last = table["reference_row"]
    reference = {"label": last["label"], "accuracy": {BUDGET_2014: last["accuracy"]}}
    return {**table["rows"], "snn-2014": reference}


def convolutions(family: str) -> int:
    """How many convolutional layers the nets of a family have.

    Raises:
        ValueError: no such family.
    """
    return family_of(family).layout.count("c")


def of_the_paper(row: str, family: str) -> bool:
    """Whether a row is the paper's: Table 2 prints its name, and its nets are as deep as there.

    A row `conv2` with nets of three convolutions, or of none, is a row of the user's own.

    Args:
        family: of the row's nets, a key of FAMILIES.
    """
    if row not in printed_rows():
        return False
    same_convolutions = convolutions(family) == convolutions(row)
    return same_convolutions and FAMILIES[family].hidden == FAMILIES[row].hidden


def label(row: str, family: str) -> str:
    """A row in figures: Table 2's words for its depth if it is the paper's, else its name."""
    printed = paper_values()["table2"]["rows"]
    if row not in printed or not of_the_paper(row, family):
        return row
    return re.split(r", \d max", printed[row]["label"])[0]
