"""Where, with what and from which commit each stage's results were computed.

metrics/environment.json is not an output of the pipeline: it says how results came about, and they
must not depend on it. A stage that DVC restores from its cache leaves it as it is.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.store.atomic import alone, read_json, write_json

RECORD = Path("metrics/environment.json")
WORK = Path("work")
"""Where its lock lies, since metrics/ is kept by git."""

DRIVER = Path("/proc/driver/nvidia/version")

PACKAGES = ("numpy", "scipy", "GPyOpt", "GPy", "dvc")
CODE = ("stages", "dvc.yaml", "params.yaml")


def record(
    stage: str, details: Mapping[str, Any], path: Path = RECORD, continued: bool = False
) -> None:
    """Put `stage` under the environment that it ran in, together with others that ran in the same.

    Args:
        stage: as DVC calls it, e.g. "students@mlp1-60k".
        details: what the computing process said of itself, see `describe`; and precision and seed.
        continued: whether part of the result is of an earlier run, whose environment is kept then.
    """
    environment = {**source(), **host(), **details}

    # Cells may run side by side.
    with alone(WORK / path.name):
        _record(stage, environment, path, continued)


def _record(stage: str, environment: Mapping[str, Any], path: Path, continued: bool) -> None:
    # Without what an earlier run of the stage has left, unless this one goes on with it.
    kept = [
        {**entry, "stages": [name for name in entry["stages"] if continued or name != stage]}
        for entry in _read(path)
    ]

    for entry in kept:
        if {key: value for key, value in entry.items() if key != "stages"} == environment:
            entry["stages"] = sorted({*entry["stages"], stage})
            break
    else:
        kept.append({**environment, "stages": [stage]})

    write_json(path, [entry for entry in kept if entry["stages"]])


def _read(path: Path) -> list[dict[str, Any]]:
    """What is recorded so far; nothing if the file is not one of ours, which is then replaced."""
    try:
        entries = read_json(path)
    except (FileNotFoundError, ValueError):
        return []

    whole = isinstance(entries, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("stages"), list) for entry in entries
    )
    return entries if whole else []


def source() -> dict[str, Any]:
    """Commit, and whether code or parameters differ from it; None without git."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", *CODE)
    return {"commit": commit, "changed": None if changed is None else bool(changed)}


def _git(*words: str) -> str | None:
    """Output of a git command; None where it fails."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def host() -> dict[str, Any]:
    """Processor, system, Python and the packages that results depend on."""
    return {
        "processor": processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def processor() -> str:
    """Name of the processor, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def describe(name: str, threads: int) -> dict[str, Any]:
    """Torch, device, driver, threads and determinism of a process that trains; run in that process.

    Args:
        name: `execution.device`.
        threads: `numerics.threads`.
    """
    import torch

    from stages.runtime.device import choose_device, set_up_torch

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
        "tf32": _tf32() if cuda else None,
    }


def _tf32() -> bool:
    """Whether products of matrices or convolutions in fp32 may be computed in TF32."""
    import torch

    return torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32


def _driver() -> str | None:
    """The NVIDIA driver as the kernel names it, or its number; None where neither is to be had."""
    try:
        return DRIVER.read_text().splitlines()[0]
    except (OSError, IndexError):
        return _driver_number()


def _driver_number() -> str | None:
    """By NVML, the driver's own library: sandboxes such as gVisor have no file of the kernel's."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None

    text = ctypes.create_string_buffer(80)  # NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE
    if nvml.nvmlInit_v2() != 0:
        return None

    failed = nvml.nvmlSystemGetDriverVersion(text, len(text))
    nvml.nvmlShutdown()
    return None if failed else text.value.decode()
