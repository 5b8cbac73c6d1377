"""What nets say of further test sets; it runs in its own process."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from stages.fit.evaluate import mean_logits
from stages.images.sources.extra import read_extra
from stages.images.sources.extra_sets import ExtraPart, ExtraSet
from stages.nets.student import described_student
from stages.nets.teacher import described_teacher
from stages.runtime.device import check_precision, choose_device, set_up_torch
from stages.store.prepared import read_test
from stages.store.tensors import write_tensors
from stages.transfer.members import load_member
from stages.transfer.weights import weighted
from stages.trials.scored import ScoredNet, ScoredPart, ScoreJob

BUILD = {"student": described_student, "teacher": described_teacher}
"""Kind of a net -> what builds it."""

ANOTHER_NET = 0.05
"""Largest allowed difference of a logit to the stored ones, as a share of the largest of these.

They may be from another machine or in bfloat16. A net of another trial differs by more.
"""


def score_parts(
    job: ScoreJob, places: list[int], on_part: Callable[[], None] | None = None
) -> None:
    """Ask every net about these parts, as far as no whole result is there.

    Args:
        places: of the parts in the job.
        on_part: called after each of them.

    Raises:
        FileNotFoundError: a file or folder is missing.
        ValueError: a net is not the one whose outputs are stored, or a set has changed.
    """
    device = choose_device(job.device)
    check_precision(device, job.numerics.precision)
    set_up_torch(job.numerics.threads, device)

    tests = read_test(job.prepared)[0]
    checked: set[str] = set()
    opened: dict[str, list[ExtraSet]] = {}

    for place in places:
        part = job.parts[place]
        missing = job.unanswered(part)
        if missing and part.name not in opened:
            columns = (job.image_column, job.label_column)
            sets = read_extra(part.name, part.test, job.classes, job.rule, *columns)
            opened = {part.name: sets}

        for net in missing:
            nets = load(net, device)
            if net.key not in checked:
                check(job, net, nets, tests)
                checked.add(net.key)

            named = classes_named(job, nets, images_of(part, opened[part.name]))
            if len(named) != part.count:
                raise ValueError(
                    f"{part.test.path} has changed while it was read: run 'dvc repro' again"
                )
            write_tensors(job.result(part, net), {"named": named}, {})

        if on_part is not None:
            on_part()


def images_of(part: ScoredPart, sets: list[ExtraSet]) -> ExtraPart:
    """The images of a part of an opened folder."""
    which, corruption = part.place
    return sets[which].parts[corruption]


def load(net: ScoredNet, device: torch.device) -> list[nn.Module]:
    """The net, or those that are averaged."""
    nets: list[nn.Module] = [load_member(path, BUILD[net.kind], device) for path in net.weights]
    return weighted(nets, net.shares)


def classes_named(job: ScoreJob, nets: list[nn.Module], part: ExtraPart) -> np.ndarray:
    """The class of the largest output for each image, uint16 (n,)."""
    return np.concatenate([outputs(job, nets, block).argmax(1) for block in part.blocks()]).astype(
        np.uint16
    )


def outputs(job: ScoreJob, nets: list[nn.Module], images: np.ndarray) -> np.ndarray:
    """Mean of the nets' logits, float32 (n, classes), for uint8 images (n, s, s, 3)."""
    numerics = job.numerics
    count = len(nets)
    return mean_logits(nets, images, numerics.eval_batch, numerics.precision, [count])[count]


def check(job: ScoreJob, net: ScoredNet, nets: list[nn.Module], tests: np.ndarray) -> None:
    """Refuse a net whose outputs on the first test images are not those that the run has stored.

    Raises:
        ValueError: they are not.
    """
    given = outputs(job, nets, tests[: len(net.sample)])
    same = given.shape == net.sample.shape
    largest = float(np.abs(given - net.sample).max()) if same else np.inf
    if not largest <= ANOTHER_NET * float(np.abs(net.sample).max()):
        folder = net.weights[0].parent
        raise ValueError(
            f"{net.weights[0]} gives other outputs than those stored beside it: take both from one "
            f"run, with 'dvc checkout {folder}' or 'dvc pull {folder}'"
        )
