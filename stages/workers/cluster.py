"""Where trials run with `execution.engine: ray`: one process per trial on nodes of a Ray cluster; used by `engines`.

Trials get paths and no data: the project lies at one absolute path on a file system that all nodes share. Ray notices
processes and nodes that die and runs their trials again. A node that is frozen it notices by health checks, whose pace
is set where the cluster is started (docs/scaling.md), a process that is frozen not at all: so each trial gives signs of
life in a file, and one that has stopped doing so is killed, which Ray notices.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import logging
import math
import os
import pickle
import re
import shutil
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.workers import cluster_task
from stages.workers.executors import BEAT_SECONDS, PATIENCE_SECONDS, RETRIES

SYSTEM_RETRIES = 3
"""How often Ray runs a trial again whose process or node died."""
CONNECT_SECONDS = 20.0
CHECK_SECONDS = 90.0
"""For each node to answer before the first trial; a node that is frozen is known to be so after half of that."""
POLL_SECONDS = 0.2
BEATS = Path("work/beats")


@dataclass
class _Trial:
    """One that is under way, and what was last seen of its signs of life."""

    future: Future[Any]
    beats: Path
    seen: tuple[str, str] = ("", "")
    since: float = field(default_factory=time.monotonic)
    kills: int = 0


class Cluster(Executor):
    """One process per trial, at most `slots` at a time, on the nodes of a Ray cluster.

    Args:
        address: of the cluster's head, HOST:PORT; this process runs on one of the cluster's nodes.
        slots: trials at a time on CPUs, one CPU each, if the cluster has as many.
        device: auto, cpu or cuda: with auto, GPUs if the cluster has any.
        trials_per_gpu: trials that share a GPU.
        patience: seconds without a sign of life after which a trial's process is taken for dead.

    Raises:
        ValueError: Ray is not installed, no cluster there, no slot in it, or a node lacks the project or has another.
    """

    def __init__(
        self, address: str, slots: int, device: str = "cpu", trials_per_gpu: int = 1, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._patience, self._beat = patience, min(BEAT_SECONDS, patience / 4)
        self._flying: dict[Any, _Trial] = {}
        self._lock, self._closing = threading.Lock(), False
        self._ray = connected(address)
        try:
            self._gpus = device == "cuda" or (device == "auto" and self._has("GPU") > 0)
            self._per_gpu = trials_per_gpu
            self.slots = self._slots(slots, address)
            self._project = cluster_task.project_here()
            self._check_nodes()
        except BaseException:
            self._ray.shutdown()
            raise
        share = {"num_gpus": part_of_gpu(trials_per_gpu), "num_cpus": 0} if self._gpus else {"num_cpus": 1}
        self._trial = self._ray.remote(  # max_calls: a process for each, since torch's settings stay in a process
            **share, max_calls=1, max_retries=SYSTEM_RETRIES, scheduling_strategy="SPREAD"
        )(cluster_task.run_trial)
        self._thread = threading.Thread(target=self._watch, daemon=True, name="cluster")
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future of `fn(*args, **kwargs)` in a process of its own on some node; all of it must pickle."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        work = pickle.dumps((fn, args, kwargs))
        with self._lock:
            if self._closing:
                raise RuntimeError("cannot submit to an executor that is shut down")
            beats = self._beats_of(f"{fn.__qualname__}{args!r}{kwargs!r}")
            ref = self._trial.remote(self._project, beats, self._beat, spec and spec.name, work)
            self._flying[ref] = _Trial(future, beats)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Kill what still runs; a sweep that is over has nothing running."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
        self._thread.join()
        for ref in self._flying:
            self._ray.cancel(ref, force=True)
        if self._flying:
            self._ray.wait(list(self._flying), num_returns=len(self._flying), timeout=5)
        for trial in self._flying.values():
            trial.future.set_exception(ChildProcessError("a trial was stopped, since its sweep was"))
            shutil.rmtree(trial.beats, ignore_errors=True)
        self._flying.clear()
        self._ray.shutdown()

    @property
    def gpus(self) -> bool:
        """Whether trials run on GPUs."""
        return self._gpus

    def _has(self, kind: str) -> int:
        """CPUs or GPUs of the nodes that are alive; a node's part of one is none."""
        return sum(int(node["Resources"].get(kind, 0)) for node in self._ray.nodes() if node["Alive"])

    def _slots(self, wanted: int, address: str) -> int:
        if self._gpus:
            slots = self._has("GPU") * self._per_gpu
            hint = "start nodes with --num-gpus, or set execution.device to 'cpu'"
        else:
            slots = min(wanted, self._has("CPU"))
            hint = "start nodes with --num-cpus above 0"
        if slots < 1:
            raise ValueError(f"the Ray cluster at {address} has no {'GPU' if self._gpus else 'CPU'} for trials: {hint}")
        return slots

    def _check_nodes(self) -> None:
        """Every node on which trials may run has the project, the same code and the same packages.

        Raises:
            ValueError: one does not, or does not answer.
        """
        kind = "GPU" if self._gpus else "CPU"
        nodes = {n["NodeID"]: n["NodeManagerAddress"] for n in self._ray.nodes() if n["Alive"]
                 and n["Resources"].get(kind, 0) >= 1}  # fmt: skip
        probe = BEATS.absolute() / uuid.uuid4().hex / "probe"
        probe.parent.mkdir(parents=True)
        probe.touch()
        try:
            asked = {
                self._on(node, cluster_task.check).remote(self._project, name, probe): name
                for node, name in nodes.items()
            }
            answered, silent = self._ray.wait(list(asked), num_returns=len(asked), timeout=CHECK_SECONDS)
            lines = [self._answer_of(ref) for ref in answered]
        finally:
            shutil.rmtree(probe.parent, ignore_errors=True)
        if silent:
            raise ValueError(
                f"node {asked[silent[0]]} of the Ray cluster has not answered in {CHECK_SECONDS:.0f} s: stop Ray on "
                "it, or start it again, and run again"
            )
        if wrong := [line for line in lines if line]:
            raise ValueError(wrong[0])

    def _answer_of(self, ref: Any) -> str | None:
        try:
            return str(self._ray.get(ref) or "") or None
        except self._ray.exceptions.RayError as error:
            if type(error).__name__ in ("NodeDiedError", "TaskUnschedulableError"):
                return None  # trials go elsewhere
            return f"a node of the Ray cluster cannot run tasks ({_line(error)}): see the logs of Ray there"

    def _on(self, node: str, function: Callable[..., Any]) -> Any:
        """`function` as a task for one node, beside what runs there."""
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        there = strategies.NodeAffinitySchedulingStrategy(node, soft=False)
        return self._ray.remote(num_cpus=0, max_calls=1, max_retries=0, scheduling_strategy=there)(function)

    def _beats_of(self, what: str) -> Path:
        """Folder for signs of life: the same for the same trial in a later run, other than those of all under way."""
        name = BEATS.absolute() / hashlib.sha256(what.encode()).hexdigest()[:16]
        used = {trial.beats for trial in self._flying.values()}
        copies = (name.with_name(f"{name.name}-{copy}") for copy in range(len(used) + 1))
        return next(path for path in copies if path not in used)

    def _watch(self) -> None:
        """In a thread: results as they come, and a look at the signs of life."""
        looked = time.monotonic()
        try:
            while not self._closing:
                with self._lock:
                    refs = list(self._flying)
                if not refs:
                    time.sleep(POLL_SECONDS / 4)
                    continue
                for ref in self._ray.wait(refs, timeout=POLL_SECONDS)[0]:
                    self._settle(ref)
                if (now := time.monotonic()) - looked >= self._beat:
                    self._look(paused=now - looked > self._beat + self._patience / 2)
                    looked = now
        except Exception as error:
            with self._lock:
                self._closing = True
                for trial in self._flying.values():
                    trial.future.set_exception(OSError(f"the Ray cluster is lost ({_line(error)}): run again"))
                self._flying.clear()
            self._ray.shutdown()

    def _settle(self, ref: Any) -> None:
        with self._lock:
            trial = self._flying.pop(ref)
        try:
            good, value = pickle.loads(self._ray.get(ref))
        except self._ray.exceptions.RayError as error:
            good, value = False, self._told(error)
        shutil.rmtree(trial.beats, ignore_errors=True)
        if good:
            trial.future.set_result(value)
        else:
            trial.future.set_exception(value)

    def _told(self, error: Exception) -> Exception:
        """What Ray says of a trial that it gave up, as one line on what to do."""
        what = "trials_per_gpu" if self._gpus else "slots"
        if isinstance(error, self._ray.exceptions.OutOfMemoryError):
            return OSError(f"a node of the Ray cluster ran out of memory ({_line(error)}): lower execution.{what}")
        return ChildProcessError(
            f"a trial's process died {SYSTEM_RETRIES + 1} times on the Ray cluster ({_line(error)}; a lack of memory "
            f"is often the reason: lower execution.{what}, and see the logs of Ray on that node)"
        )

    def _look(self, paused: bool) -> None:
        """Kill the processes of trials that have stopped giving signs of life.

        Args:
            paused: this process was stopped itself, and so may the others have been: what was seen before counts not.
        """
        now = time.monotonic()
        with self._lock:
            flying = dict(self._flying)
        for ref, trial in flying.items():
            owner = cluster_task.owner_of(trial.beats)
            beat = trial.beats / str(owner.get("token"))
            with contextlib.suppress(OSError):
                seen = (beat.name, beat.read_text(encoding="utf-8"))
                if seen != trial.seen:
                    trial.seen, trial.since = seen, now
            if paused or not owner:  # none before it has begun
                trial.since = now
            elif now - trial.since > self._patience:
                self._kill(ref, trial, owner)
                trial.since = now

    def _kill(self, ref: Any, trial: _Trial, owner: dict[str, Any]) -> None:
        trial.kills += 1
        if trial.kills > RETRIES:
            with self._lock:
                self._flying.pop(ref, None)
            self._ray.cancel(ref, force=True)
            trial.future.set_exception(
                ChildProcessError(f"a trial has stopped giving signs of life {trial.kills} times on the Ray cluster")
            )
        self._on(owner["node"], cluster_task.kill).remote(owner["pid"], owner["born"])


def part_of_gpu(trials: int) -> float:
    """1 / trials, rounded down to Ray's four digits: rounded up, one trial fewer would fit."""
    return math.floor(10_000 / trials) / 10_000


def connected(address: str) -> Any:
    """The module `ray`, as a driver of the cluster at `address`.

    Raises:
        ValueError: it is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # a trial on a CPU sees no GPU, and no warning
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise ValueError(
            f"execution.engine is 'ray' and Ray cannot be imported ({_line(error)}): pip install '.[ray]', or set "
            "execution.engine to 'local' or 'serial' in params.yaml"
        ) from None
    _check_address(address)
    ray.cloudpickle.register_pickle_by_value(cluster_task)
    if said := _joined(ray, address):
        raise ValueError(
            f"cannot join the Ray cluster at {address} ({said}): run on one of its nodes, with the Ray and Python that "
            "it has"
        )
    return ray


def _check_address(address: str) -> None:
    """Something listens there; Ray itself would try for minutes."""
    found = re.fullmatch(r"(?:([\w.-]+)|\[([0-9a-fA-F:]+)\]):(\d{1,5})", address)
    if not found:
        raise ValueError(f"execution.address is {address!r}: allowed is HOST:PORT of the Ray head, as 10.0.0.1:6379")
    try:
        socket.create_connection((found[1] or found[2], int(found[3])), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"no Ray cluster answers at execution.address {address} ({_line(error)}): start one by 'ray start "
            "--head' or correct the address in params.yaml"
        ) from None


def _joined(ray: Any, address: str) -> str | None:
    """Join the cluster; what went wrong in one line, None if nothing did.

    In a thread: where something listens that is no Ray, Ray tries for minutes and cannot be interrupted. It also leaves
    the door's handler of SIGTERM in its place then.
    """
    said: list[str] = []

    def join() -> None:
        try:
            ray.init(address, namespace="mimicnets", log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # of many kinds
            said.append(_line(error))

    thread = threading.Thread(target=join, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    if thread.is_alive():
        return f"no answer in {CONNECT_SECONDS:.0f} s"
    return said[0] if said else None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
