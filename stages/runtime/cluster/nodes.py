"""The nodes of a Ray cluster as a driver sees them: which run trials, and which do not answer.

Ray detects a frozen node by health checks of the head. It does not run again what runs there before
the driver's own connection to that process is given up, after seven minutes. So nodes are asked
questions here: small tasks beside what runs there. A node that leaves a question open is silent.
"""

from __future__ import annotations

import importlib
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stages.runtime.cluster import task as cluster_task
from stages.runtime.cluster.join import line

CHECK_SECONDS = 90.0
"""For each node to answer before the first trial; half of that tells a frozen node."""


class Nodes:
    """The nodes of one cluster.

    Args:
        ray: the module, joined to the cluster.
        address: of the cluster, for messages.
        gpus: trials run on GPUs, not on CPUs.
        every: seconds between two looks at the list of nodes.
        grace: seconds after which a node that has not answered a question is silent.

    Attributes:
        silent: IDs of nodes that did not answer, at the last `listen`.
    """

    def __init__(self, ray: Any, address: str, gpus: bool, every: float, grace: float) -> None:
        self._ray = ray
        self._address = address
        self._every = every
        self._grace = grace
        self._kind = "GPU" if gpus else "CPU"

        # of one function, which Ray sends to the head once: later that could block
        self._task = ray.remote(num_cpus=0, max_calls=1, max_retries=0)(cluster_task.called)
        self._strategies = importlib.import_module("ray.util.scheduling_strategies")

        self._open: dict[Any, tuple[str, float]] = {}
        self.silent: frozenset[str] = frozenset()

        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._listed: list[dict[str, Any]] = ray.nodes()
        self._heard = self._usable = self._round = time.monotonic()
        threading.Thread(target=self._list, daemon=True, name="nodes").start()

    def close(self) -> None:
        """Before Ray is shut down: a later look at its nodes would start a cluster."""
        self._closed.set()

        # the lock is held while the head is asked; one that is dead never answers
        if self._lock.acquire(timeout=5):
            self._lock.release()

    def have(self) -> int:
        """CPUs or GPUs of the nodes that are alive; fractions are rounded down to none."""
        return sum(
            int(node["Resources"].get(self._kind, 0)) for node in self._listed if node["Alive"]
        )

    def check(self, project: cluster_task.Project, folder: Path) -> None:
        """Check that every node for trials has the project, the same code and the same packages.

        Args:
            project: what each node must have.
            folder: for a file that each node must see.

        Raises:
            ValueError: one does not, or does not answer.
        """
        # A probe on the shared file system
        names = {
            node["NodeID"]: node["NodeManagerAddress"] for node in self._listed if self._fits(node)
        }

        probe = folder / uuid.uuid4().hex / "probe"
        probe.parent.mkdir(parents=True)
        probe.touch()

        # Ask every node
        try:
            asked = {
                self._put(node, cluster_task.check, project, name, probe): name
                for node, name in names.items()
            }
            answered, silent = self._ray.wait(
                list(asked), num_returns=len(asked), timeout=CHECK_SECONDS
            )
            lines = [self._fault(ref) for ref in answered]
        finally:
            shutil.rmtree(probe.parent, ignore_errors=True)

        # Silence and faults
        if silent:
            raise ValueError(
                f"node {asked[silent[0]]} of the Ray cluster has not answered in {CHECK_SECONDS:.0f} s: "
                "stop Ray on it, or start it again, and run again"
            )

        faults = [fault for fault in lines if fault]
        if faults:
            raise ValueError(faults[0])

    def ask(self, node: str, function: Callable[..., Any], *args: Any) -> Any:
        """The reference of a question to one node."""
        question = self._put(node, function, *args)
        self._open[question] = (node, time.monotonic())
        return question

    def ask_all(self, pause: float) -> None:
        """Ask whether they are there, unless that was asked in the last `pause` seconds."""
        now = time.monotonic()
        if now - self._round <= pause:
            return

        self._round = now
        asked = {node for node, _ in self._open.values()}
        for node in self._listed:
            if self._fits(node) and node["NodeID"] not in asked:
                self.ask(node["NodeID"], cluster_task.born, 0)

    def answer(self, question: Any) -> tuple[bool, Any]:
        """Whether there is an answer, and the answer; None if Ray has given the question up."""
        if not self._ray.wait([question], timeout=0)[0]:
            return False, None

        self._open.pop(question, None)
        try:
            return True, self._ray.get(question)
        except self._ray.exceptions.RayError:
            return True, None

    def listen(self) -> None:
        """Take answers; nodes that have left a question open for too long are now `silent`."""
        for question in list(self._open):
            self.answer(question)

        now = time.monotonic()
        self.silent = frozenset(
            node for node, asked in self._open.values() if now - asked > self._grace
        )

    def dead(self, node: str) -> bool:
        """Whether the head has given it up."""
        return any(each["NodeID"] == node and not each["Alive"] for each in self._listed)

    def forgive(self, seconds: float) -> None:
        """This process was stopped for so long: it could hear nothing."""
        self._heard += seconds
        self._usable += seconds
        self._round += seconds
        self._open = {
            question: (node, asked + seconds) for question, (node, asked) in self._open.items()
        }

    def loss(self, patience: float) -> str | None:
        """One line if for `patience` seconds there was no head, or no node for trials."""
        now = time.monotonic()
        if any(self._fits(node) and node["NodeID"] not in self.silent for node in self._listed):
            self._usable = now

        if now - self._heard > patience:
            what = f"the head of the Ray cluster at {self._address} has not answered"
            start = "the cluster"
        elif now - self._usable > patience:
            what = f"the Ray cluster at {self._address} has had no node that can run trials"
            start = "nodes"
        else:
            return None

        return f"{what} for {patience:.0f} s: finished trials are kept; start {start} again and run again"

    def _fits(self, node: dict[str, Any]) -> bool:
        """Whether a node can run trials."""
        return bool(node["Alive"] and node["Resources"].get(self._kind, 0) >= 1)

    def _put(self, node: str, function: Callable[..., Any], *args: Any) -> Any:
        """`function` as a task for one node, beside what runs there."""
        there = self._strategies.NodeAffinitySchedulingStrategy(node, soft=False)
        return self._task.options(scheduling_strategy=there).remote(function, args, {})

    def _fault(self, ref: Any) -> str | None:
        """What a node's check says, in one line; None if nothing keeps trials from running."""
        try:
            return str(self._ray.get(ref) or "") or None
        except self._ray.exceptions.RayError as error:
            if type(error).__name__ in ("NodeDiedError", "TaskUnschedulableError"):
                return None  # trials go elsewhere
            return (
                f"a node of the Ray cluster cannot run tasks ({line(error)}): "
                "see the logs of Ray there"
            )

    def _list(self) -> None:
        """List the nodes, in a thread: a head that is dead or frozen blocks whoever asks it."""
        while not self._closed.wait(self._every):
            with self._lock:
                if self._closed.is_set():
                    return

                try:
                    self._listed = self._ray.nodes()
                    self._heard = time.monotonic()
                except Exception:  # of many kinds; what counts is that there is no answer
                    continue
