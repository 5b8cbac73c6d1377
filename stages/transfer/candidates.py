"""Nets that may become members of the ensemble: trials of the search, and nets of files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from stages.fit.evaluate import logits
from stages.nets.outside.member import OutsideNet, load_outside
from stages.nets.stored import load_net
from stages.nets.teacher import described_teacher
from stages.runtime.copies import clone_of
from stages.runtime.device import choose_device, set_up_torch
from stages.settings.common import Numerics
from stages.store import chance
from stages.store.atomic import link_or_copy
from stages.store.ensemble_manifest import MemberOrigin, member_path
from stages.store.manifest import read_manifest
from stages.store.outside_logits import AGAIN, INSIDE, OutsideLogits, read_part
from stages.store.outside_logits import FOLDER as LOGITS
from stages.store.prepared import PreparedManifest, read_test, read_validation
from stages.store.tensors import read_tensors
from stages.transfer.members import keep_outside
from stages.transfer.outside import descriptions, like_probabilities, look_at, permuted

FOLDER = Path("teachers")
"""Where nets of files are, from the root; DVC watches it."""

IN_COPY = (
    "this is a copy for an experiment, which has only what git and DVC know: 'git add' or 'dvc add' "
    "the files of teachers/, then start the experiment again"
)


@dataclass(frozen=True)
class Candidate:
    """One net; small but for its outputs, since it travels between processes.

    Attributes:
        path: of its weights, or of the YAML file that describes it.
        outputs: logits (n, classes) of the validation images.
        trial: its number in the search; None for a net of a file.
        origin: where it is from; None for a trial.
        order: place in its outputs of each class; of a net of a file.
        told: lines that say what was found of it.
    """

    path: Path
    outputs: np.ndarray
    trial: int | None = None
    origin: MemberOrigin | None = None
    order: tuple[int, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def only_logits(self) -> bool:
        """Whether there is no net, but only what one has given."""
        return self.origin is not None and self.origin.format == INSIDE


def of_search(teachers: Path) -> list[Candidate]:
    """The trials of the search, by number."""
    trials = [trial["trial"] for trial in read_manifest(teachers)["trials"]]
    files = [teachers / f"{trial:03d}.validation.safetensors" for trial in trials]
    return [
        Candidate(teachers / f"{trial:03d}.safetensors", read_tensors(file)[0]["logits"], trial)
        for trial, file in zip(trials, files, strict=True)
    ]


def of_files(
    folder: Path, prepared: Path, device_name: str, numerics: Numerics, at_chance: str
) -> list[Candidate]:
    """The nets of the files in a folder, by name, after a look at each.

    Args:
        at_chance: of `ensemble`: "refuse" or "allow".

    Raises:
        FileNotFoundError, ValueError: one of them cannot be a teacher.
    """
    device = choose_device(device_name)
    set_up_torch(numerics.threads, device)
    images, labels, _ = read_validation(prepared)
    classes = PreparedManifest.read(prepared).classes

    found = []
    with _only_here():
        paths = descriptions(folder)
    for path in paths:
        with _only_here():
            net = look_at(path, classes, images, labels, device, numerics.eval_batch)
        if at_chance == "refuse" and chance.at_chance(net.accuracy, labels):
            raise ValueError(
                f"{path} describes a net that is at chance here: {'; '.join(net.lines)}. Correct "
                "the description, take the net away, or set ensemble.at_chance to allow"
            )
        origin = MemberOrigin(net.name, net.format, net.accuracy)
        found.append(Candidate(path, net.outputs, None, origin, net.order, net.lines))
    return found


def of_logits(prepared: Path) -> list[Candidate]:
    """Logits from elsewhere in the place of a net.

    Raises:
        FileNotFoundError, ValueError: they are missing, of other images, or of other classes.
    """
    with _only_here():
        manifest = OutsideLogits.read(LOGITS)
    classes = PreparedManifest.read(prepared).classes
    if manifest.classes != classes:
        raise ValueError(f"{LOGITS} has logits of other classes than the data: {AGAIN}")

    images, labels, _ = read_validation(prepared)
    with _only_here():
        outputs = read_part(LOGITS, "validation", images)
    accuracy = float((outputs.argmax(1) == labels).mean())

    told = [f"{manifest.name} (logits): {chance.words(accuracy, labels)}"]
    if manifest.was == "logits" and like_probabilities(outputs):
        told.append("  these look like probabilities: import them with --output probabilities")
    told += permuted(range(len(classes)), outputs, labels, classes)
    origin = MemberOrigin(manifest.name, INSIDE, accuracy)
    return [Candidate(LOGITS, outputs, None, origin, (), tuple(told))]


@contextmanager
def _only_here() -> Iterator[None]:
    """Where a copy for an experiment lacks a file, the error says how it gets it.

    Never the file of the clone: DVC hashes those of the copy, and would give the ensemble of other
    nets from its cache of runs.
    """
    try:
        yield
    except FileNotFoundError as error:
        if clone_of(Path.cwd() / FOLDER) is None:
            raise
        raise FileNotFoundError(f"{error}; {IN_COPY}") from None


def test_outputs(
    nets: Sequence[Candidate], prepared: Path, device_name: str, numerics: Numerics
) -> tuple[dict[int, np.ndarray], list[int]]:
    """Outputs of these nets on the test images.

    Returns:
        place -> logits float32 (n, classes), and the number of parameters of each net.
    """
    device = choose_device(device_name)
    set_up_torch(numerics.threads, device)
    images = read_test(prepared)[0]
    classes = PreparedManifest.read(prepared).classes

    outputs = {}
    params = []
    for place, each in enumerate(nets):
        if each.only_logits:
            outputs[place] = read_part(each.path, "test", images)
            params.append(0)
            continue

        net: nn.Module = (
            load_outside(each.path, classes, device)
            if each.trial is None
            else load_net(each.path, described_teacher, device)
        )
        values = logits(net, images, numerics.eval_batch, numerics.precision)
        outputs[place] = values.cpu().numpy()
        if isinstance(net, OutsideNet):
            params.append(net.count(each.path.parent))
        else:
            params.append(sum(parameter.numel() for parameter in net.parameters()))

    return outputs, params


def keep(nets: Sequence[Candidate], out: Path) -> None:
    """Put the files of these nets into the folder of an ensemble, in this order."""
    for place, each in enumerate(nets):
        if each.only_logits:
            shutil.copytree(each.path, out / INSIDE)
            (out / INSIDE / "manifest.json").unlink()  # data/ensemble has its own
        elif each.trial is None:
            keep_outside(each.path, list(each.order), out, place)
        else:
            link_or_copy(each.path, member_path(out, place))
