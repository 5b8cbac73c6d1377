"""ensemble: choose its members on validation accuracy -> data/ensemble (Table 1, mimic targets).

Reads data/teachers and the validation labels of data/prepared; the test set only when the choice is
made. Greedy forward selection without replacement from the best single net to a fixed size; the
ensemble's outputs are the arithmetic mean of its members' logits (Urban et al. 2017, section 2.7;
assumption 21).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.fit.evaluate import logits
from stages.nets.stored import load_net
from stages.nets.teacher import described_teacher
from stages.runtime import entry
from stages.runtime.device import choose_device, set_up_torch
from stages.runtime.engines import from_settings
from stages.runtime.shares import shared_among
from stages.settings import common
from stages.settings.read import read_params
from stages.settings.transfer import Ensemble, ensemble
from stages.store import chance
from stages.store.atomic import link_or_copy, write_json
from stages.store.ensemble_manifest import EnsembleManifest, member_path
from stages.store.manifest import fresh_folder, read_manifest
from stages.store.predictions import mean_logits, write_test_logits
from stages.store.prepared import read_test, read_validation
from stages.store.tensors import read_tensors

PREPARED = Path("data/prepared")
TEACHERS = Path("data/teachers")
OUT = Path("data/ensemble")
PRELOAD = ("stages.fit.evaluate", "stages.nets.teacher")
METRICS = Path("metrics/ensemble.json")


def select(outputs: np.ndarray, labels: np.ndarray, members: int) -> tuple[list[int], list[float]]:
    """Greedy forward selection on accuracy.

    Args:
        outputs: logits (nets, n, classes) of all candidates on the validation images.
        labels: int64 (n,).
        members: size of the ensemble, at most the number of candidates.

    Returns:
        the chosen candidates in the order of their choice, and the accuracy after each of them.
        Ties go to the candidate with the lower index.

    Raises:
        ValueError: fewer candidates than members.
    """
    if members > len(outputs):
        raise ValueError(
            f"ensemble.members is {members}, only {len(outputs)} teachers finished: lower it, or "
            "raise teachers.sweep.trials"
        )

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
        raise ValueError(
            f"the ensemble is at chance: {chance.words(accuracy, labels)}. Its teachers have learnt "
            "nothing that students could mimic: change teachers.space (lr, init_scale) or "
            "teachers.training in params.yaml, or set ensemble.at_chance to allow"
        )


def evaluate_members(
    nets: list[Path], device_name: str, numerics: common.Numerics
) -> tuple[dict[int, np.ndarray], int]:
    """Outputs of these nets on the test images.

    Returns:
        place -> logits float32 (n, classes), and the number of parameters of all nets together.
    """
    device = choose_device(device_name)
    set_up_torch(numerics.threads, device)
    images = read_test(PREPARED)[0]

    outputs = {}
    params = 0
    for place, path in enumerate(nets):
        net = load_net(path, described_teacher, device)
        values = logits(net, images, numerics.eval_batch, numerics.precision)
        outputs[place] = values.cpu().numpy()
        params += sum(parameter.numel() for parameter in net.parameters())

    return outputs, params


def main() -> None:
    """Run the stage."""
    params = read_params()
    numerics = common.numerics(params)
    execution = common.execution(params)

    # Chooses on the validation images.
    trials = [trial["trial"] for trial in read_manifest(TEACHERS)["trials"]]
    files = [TEACHERS / f"{trial:03d}.validation.safetensors" for trial in trials]
    candidates = np.stack([read_tensors(path)[0]["logits"] for path in files]).astype(np.float64)
    labels = read_validation(PREPARED)[1]
    chosen, accuracies = select(candidates, labels, ensemble(params).members)
    check_knowledge(accuracies[-1], labels, ensemble(params))

    # Evaluates the choice on the test images.
    members = [trials[candidate] for candidate in chosen]
    nets = [TEACHERS / f"{trial:03d}.safetensors" for trial in members]

    with from_settings(execution, PRELOAD, [PREPARED, TEACHERS]) as asked:
        engine = shared_among(asked, 0, 1, 1)[0]
        task = engine.submit(evaluate_members, nets, execution.device, numerics)
        outputs, count = task.result()

    test_labels = read_test(PREPARED)[1]
    test_accuracy = float((mean_logits(outputs).argmax(1) == test_labels).mean())

    # Writes the members, their outputs and their accuracies.
    out = fresh_folder(OUT)
    for place, path in enumerate(nets):
        link_or_copy(path, member_path(out, place))

    write_test_logits(out / "test.safetensors", {"members": outputs})
    EnsembleManifest(tuple(members), tuple(accuracies)).write(out)

    accuracy = accuracies[-1]
    metrics = {"test_accuracy": test_accuracy, "validation_accuracy": accuracy, "params": count}
    write_json(METRICS, metrics)

    print(
        f"ensemble: {len(members)} of {len(trials)} nets, validation {accuracy:.4f}, "
        f"test {test_accuracy:.4f}"
    )


if __name__ == "__main__":
    entry.run(main)
