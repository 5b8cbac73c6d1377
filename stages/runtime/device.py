"""The device a trial runs on, and torch's state in its process."""

from __future__ import annotations

import ctypes
import os
import warnings

import torch


def usable_gpus() -> int:
    """GPUs that trials can run on; 0 where there are none, or CUDA_VISIBLE_DEVICES hides them.

    Raises:
        ValueError: the driver lists GPUs and CUDA cannot use them.
    """
    # Before CUDA has begun this asks the driver's library NVML, and only without it CUDA itself.
    listed = torch.cuda.device_count()
    if not listed or torch.cuda.is_available():
        return listed

    raise ValueError(
        f"the NVIDIA driver lists {listed} GPU{'s' if listed > 1 else ''}, and CUDA "
        f"{torch.version.cuda} of torch {torch.__version__} cannot use any: update the driver "
        "(nvidia-smi shows its version; CUDA 13 needs 580 or later, CUDA 12 needs 525), install "
        "torch for an older CUDA (docs/faq.md), or set execution.device to 'cpu' in params.yaml"
    )


def choose_device(name: str) -> torch.device:
    """The device for `execution.device`: "cpu", "cuda", or "auto" (CUDA where there is a GPU).

    Raises:
        ValueError: "cuda" was asked for and torch sees none; or, unless "cpu" was asked for, what
            `usable_gpus` refuses.
    """
    if name == "cpu":
        return torch.device("cpu")

    if usable_gpus():
        return torch.device("cuda")

    if name == "cuda":
        raise ValueError(
            "execution.device is 'cuda' and torch sees no CUDA device: check the driver with "
            "nvidia-smi, or set execution.device to 'auto' or 'cpu' in params.yaml"
        )
    return torch.device("cpu")


def check_precision(device: torch.device, precision: str) -> None:
    """Refuse a precision that the device only emulates.

    Raises:
        ValueError: "bf16" on a CPU or GPU without bfloat16 instructions.
    """
    if precision != "bf16":
        return

    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        name = torch.cuda.get_device_name(device)
    else:
        able = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        name = "this CPU"

    if not able:
        raise ValueError(
            f"numerics.precision is 'bf16' and {name} has no bfloat16 instructions: "
            "set it to 'fp32' in params.yaml"
        )


def set_up_torch(threads: int, device: torch.device) -> None:
    """Make torch deterministic in this process and set its number of threads.

    Same machine, torch, device and thread count then give the same bytes. TF32 stays off, so that
    fp32 means fp32. Torch only warns about maximum pooling, whose backward pass is deterministic all
    the same: on CUDA each element gathers its contributions in one order (PyTorch's
    DilatedMaxPool2d.cu), whether windows overlap or not.
    """
    torch.set_num_threads(threads)
    keep_freed_memory()
    if device.type != "cuda":
        return

    # Deterministic algorithms.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # not use_deterministic_algorithms, which imports torch's compiler: 2 s in every process
    torch.set_deterministic_debug_mode("warn")
    warnings.filterwarnings("ignore", message="max_pool2d_with_indices_backward_cuda does not have")

    # Else every buffer costs a kernel. Torch sets the attribute up when it is imported, where mypy
    # cannot see it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    # Full precision.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False

    # Sums of bf16 products in float32, as a CPU adds them.
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def keep_freed_memory() -> None:
    """Have the C library keep freed blocks instead of giving each back to the system.

    A training step frees and asks for the same large blocks again, and fresh ones cost a page fault
    for every 4 KiB. Only glibc has this switch; memory stays at its peak.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-4, 0)  # M_MMAP_MAX: no blocks outside the heap
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the heap does not shrink
