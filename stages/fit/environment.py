"""What a process that trains says of itself; used by the stages that run nets.

Doors that start such processes send `describe` to one: torch is imported there and not here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def describe(name: str, threads: int) -> dict[str, Any]:
    """What a process that trains says of itself: torch, device, driver, threads and the switches of determinism.

    Args:
        name: `execution.device`.
        threads: `numerics.threads`.
    """
    import torch

    from stages.fit.device import choose_device, set_up_torch

    device = choose_device(name)
    set_up_torch(threads, device)
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else "cpu",
        "driver": _driver() if cuda else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "tf32": torch.backends.cuda.matmul.allow_tf32 if cuda else None,
    }


def _driver() -> str | None:
    try:
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    except (OSError, IndexError):
        return None
