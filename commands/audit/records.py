"""Whether results belong to what dvc.lock says of them; nothing is hashed or run.

A result can have been locked with parameters or inputs that were changed while it was computed.
What a search was made with stands in its trials.json. The code does not stand there: an edit of a
comment would change the outputs. A stage compares that itself, at its beginning and end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from commands.audit.findings import Findings, Remedy
from commands.audit.origins import DATA, remade
from commands.pipeline.cache import dvc_settings, lock_outs, read_lock
from commands.pipeline.entries import Records
from commands.pipeline.leftovers import leftovers
from commands.running.outputs import same_code
from stages.search.journal import canonical, differing
from stages.settings.read import read_params
from stages.settings.students import cells
from stages.settings.transfer import ensemble
from stages.store import chance
from stages.store.atomic import read_json
from stages.store.manifest import folder_hash
from stages.store.prepared import PreparedManifest, read_validation
from stages.trials.cell import PREPARED, set_up
from stages.trials.earlier import FILE
from stages.trials.teacher import settings_of

METRICS = Path("metrics")


def check_records(findings: Findings) -> None:
    """Compare every search that dvc.lock calls done with what it was made with."""
    try:
        params = read_params()
        lock = read_lock(Path())
        outs, _, _ = lock_outs(Path(), lock)
    except (OSError, ValueError) as error:
        findings.notes.append(f"records not checked: {' '.join(str(error).split())}")
        return

    record_of = Records(Path(), lock, outs, params, lambda: dvc_settings(Path())[0])
    for stage, files in searches(params):
        record = record_of(stage)
        if record is None or not record.agrees or not same_code(lock[stage], Path()):
            continue  # DVC knows that it is to be run again

        remedy = remade(DATA / files, True, {})
        for what in other_settings(files):
            findings.problem(DATA / files, what, remedy)
        findings.counts["searches"] += 1

    check_ensemble_learnt(findings, params)
    for path in leftovers(params):
        what = "params.yaml has no such cell: another clone without this file disagrees"
        findings.problem(path, what, Remedy((str(path),), ("dvc repro",)))


def searches(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Stage as DVC calls it, and its folder below data/, of each search."""
    if ensemble(dict(params)).searched:
        yield "teachers", "teachers"
    for name in cells(dict(params)):
        yield name.dvc, name.files


def other_settings(files: str) -> Iterator[str]:
    """What differs between the record of a search and the parameters and inputs of today."""
    try:
        record = read_json(DATA / files / FILE)
        expected, inputs = expectation(files)
    except (OSError, ValueError):  # not here, or damaged, which the other parts say
        return

    if canonical(record.get("settings")) != canonical(expected):
        names = ", ".join(differing(record.get("settings"), expected)[:3])
        yield f"its trials were made with other parameters than dvc.lock says ({names})"
    if record.get("inputs") != inputs:
        yield "its trials were made from other inputs than dvc.lock says"


def expectation(files: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings of a search as params.yaml has them now, and the hashes of what it reads.

    Raises:
        OSError, ValueError: an input is not here, or params.yaml cannot be used.
    """
    params = read_params()
    if files == "teachers":
        settings, reads = settings_of(params, PreparedManifest.read(PREPARED).inputs), [PREPARED]
    else:
        name = next(each for each in cells(params) if each.files == files)
        cell, settings, _ = set_up(name)
        reads = cell.reads
    return settings, {str(path): folder_hash(path) for path in reads}


def check_ensemble_learnt(findings: Findings, params: Mapping[str, Any]) -> None:
    """Find an ensemble that knows nothing, which earlier versions distilled without a word."""
    try:
        if ensemble(dict(params)).at_chance == "allow":
            return
        accuracy = read_json(METRICS / "ensemble.json")["validation_accuracy"]
        labels = read_validation(DATA / "prepared")[1]
    except (OSError, ValueError, KeyError, TypeError):  # not made yet, or another part says it
        return

    if chance.at_chance(accuracy, labels):
        what = f"it has learnt nothing: {chance.words(accuracy, labels)}"
        findings.problem(METRICS / "ensemble.json", what, Remedy(run=("dvc repro -f -s ensemble",)))
