"""Tests of training; `pytest tests/stages/fit tests/stages/images --device cuda` runs them on a GPU."""

from __future__ import annotations

import pytest
import torch

from stages.runtime.device import set_up_torch


@pytest.fixture(autouse=True)
def _torch(device: torch.device) -> None:
    set_up_torch(1, device)
