"""Where trials run with `execution.engine: ray`: one process per trial on nodes of a Ray cluster.

Trials get paths and no data: the project lies at one absolute path on a file system that all nodes
share. Ray notices processes and nodes that die and runs their trials again. It notices late or
never what freezes. So each trial gives signs of life in a file. One that has stopped doing so is
killed, which Ray notices, or, where the node does not answer either, is run again on another node.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import pickle
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.runtime.cluster import task as cluster_task
from stages.runtime.cluster.join import connected, line
from stages.runtime.cluster.nodes import Nodes
from stages.runtime.executors import BEAT_SECONDS, PATIENCE_SECONDS, RETRIES

SYSTEM_RETRIES = 3
"""How often Ray runs a trial again whose process or node died."""

POLL_SECONDS = 0.2

GRACE_BEATS = 6
"""Beats within which a live node answers, and Ray replaces a process of a dead node."""

LOST_SECONDS = 60.0
"""Without a head or a node for trials, after which the run ends; a cluster that scales may return."""

BEATS = Path("work/beats")


@dataclass
class _Trial:
    """A trial that is under way, and what was last seen of its signs of life.

    Attributes:
        future: of its result.
        beats: folder of its signs of life.
        work: name of the driver's main module, and the pickled function with its arguments.
        stale: token of a process that is to be replaced: of an earlier run, or killed.
        avoided: nodes on which it was not to begin.
        seen: token and text of the last sign of life.
        since: when that was seen, by a monotonic clock.
        kills: how often it has stopped giving signs of life.
        question: the reference by which its node was asked to kill it.
    """

    future: Future[Any]
    beats: Path
    work: tuple[str | None, bytes]
    stale: str
    avoided: frozenset[str]
    seen: tuple[str, str] = ("", "")
    since: float = field(default_factory=time.monotonic)
    kills: int = 0
    question: Any = None


class Cluster(Executor):
    """One process per trial, at most `slots` at a time, on the nodes of a Ray cluster.

    Args:
        address: of the cluster's head, HOST:PORT; this process runs on one of the cluster's nodes.
        slots: trials at a time on CPUs, one CPU each, if the cluster has as many.
        device: auto, cpu or cuda: with auto, GPUs if the cluster has any.
        trials_per_gpu: trials that share a GPU.
        inputs: data folders that trials read, which each node must see as they are here.
        scratch: folder on each node's own disk, if trials use one.
        patience: seconds without a sign of life after which a trial's process is taken for dead.
        lost_after: seconds without a head or a node for trials, after which all trials fail.

    Raises:
        ValueError: Ray is not installed, there is no cluster or no slot in it, or a node lacks the
            project or has another.
    """

    def __init__(
        self,
        address: str,
        slots: int,
        device: str = "cpu",
        trials_per_gpu: int = 1,
        inputs: Sequence[Path] = (),
        scratch: str | None = None,
        patience: float = PATIENCE_SECONDS,
        lost_after: float = LOST_SECONDS,
    ) -> None:
        self._patience = patience
        self._lost_after = lost_after
        self._beat = min(BEAT_SECONDS, patience / 4)
        self._grace = GRACE_BEATS * self._beat
        self._per_gpu = trials_per_gpu
        self._flying: dict[Any, _Trial] = {}
        self._lock = threading.Lock()
        self._closing = False
        self._error: Exception | None = None

        # Join, and check every node
        self._ray = connected(address)

        try:
            has_gpu = any(
                node["Alive"] and node["Resources"].get("GPU", 0) >= 1 for node in self._ray.nodes()
            )
            self._gpus = device == "cuda" or (device == "auto" and has_gpu)
            every = min(self._beat, lost_after / 4)
            self._nodes = Nodes(self._ray, address, self._gpus, every, self._grace)
            self.slots = self._slots(slots, address)
            self._project = cluster_task.project_here(inputs, scratch)
            self._nodes.check(self._project, BEATS.absolute())
        except BaseException:
            self._leave()
            raise

        # max_calls: a process for each trial, since torch's settings stay in a process
        share: dict[str, float] = {"num_cpus": 1}
        if self._gpus:
            share = {"num_gpus": part_of_gpu(trials_per_gpu), "num_cpus": 0}

        self._task = self._ray.remote(
            **share, max_calls=1, max_retries=SYSTEM_RETRIES, scheduling_strategy="SPREAD"
        )(cluster_task.run_trial)

        self._thread = threading.Thread(target=self._watch, daemon=True, name="cluster")
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future of `fn(*args, **kwargs)` in its own process on a node; all of it must pickle."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()

        spec = getattr(sys.modules["__main__"], "__spec__", None)
        main = spec and spec.name
        work = (main, pickle.dumps((fn, args, kwargs)))

        with self._lock:
            if self._error:
                raise self._error
            if self._closing:
                raise RuntimeError("cannot submit to an executor that is shut down")

            beats = self._beats_of(f"{fn.__qualname__}{args!r}{kwargs!r}")
            stale = cluster_task.token_of(cluster_task.owner_of(beats))
            trial = _Trial(future, beats, work, stale, self._nodes.silent)
            self._flying[self._begin(trial)] = trial

        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Kill what still runs; a sweep that is over has nothing running."""
        with self._lock:
            closed = self._closing
            self._closing = True

        self._thread.join()
        if closed:
            return

        for ref in self._flying:
            self._ray.cancel(ref, force=True)

        left: list[Any] = []
        if self._flying:
            left = self._ray.wait(list(self._flying), num_returns=len(self._flying), timeout=5)[1]

        for ref, trial in self._flying.items():
            trial.future.set_exception(
                ChildProcessError("a trial was stopped, since its sweep was")
            )
            if ref in left:
                cluster_task.disown(trial.beats)
            else:
                shutil.rmtree(trial.beats, ignore_errors=True)

        self._flying.clear()
        self._leave()

    def _leave(self) -> None:
        """Leave the cluster."""
        if hasattr(self, "_nodes"):
            self._nodes.close()
        self._ray.shutdown()

    @property
    def gpus(self) -> int:
        """GPUs on which trials run; 0 where they run on CPUs."""
        return self._nodes.have() if self._gpus else 0

    def _slots(self, wanted: int, address: str) -> int:
        """Trials at a time; at least one.

        Raises:
            ValueError: the cluster has no CPU or GPU for trials.
        """
        have = self._nodes.have()

        if self._gpus:
            slots = have * self._per_gpu
            kind = "GPU"
            hint = "start nodes with --num-gpus, or set execution.device to 'cpu'"
        else:
            slots = min(wanted, have)
            kind = "CPU"
            hint = "start nodes with --num-cpus above 0"

        if slots < 1:
            raise ValueError(f"the Ray cluster at {address} has no {kind} for trials: {hint}")
        return slots

    def _beats_of(self, what: str) -> Path:
        """A folder for signs of life that no trial under way has.

        The same trial gets the same folder in a later run.
        """
        name = BEATS.absolute() / hashlib.sha256(what.encode()).hexdigest()[:16]
        used = {trial.beats for trial in self._flying.values()}
        copies = (name.with_name(f"{name.name}-{copy}") for copy in range(len(used) + 1))
        return next(path for path in copies if path not in used)

    def _begin(self, trial: _Trial) -> Any:
        """Reference of a new task for it."""
        task = self._task
        if trial.avoided:
            others = f"!in({', '.join(sorted(trial.avoided))})"
            task = task.options(label_selector={"ray.io/node-id": others})
        return task.remote(self._project, trial.beats, self._beat, *trial.work)

    def _watch(self) -> None:
        """In a thread: results as they come, and a look at the signs of life."""
        looked = time.monotonic()
        try:
            while not self._closing:
                # Results
                with self._lock:
                    refs = list(self._flying)

                if refs:
                    for ref in self._ray.wait(refs, timeout=POLL_SECONDS)[0]:
                        self._settle(ref)
                else:
                    time.sleep(POLL_SECONDS / 4)

                # Signs of life, once a beat
                now = time.monotonic()
                if now - looked >= self._beat:
                    late = now - looked - self._beat
                    if late > self._beat:
                        self._forgive(late)
                    looked = now
                    self._look(now)
        except Exception as error:
            ours = type(error) is OSError
            self._fail(
                error if ours else OSError(f"the Ray cluster is lost ({line(error)}): run again")
            )

    def _fail(self, error: Exception) -> None:
        """Fail all trials, and end: those that still run end themselves."""
        with self._lock:
            self._closing = True
            self._error = error

        for trial in self._flying.values():
            cluster_task.disown(trial.beats)
            trial.future.set_exception(error)

        self._flying.clear()
        self._leave()

    def _settle(self, ref: Any) -> None:
        """Hand a finished trial's result, or error, to its future."""
        with self._lock:
            trial = self._flying.pop(ref)

        try:
            good, value = pickle.loads(self._ray.get(ref))
        except self._ray.exceptions.RayError as error:
            good = False
            value = self._told(error)

        shutil.rmtree(trial.beats, ignore_errors=True)

        if good:
            trial.future.set_result(value)
        else:
            trial.future.set_exception(value)

    def _told(self, error: Exception) -> Exception:
        """What Ray says of a trial that it gave up, as one line on what to do."""
        what = "trials_per_gpu" if self._gpus else "slots"

        if isinstance(error, self._ray.exceptions.OutOfMemoryError):
            return OSError(
                f"a node of the Ray cluster ran out of memory ({line(error)}): lower execution.{what}"
            )

        return ChildProcessError(
            f"a trial's process died {SYSTEM_RETRIES + 1} times on the Ray cluster ({line(error)}; "
            f"a lack of memory is often the reason: lower execution.{what}, "
            "and see the logs of Ray on that node)"
        )

    def _forgive(self, seconds: float) -> None:
        """This process was stopped, as others may have been: that silence does not count."""
        self._nodes.forgive(seconds)
        with self._lock:
            for trial in self._flying.values():
                trial.since += seconds

    def _look(self, now: float) -> None:
        """Look after trials that give no signs of life, and check that trials can run at all.

        Raises:
            OSError: none can any more.
        """
        self._nodes.listen()

        with self._lock:
            flying = dict(self._flying)

        for ref, trial in flying.items():
            owner = cluster_task.owner_of(trial.beats)
            if cluster_task.token_of(owner) in ("", trial.stale):
                self._await(ref, trial, now)
            else:
                self._follow(ref, trial, owner, now)

        loss = self._nodes.loss(self._lost_after)
        if loss and flying:
            raise OSError(loss)

    def _await(self, ref: Any, trial: _Trial, now: float) -> None:
        """A trial that has not begun: it waits for a slot, or for a node that does not answer."""
        if now - trial.since > self._patience:
            self._nodes.ask_all(self._patience)
            if self._nodes.silent - trial.avoided:
                self._again(ref, trial, trial.stale)

    def _follow(self, ref: Any, trial: _Trial, owner: dict[str, Any], now: float) -> None:
        """A trial that has begun: if it gives no more signs of life, see that it begins again."""
        token = cluster_task.token_of(owner)
        node = owner["node"]

        # The last sign of life
        with contextlib.suppress(OSError):
            seen = (token, (trial.beats / token).read_text(encoding="utf-8"))
            if seen != trial.seen:
                if seen[0] != trial.seen[0]:
                    trial.question = None  # of another process
                trial.seen = seen
                trial.since = now

        # Replace its process
        dead = self._nodes.dead(node)

        if trial.question is not None:
            answered, killed = self._nodes.answer(trial.question)
            if killed:  # Ray notices, and runs it again
                trial.question = None
                trial.stale = token
                trial.since = now
            elif answered or node in self._nodes.silent:
                self._again(ref, trial, token, node)
        elif now - trial.since > (self._grace if dead else self._patience):
            trial.kills += 1

            if trial.kills > RETRIES:
                self._give_up(ref, trial)
            elif dead:
                self._again(ref, trial, token, node)
            else:
                trial.question = self._nodes.ask(
                    node, cluster_task.kill, owner["pid"], owner["born"], self._beat
                )

    def _again(self, ref: Any, trial: _Trial, token: str, *nodes: str) -> None:
        """Begin a trial elsewhere than on `nodes` and those that do not answer.

        Its task and its process `token` are forgotten.
        """
        with self._lock:
            if self._closing or self._flying.pop(ref, None) is None:
                return

            self._ray.cancel(ref, force=True)
            trial.avoided = self._nodes.silent.union(nodes)
            trial.stale = token
            trial.question = None
            trial.since = time.monotonic()
            self._flying[self._begin(trial)] = trial

    def _give_up(self, ref: Any, trial: _Trial) -> None:
        """Fail a trial that has stopped giving signs of life too often."""
        with self._lock:
            self._flying.pop(ref, None)

        self._ray.cancel(ref, force=True)
        cluster_task.disown(trial.beats)
        trial.future.set_exception(
            ChildProcessError(
                f"a trial has stopped giving signs of life {trial.kills} times on the Ray cluster"
            )
        )


def part_of_gpu(trials: int) -> float:
    """1 / trials, rounded down to Ray's four digits: rounded up, one trial fewer would fit."""
    return math.floor(10_000 / trials) / 10_000
