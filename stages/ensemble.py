"""ensemble: choose the members on validation accuracy -> data/ensemble (Table 1, the labels of
every mimic net).

Reads data/teachers and the validation labels of data/prepared; the test set only when the choice is
made. Greedy forward selection without replacement from the best single net to a fixed size; the
ensemble's outputs are the arithmetic mean of its members' logits (Urban et al. 2017, section 2.7;
assumption 21).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from stages.fit.evaluate import logits
from stages.nets.stored import restore
from stages.nets.teacher import described_teacher
from stages.runtime import entry
from stages.runtime.device import choose_device, set_up_torch
from stages.runtime.engines import from_settings
from stages.runtime.shares import shared_among
from stages.settings import common
from stages.settings.read import read_params
from stages.settings.transfer import ensemble
from stages.store.atomic import link_or_copy, write_json
from stages.store.manifest import fresh_folder, read_manifest, write_manifest
from stages.store.predictions import mean_logits, write_test_logits
from stages.store.prepared import read_test, read_validation
from stages.store.tensors import read_tensors
from stages.store.weights import load_weights

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
        Ties go to the
        candidate with the lower index.

    Raises:
        ValueError: fewer candidates than members.
    """
    if members > len(outputs):
        raise ValueError(
            f"ensemble.members is {members}, only {len(outputs)} teachers finished: lower it, or raise "
            "teachers.sweep.trials"
        )
    chosen, path = [], []
    total = np.zeros(outputs.shape[1:], np.float64)
    for _ in range(members):
        hits = [
            -1 if i in chosen else int(((total + outputs[i]).argmax(1) == labels).sum())
            for i in range(len(outputs))
        ]
        best = int(np.argmax(hits))
        chosen.append(best)
        path.append(hits[best] / len(labels))
        total += outputs[best]
    return chosen, path


def test_outputs(
    nets: list[Path], device_name: str, numerics: common.Numerics
) -> tuple[dict[int, np.ndarray], int]:
    """Place -> logits float32 (n, classes) of these nets for the test images, and their parameters
    all together.
    """
    device = choose_device(device_name)
    set_up_torch(numerics.threads, device)
    images, found, count = torch.from_numpy(read_test(PREPARED)[0]), {}, 0
    for place, source in enumerate(nets):
        net = (
            restore(source, described_teacher, *load_weights(source))
            .to(device)
            .to(memory_format=torch.channels_last)
        )
        found[place] = logits(net, images, numerics.eval_batch, numerics.precision).cpu().numpy()
        count += sum(p.numel() for p in net.parameters())
    return found, count


def main() -> None:
    """Run the stage."""
    params = read_params()
    numerics, execution = common.numerics(params), common.execution(params)
    trials = [entry["trial"] for entry in read_manifest(TEACHERS)["trials"]]
    files = [TEACHERS / f"{trial:03d}.validation.safetensors" for trial in trials]
    outputs = np.stack([read_tensors(path)[0]["logits"] for path in files]).astype(np.float64)
    labels = read_validation(PREPARED)[1]
    chosen, path = select(outputs, labels, ensemble(params).members)

    nets = [TEACHERS / f"{trials[candidate]:03d}.safetensors" for candidate in chosen]
    with from_settings(execution, PRELOAD, [PREPARED, TEACHERS]) as asked:
        found, count = (
            shared_among(asked, 0, 1, 1)[0]
            .submit(test_outputs, nets, execution.device, numerics)
            .result()
        )

    out, labels = fresh_folder(OUT), read_test(PREPARED)[1]
    for place, source in enumerate(nets):
        link_or_copy(source, out / f"member-{place:02d}.safetensors")
    write_test_logits(out / "test.safetensors", {"members": found})
    accuracy = float((mean_logits(found).argmax(1) == labels).mean())
    members = [trials[candidate] for candidate in chosen]
    write_manifest(out, {"members": members, "validation_accuracy": path})
    write_json(
        METRICS, {"test_accuracy": accuracy, "validation_accuracy": path[-1], "params": count}
    )
    print(
        f"ensemble: {len(members)} of {len(trials)} nets, validation {path[-1]:.4f}, test {accuracy:.4f}"
    )


if __name__ == "__main__":
    entry.run(main)
