"""The device, threads, precision and memory that trials are given."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from stages.runtime.device import check_precision, choose_device, set_up_torch, usable_gpus
from tools.pocket import ROOT


def test_choose_device() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_cuda_says_what_to_change() -> None:
    with pytest.raises(ValueError, match="set execution.device to 'auto' or 'cpu' in params.yaml"):
        choose_device("cuda")


def answer(monkeypatch: pytest.MonkeyPatch, cuda: int, nvml: int) -> None:
    """Let the CUDA runtime and NVML (-1: it is not there) count so many GPUs."""
    monkeypatch.setattr(torch._C, "_cuda_getDeviceCount", lambda: cuda, raising=False)
    monkeypatch.setattr(torch.cuda, "_device_count_nvml", lambda: nvml)
    monkeypatch.setattr(torch.cuda, "_initialized", False)
    monkeypatch.setattr(torch.cuda, "_cached_device_count", None)


@pytest.mark.parametrize(("cuda", "nvml"), [(2, 2), (2, -1), (1, 1)])
def test_gpus_are_used_where_cuda_can(
    monkeypatch: pytest.MonkeyPatch, cuda: int, nvml: int
) -> None:
    answer(monkeypatch, cuda, nvml)
    assert usable_gpus() == cuda
    found = {name: choose_device(name).type for name in ("cpu", "auto", "cuda")}
    assert found == {"cpu": "cpu", "auto": "cuda", "cuda": "cuda"}


@pytest.mark.parametrize("nvml", [0, -1])
def test_without_gpus_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch, nvml: int) -> None:
    """No driver, or CUDA_VISIBLE_DEVICES hides what there is."""
    answer(monkeypatch, 0, nvml)
    assert usable_gpus() == 0
    assert [choose_device(name).type for name in ("cpu", "auto")] == ["cpu", "cpu"]
    with pytest.raises(ValueError, match="execution.device is 'cuda' and torch sees no CUDA"):
        choose_device("cuda")


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_gpu_that_cuda_cannot_use_is_said(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A driver that is too old for the CUDA of torch: NVML counts its GPUs all the same."""
    answer(monkeypatch, 0, 1)
    with pytest.raises(
        ValueError,
        match="driver lists 1 GPU, and CUDA .* cannot use any: update the driver .*580 .*, install "
        "torch for an older CUDA .*, or set execution.device to 'cpu' in params.yaml",
    ):
        choose_device(name)
    assert choose_device("cpu").type == "cpu"


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


def test_numbers_on_a_gpu_are_as_precise_as_their_type() -> None:
    """In its own process, and without a GPU."""
    code = """
import torch
from stages.runtime.device import set_up_torch
matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
matmul.allow_tf32 = cudnn.allow_tf32 = True
set_up_torch(1, torch.device("cuda"))
print(matmul.allow_tf32, cudnn.allow_tf32, matmul.allow_bf16_reduced_precision_reduction)
"""
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == ["False", "False", "False"]


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
