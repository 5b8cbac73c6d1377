"""What all trials of a sweep share, and what is reported of its nets; without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from stages.settings.common import Execution, Numerics, Schedule
from stages.settings.sweeps import Sweep


class _Training(Protocol):
    """Training settings that teachers and students have in common."""

    @property
    def batch_size(self) -> int: ...

    @property
    def max_epochs(self) -> int | None: ...

    @property
    def schedule(self) -> Schedule: ...


class _Section(Protocol):
    """What the sections of params.yaml that search have in common."""

    @property
    def sweep(self) -> Sweep: ...

    @property
    def training(self) -> _Training: ...


class SweepJob(Protocol):
    """What all trials of a sweep share; a frozen dataclass that travels to every trial's process.

    Attributes:
        work: folder of the trials.
        prepared: the prepared data.
        section: of params.yaml.
        fixed: hyperparameters that are not searched.
    """

    @property
    def work(self) -> Path: ...

    @property
    def prepared(self) -> Path: ...

    @property
    def section(self) -> _Section: ...

    @property
    def fixed(self) -> dict[str, float]: ...

    @property
    def numerics(self) -> Numerics: ...

    @property
    def execution(self) -> Execution: ...


@dataclass(frozen=True)
class Tested:
    """What the test set says of the reported nets.

    Attributes:
        trials: number of a trial -> `test_accuracy`, and other columns of its table.
        retrained: the same of retrained nets.
    """

    trials: dict[int, dict[str, Any]]
    retrained: dict[int, dict[str, Any]] = field(default_factory=dict)
