"""The engine that params.yaml asks for, and how many trials it runs at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from stages.runtime.cluster.executor import Cluster
from stages.runtime.executors import DEVICES, Local, Serial
from stages.settings.common import Execution

CHOSEN = "MIMICNETS_GPUS_CHOSEN"
"""Set to 1 where CUDA_VISIBLE_DEVICES already is what `execution.devices` chose: all are taken."""

Engine = Serial | Local | Cluster


def from_settings(
    execution: Execution, preload: Sequence[str] = (), inputs: Sequence[Path] = ()
) -> Engine:
    """The executor that `execution` asks for; `slots` of it is how many trials it runs at a time.

    On GPUs that is their number times `trials_per_gpu`; on CPUs it is `execution.slots`, but on a
    cluster no more than it has CPUs.

    Args:
        preload: modules that every trial imports.
        inputs: data folders that trials read.

    Raises:
        ValueError: no GPU or not those that are asked for, no such cluster, or an unknown engine.
    """
    if execution.engine == "ray":
        return on_cluster(execution, inputs)

    if execution.engine == "serial":
        gpus = [] if execution.devices is None else chosen_gpus(execution, preload)
        if gpus:
            os.environ[DEVICES] = gpus[0]
        return Serial()

    if execution.engine != "local":
        raise ValueError(
            f"execution.engine is {execution.engine!r}: allowed are 'serial', 'local' and 'ray'"
        )

    gpus = chosen_gpus(execution, preload)
    if gpus:
        return Local(len(gpus) * execution.trials_per_gpu, preload, gpus)
    return Local(execution.slots, preload)


def on_cluster(execution: Execution, inputs: Sequence[Path]) -> Cluster:
    """The executor on the Ray cluster at `address`.

    Raises:
        ValueError: no address, numbers of GPUs, or what `Cluster` refuses.
    """
    if execution.address is None:
        raise ValueError(
            "execution.engine is 'ray' and execution.address is null: "
            "name the cluster, as 10.0.0.1:6379"
        )

    if execution.devices is not None:
        raise ValueError(
            f"execution.devices is {list(execution.devices)} and execution.engine is 'ray', "
            "which gives out GPUs: set execution.devices to null, and limit a node's by "
            "CUDA_VISIBLE_DEVICES where Ray is started on it"
        )

    return Cluster(
        execution.address,
        execution.slots,
        execution.device,
        execution.trials_per_gpu,
        inputs,
        execution.scratch,
    )


def chosen_gpus(execution: Execution, preload: Sequence[str] = ()) -> list[str]:
    """GPUs for trials, as CUDA_VISIBLE_DEVICES names them; none where trials run on a CPU.

    Raises:
        ValueError: there are none and `device` is cuda, CUDA cannot use those that the driver
            lists, or one of `devices` is not there.
    """
    if execution.device == "cpu":
        return []

    # In another process, since this one never imports torch.
    with Local(1, preload) as one:
        visible = one.submit(visible_gpus).result()

    if not visible and execution.device == "cuda":
        raise ValueError(
            "execution.device is 'cuda' and torch sees no CUDA device: check the driver with "
            "nvidia-smi, or set execution.device to 'auto' or 'cpu' in params.yaml"
        )

    if execution.devices is None or not visible or os.environ.get(CHOSEN) == "1":
        return visible

    missing = [number for number in execution.devices if number >= len(visible)]
    if missing:
        raise ValueError(
            f"execution.devices has {missing[0]}, and torch sees {len(visible)} GPUs: "
            f"allowed are 0 to {len(visible) - 1}, or null for all"
        )

    return [visible[number] for number in execution.devices]


def visible_gpus() -> list[str]:
    """The GPUs that torch can use, as CUDA_VISIBLE_DEVICES names them.

    Raises:
        ValueError: CUDA cannot use those that the driver lists.
    """
    from stages.runtime.device import usable_gpus

    count = usable_gpus()
    named = [name.strip() for name in os.environ.get(DEVICES, "").split(",") if name.strip()]
    return named[:count] if named else [str(number) for number in range(count)]


def slots_of(execution: Execution, gpus: int | None = None) -> int:
    """Trials at a time, for estimates.

    Args:
        gpus: how many there are, where `devices` is None; None if that is not known, for which one
            is assumed.
    """
    if execution.engine == "serial":
        return 1
    if execution.device != "cuda":
        return execution.slots

    count = (gpus or 1) if execution.devices is None else len(execution.devices)
    return count * execution.trials_per_gpu
