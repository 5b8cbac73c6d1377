"""The nets that label: our own, and those of files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from stages.nets.outside.files import files_of_net
from stages.nets.outside.member import OutsideNet, made
from stages.nets.stored import Built, Description, load_net
from stages.settings.outside import read_described
from stages.store.atomic import read_json, write_json
from stages.store.ensemble_manifest import DESCRIPTION, EnsembleManifest, net_path, outside_path
from stages.transfer.weights import weighted

ORDER = "order.json"
"""Beside the description: place in the net's outputs of each of our classes."""


def load_members(
    folder: Path,
    build: Callable[[Description], Built],
    device: torch.device,
    count: int | None = None,
) -> list[nn.Module]:
    """The nets of an ensemble on the device, in the order of their choice.

    Where it has weights, each net's logits are multiplied, so that the plain mean of all is weighted.

    Args:
        folder: of the ensemble.
        build: makes the net of a description, e.g. `described_teacher`.
        count: how many of the first ones; None for all.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: one is damaged, or cannot be run here.
    """
    manifest = EnsembleManifest.read(folder)
    count = len(manifest.members) if count is None else count
    paths = [net_path(folder, place, manifest) for place in range(count)]
    return weighted([load_member(path, build, device) for path in paths], manifest.weights)


def load_member(
    path: Path, build: Callable[[Description], Built], device: torch.device
) -> Built | OutsideNet:
    """The member that is loaded from this path of an ensemble; errors as in `load_members`."""
    if path.name != DESCRIPTION:
        return load_net(path, build, device)

    described = read_described(path)
    order = read_json(path.with_name(ORDER))
    if not isinstance(order, list) or sorted(order) != list(range(len(described.classes))):
        raise ValueError(
            f"{path.with_name(ORDER)} is not the order of {len(described.classes)} classes: "
            "run 'dvc repro --force ensemble'"
        )
    return made(path, described, order, device)


def keep_outside(path: Path, order: list[int], out: Path, place: int) -> None:
    """Copy a net of a file, with its description, into the folder of an ensemble.

    Args:
        path: of its YAML file.
        order: place in its outputs of each of our classes.
    """
    described = read_described(path)
    target = outside_path(out, place)

    # Copies: a hard link would make the user's own file a part of DVC's cache.
    target.parent.mkdir(parents=True)
    shutil.copyfile(path, target)
    for file in files_of_net(path.parent / described.file, described):
        shutil.copyfile(file, target.with_name(file.name))
    write_json(target.with_name(ORDER), order)
