"""The device, threads, precision and memory that trials are given."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from stages.runtime.device import check_precision, choose_device, set_up_torch
from tools.pocket import ROOT


def test_choose_device() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_cuda_says_what_to_change() -> None:
    with pytest.raises(ValueError, match="set execution.device to 'auto' or 'cpu' in params.yaml"):
        choose_device("cuda")


def test_set_up_torch_sets_the_threads(device: torch.device) -> None:
    set_up_torch(2, device)
    assert torch.get_num_threads() == 2
    set_up_torch(1, device)
    assert torch.get_num_threads() == 1


def test_set_up_for_cuda_leaves_torchs_compiler_alone() -> None:
    """In its own process, and without a GPU: nothing of it asks CUDA.

    Importing the compiler takes seconds, and every process of trials would pay for it.
    """
    code = """
import sys, torch
from stages.runtime.device import set_up_torch
set_up_torch(1, torch.device("cuda"))
print("torch._inductor" in sys.modules, "torch._dynamo" in sys.modules)
print(torch.are_deterministic_algorithms_enabled())
print(torch.is_deterministic_algorithms_warn_only_enabled())
"""
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == ["False", "False", "True", "True"]


def test_bf16_without_its_instructions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_precision(torch.device("cpu"), "fp32")
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    check_precision(torch.device("cpu"), "bf16")
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    with pytest.raises(
        ValueError, match="numerics.precision is 'bf16' and this CPU has no .* set it to 'fp32'"
    ):
        check_precision(torch.device("cpu"), "bf16")
    check_precision(torch.device("cpu"), "fp32")


def test_freed_memory_is_kept(device: torch.device) -> None:
    """In its own process: blocks that are freed and asked for again cost no page faults.

    The first few may lie at new places, since what is free has to hold their alignment too.
    """
    code = """
import resource, torch
from stages.runtime.device import set_up_torch
set_up_torch(1, torch.device("cpu"))
for turn in range(25):
    if turn == 20:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)  # 64 MiB: glibc would give them back
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    root = ROOT
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert int(out.stdout) < 1000  # five times 16,384 pages
