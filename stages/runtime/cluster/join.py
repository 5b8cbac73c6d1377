"""How a driver joins a Ray cluster, or says in one line why it cannot."""

from __future__ import annotations

import importlib
import logging
import os
import re
import socket
import threading
from typing import Any

from stages.runtime.cluster import task as cluster_task

CONNECT_SECONDS = 20.0
DRIVER = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial on a CPU sees no GPU, and no warning
    # else Ray ends the driver 60 s after the head is gone
    "RAY_gcs_rpc_server_reconnect_timeout_s": "180",
}
"""Read when Ray is imported; what is set already stays."""


def connected(address: str) -> Any:
    """The module `ray`, as a driver of the cluster at `address`.

    Raises:
        ValueError: it is not installed, or there is no such cluster.
    """
    for name, value in DRIVER.items():
        os.environ.setdefault(name, value)

    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise ValueError(
            f"execution.engine is 'ray' and Ray cannot be imported ({line(error)}): "
            "pip install '.[ray]', or set execution.engine to 'local' or 'serial' in params.yaml"
        ) from None

    _check_address(address)
    ray.cloudpickle.register_pickle_by_value(cluster_task)

    fault = _join(ray, address)
    if fault:
        raise ValueError(
            f"cannot join the Ray cluster at {address} ({fault}): "
            "run on one of its nodes, with the Ray and Python that it has"
        )

    return ray


def _check_address(address: str) -> None:
    """Check that something listens there; Ray itself would try for minutes."""
    parts = re.fullmatch(r"(?:([\w.-]+)|\[([0-9a-fA-F:]+)\]):(\d{1,5})", address)
    if not parts:
        raise ValueError(
            f"execution.address is {address!r}: allowed is HOST:PORT of the Ray head, as 10.0.0.1:6379"
        )

    place = (parts[1] or parts[2], int(parts[3]))
    try:
        socket.create_connection(place, timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"no Ray cluster answers at execution.address {address} ({line(error)}): "
            "start one by 'ray start --head' or correct the address in params.yaml"
        ) from None


def _join(ray: Any, address: str) -> str | None:
    """Join the cluster; what went wrong in one line, None if nothing did.

    In a thread: where something listens that is not Ray, Ray tries for minutes and cannot be
    interrupted. In a thread it also leaves the stage's handler of SIGTERM alone.
    """
    faults: list[str] = []

    def join() -> None:
        try:
            ray.init(
                address, namespace="mimicnets", log_to_driver=False, logging_level=logging.ERROR
            )
        except Exception as error:  # of many kinds
            faults.append(line(error))

    thread = threading.Thread(target=join, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    if thread.is_alive():
        return f"no answer in {CONNECT_SECONDS:.0f} s"
    return faults[0] if faults else None


def line(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
