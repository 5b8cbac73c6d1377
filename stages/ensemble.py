"""ensemble: choose its members on validation accuracy -> data/ensemble (Table 1, mimic targets).

Reads data/teachers, or the nets of the folder teachers/ (docs/teachers.md), and the validation part
of data/prepared; the test set only when the choice is made. Greedy forward selection without
replacement from the best single net to a fixed size; the ensemble's outputs are the arithmetic mean
of its members' logits (Urban et al. 2017, section 2.7; assumption 21).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from stages.runtime import entry
from stages.runtime.engines import from_settings
from stages.runtime.shares import shared_among
from stages.settings import common
from stages.settings.read import read_params
from stages.settings.transfer import Ensemble, ensemble
from stages.store import chance
from stages.store.atomic import write_json
from stages.store.ensemble_manifest import EnsembleManifest
from stages.store.manifest import fresh_folder
from stages.store.predictions import mean_logits, write_test_logits
from stages.store.prepared import read_test, read_validation
from stages.transfer.candidates import (
    FOLDER,
    Candidate,
    keep,
    of_files,
    of_logits,
    of_search,
    test_outputs,
)
from stages.transfer.weights import found_weights, given_weights

PREPARED = Path("data/prepared")
TEACHERS = Path("data/teachers")
OUT = Path("data/ensemble")
PRELOAD = ("stages.transfer.candidates",)
METRICS = Path("metrics/ensemble.json")


def select(
    outputs: np.ndarray, labels: np.ndarray, members: int, source: str = "teachers"
) -> tuple[list[int], list[float]]:
    """Greedy forward selection on accuracy.

    Args:
        outputs: logits (nets, n, classes) of all candidates on the validation images.
        labels: int64 (n,).
        members: size of the ensemble, at most the number of candidates.
        source: `ensemble.source`, for the error.

    Returns:
        the chosen candidates in the order of their choice, and the accuracy after each of them.
        Ties go to the candidate with the lower index.

    Raises:
        ValueError: fewer candidates than members.
    """
    if members > len(outputs):
        more = {
            "teachers": f"only {len(outputs)} teachers finished: lower it, or raise "
            "teachers.sweep.trials",
            "files": f"and teachers/ has {len(outputs)} nets: lower it, or add nets",
            "both": f"and there are {len(outputs)} nets of the search and of teachers/: lower it",
            "logits": "and there are the logits of one teacher: set it to 1",
        }
        raise ValueError(f"ensemble.members is {members}, {more[source]}")

    chosen: list[int] = []
    accuracies: list[float] = []
    total = np.zeros(outputs.shape[1:], np.float64)

    # Each time the net with which the mean is right most often.
    for _ in range(members):
        hits = [
            -1 if i in chosen else int(((total + outputs[i]).argmax(1) == labels).sum())
            for i in range(len(outputs))
        ]
        best = int(np.argmax(hits))

        chosen.append(best)
        accuracies.append(hits[best] / len(labels))
        total += outputs[best]

    return chosen, accuracies


def check_knowledge(accuracy: float, labels: np.ndarray, section: Ensemble) -> None:
    """Refuse an ensemble that has nothing to teach, before anything is labelled with it.

    Args:
        accuracy: on the validation images, a fraction.
        labels: of these.

    Raises:
        ValueError: always naming the commonest class may be as good, and that is not allowed.
    """
    if section.at_chance == "refuse" and chance.at_chance(accuracy, labels):
        change = (
            "teachers.space (lr, init_scale) or teachers.training in params.yaml"
            if section.searched
            else "what is in teachers/"
        )
        raise ValueError(
            f"the ensemble is at chance: {chance.words(accuracy, labels)}. Its teachers have learnt "
            f"nothing that students could mimic: change {change}, or set ensemble.at_chance to allow"
        )


def weights_of(
    section: Ensemble, chosen: Sequence[Candidate], outputs: np.ndarray, labels: np.ndarray
) -> tuple[float, ...] | None:
    """Weights of the members, with the sum 1; None where all are equal.

    Args:
        outputs: logits (members, n, classes) of the validation images.

    Raises:
        ValueError: they are given for other members, or cannot be found.
    """
    if section.weights == "equal":
        return None

    names = [each.origin.name if each.origin else str(each.trial) for each in chosen]
    if isinstance(section.weights, dict):
        weights = given_weights(section.weights, names)
    else:
        weights = found_weights(outputs, labels)

    said = ", ".join(f"{name} {weight:.3g}" for name, weight in zip(names, weights, strict=True))
    print(f"ensemble: weights of the members: {said}")
    return weights


def facts_of(
    chosen: Sequence[Candidate],
    accuracies: Sequence[float],
    counts: Sequence[int],
    weights: Sequence[float] | None,
) -> dict[str, Any]:
    """What metrics/ensemble.json says of nets of files among the members; nothing if there are none
    and all weights are equal.

    Args:
        accuracies: of each member on the test images.
        counts: of the parameters of each.
        weights: of each; None where all are equal.
    """
    if weights is None and not any(each.origin for each in chosen):
        return {}

    nets = []
    for each, accuracy, count in zip(chosen, accuracies, counts, strict=True):
        of_file = {"trial": each.trial} if each.origin is None else asdict(each.origin)
        nets.append({**of_file, "test_accuracy": accuracy, "params": count})
    return {"nets": nets} if weights is None else {"nets": nets, "weights": list(weights)}


def main() -> None:
    """Run the stage."""
    params = read_params()
    numerics = common.numerics(params)
    execution = common.execution(params)
    section = ensemble(params)

    with from_settings(execution, PRELOAD, [PREPARED, TEACHERS]) as asked:
        engine = shared_among(asked, 0, 1, 1)[0]

        # Chooses on the validation images.
        candidates = of_search(TEACHERS) if section.searched else []
        if section.source == "logits":
            candidates = of_logits(PREPARED)
        elif section.source != "teachers":
            wanted = (FOLDER, PREPARED, execution.device, numerics, section.at_chance)
            candidates += engine.submit(of_files, *wanted).result()
        for line in (line for each in candidates for line in each.told):
            print(f"ensemble: {line}")

        outputs = np.stack([each.outputs for each in candidates]).astype(np.float64)
        labels = read_validation(PREPARED)[1]
        places, accuracies = select(outputs, labels, section.members, section.source)
        chosen = [candidates[place] for place in places]
        weights = weights_of(section, chosen, outputs[places], labels)
        accuracy = accuracies[-1]
        if weights is not None:
            mean = mean_logits(dict(enumerate(outputs[places])), weights)
            accuracy = float((mean.argmax(1) == labels).mean())
        check_knowledge(accuracy, labels, section)

        # Evaluates the choice on the test images.
        task = engine.submit(test_outputs, chosen, PREPARED, execution.device, numerics)
        tested, counts = task.result()

    test_labels = read_test(PREPARED)[1]
    test_accuracy = float((mean_logits(tested, weights).argmax(1) == test_labels).mean())
    alone = [float((net.argmax(1) == test_labels).mean()) for net in tested.values()]

    # Writes the members, their outputs and their accuracies.
    out = fresh_folder(OUT)
    keep(chosen, out)
    write_test_logits(out / "test.safetensors", {"members": tested})

    origins = tuple(each.origin for each in chosen)
    EnsembleManifest(
        tuple(each.trial for each in chosen),
        tuple(accuracies),
        origins if any(origins) else None,
        weights,
    ).write(out)

    metrics = {
        "test_accuracy": test_accuracy,
        "validation_accuracy": accuracy,
        "params": sum(counts),
        **facts_of(chosen, alone, counts, weights),
    }
    write_json(METRICS, metrics)

    print(
        f"ensemble: {len(chosen)} of {len(candidates)} nets, validation {accuracy:.4f}, "
        f"test {test_accuracy:.4f}"
    )


if __name__ == "__main__":
    entry.run(main)
