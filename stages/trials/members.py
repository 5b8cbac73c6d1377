"""The best nets of a cell as an ensemble, as the teachers of 2014 are kept (Ba and Caruana 2014)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.search.ask_tell import TrialRow, top
from stages.store.ensemble_manifest import EnsembleManifest
from stages.store.predictions import mean_logits, read_test_logits
from stages.store.prepared import read_test
from stages.trials.cell import Cell


def write_members(cell: Cell, rows: list[TrialRow], out: Path) -> dict[str, Any]:
    """The nets of lowest validation error as an ensemble: its members, params, test accuracy.

    Raises:
        ValueError: fewer trials have finished than it has members.
    """
    chosen = top(rows, cell.keep)
    if len(chosen) < cell.keep:
        raise ValueError(
            f"params.yaml: teachers_2014.members is {cell.keep}, only {len(chosen)} trials "
            "finished: lower it, or raise hard.sweep.trials"
        )

    EnsembleManifest(tuple(member.trial for member in chosen)).write(out)

    outputs = read_test_logits(cell.tests)["trials"]
    _, labels, _ = read_test(cell.prepared)
    mean = mean_logits({member.trial: outputs[member.trial] for member in chosen})

    return {
        "members": len(chosen),
        "ensemble_params": sum(member.result["params"] for member in chosen),
        "ensemble_test_accuracy": float((mean.argmax(1) == labels).mean()),
    }
