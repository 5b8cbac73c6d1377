"""Runs that are cut and resumed end with the bytes of an unbroken run."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stages.fit.checkpoint import Checkpoint
from stages.nets.teacher import build_fast_teacher
from stages.settings.inputs import Inputs
from tests.helpers.small_runs import fit, hard, make_net, same, toy


class Cut(Exception):
    """A run is stopped here."""


EPOCHS = 7


@pytest.mark.parametrize("schedule", ["paper", "budget"])
@pytest.mark.parametrize("cut", range(EPOCHS))
def test_a_run_that_was_cut_ends_with_the_same_bytes(
    device: torch.device, tmp_path: Path, cut: int, schedule: str
) -> None:
    run = partial(fit, device, hard, max_epochs=EPOCHS, schedule=schedule)

    def checkpoint() -> Checkpoint:
        return Checkpoint(tmp_path / "c.safetensors", seconds=0)

    def stop(epoch: int, loss: float, error: float) -> None:
        if epoch == cut:
            raise Cut

    whole = run()
    with pytest.raises(Cut):
        run(checkpoint(), stop)
    torch.manual_seed(cut)  # the state of the generators must not matter
    torch.rand(cut + 1)
    resumed: list[int] = []
    other = (
        make_net(device, seed=7, classes=3, dropout=0.3) if cut else None
    )  # nor the net's weights
    again = run(checkpoint(), lambda e, *_: resumed.append(e), other)
    assert resumed == list(range(max(cut, 0), EPOCHS))
    assert same(again, whole)


def test_a_run_with_batch_norm_that_was_cut_ends_with_the_same_bytes(
    device: torch.device, tmp_path: Path
) -> None:
    """Its running statistics are in the checkpoint."""

    def net() -> nn.Module:
        torch.manual_seed(3)
        made = build_fast_teacher((4, 4, 4), [0.2], 2, Inputs.images(16))
        return made.to(device, memory_format=torch.channels_last)

    def data(device: torch.device, count: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
        images, labels = toy(device, count, seed)
        return images.repeat(1, 3, 3, 1)[:, :16, :16], labels

    def stop(epoch: int, loss: float, error: float) -> None:
        if epoch == 1:
            raise Cut

    run = partial(fit, device, data, max_epochs=4, schedule="budget")
    whole = run(net=net())
    assert int(whole.state["norm_conv1.num_batches_tracked"]) % 3 == 0, "3 steps an epoch"

    checkpoint = Checkpoint(tmp_path / "c.safetensors", seconds=0)
    with pytest.raises(Cut):
        run(checkpoint, stop, net())
    assert same(run(checkpoint, net=net()), whole)


def test_a_run_cut_at_every_epoch_and_with_a_damaged_checkpoint(
    device: torch.device, tmp_path: Path
) -> None:
    path = tmp_path / "c.safetensors"
    whole = fit(device, hard, max_epochs=EPOCHS)
    outcome = None
    for epoch in range(20):
        count = 0

        def stop(*_: Any) -> None:
            nonlocal count
            count += 1
            if count == 2:
                raise Cut

        checkpoint = Checkpoint(path, seconds=0)
        try:
            outcome = fit(device, hard, checkpoint, stop, max_epochs=EPOCHS)
            break
        except Cut:
            if epoch in (1, 3):
                path.write_bytes(path.read_bytes()[:-3])
    assert outcome is not None and same(outcome, whole)


def test_no_checkpoint_before_it_is_due(device: torch.device, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c", seconds=3600)
    fit(device, checkpoint=checkpoint, max_epochs=2)
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_falls_back_to_the_previous_file(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c.safetensors", seconds=0)
    assert checkpoint.load() is None
    for epoch in range(1, 4):
        checkpoint.save(
            [0.1 * epoch] * epoch, [1.0 / 3] * epoch, {"net.w": torch.full((2,), float(epoch))}
        )
    saved = checkpoint.load()
    assert saved.errors == [0.1 * 3] * 3 and saved.losses == [1.0 / 3] * 3
    assert torch.equal(saved.tensors["net.w"], torch.full((2,), 3.0))
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-1])
    assert len(checkpoint.load().errors) == 2
    # the damaged file must not take the place of the whole one
    checkpoint.save([0.5] * 9, [0.5] * 9, {"net.w": torch.zeros(2)})
    checkpoint.path.unlink()
    assert len(checkpoint.load().errors) == 2
    checkpoint.previous.write_bytes(b"")
    assert checkpoint.load() is None
    checkpoint.save([0.5], [0.5], {"net.w": torch.zeros(2)})
    checkpoint.clear()
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_is_due_after_its_seconds(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c", seconds=3600)
    now = time.monotonic()
    assert not checkpoint.due(now + 1800) and checkpoint.due(now + 3601)
    checkpoint.save([], [], {})
    assert not checkpoint.due(time.monotonic() + 1800)
