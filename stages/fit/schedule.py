"""Learning-rate schedules: that of Urban et al. 2017, section 2.6, and one for a budget of epochs.

The paper's: the rate is halved when the validation error has not dropped for ten epochs in a row,
and not again within the next eight epochs. Training ends when it has not dropped for thirty epochs,
or when the rate was reduced by a factor of more than 2000 in total.
`torch.optim.lr_scheduler.ReduceLROnPlateau` cannot express this: it restarts its count after each
reduction. Assumption (13): the count is not reset.

Ours, for trainings that are cut short: with a bound below some sixty epochs the paper's rate is
hardly ever halved. `BudgetSchedule` lets it fall to zero at the last epoch, step by step, by REX
(Chen et al. 2021, "REX: Revisiting budgeted training with an improved schedule"), after a short
rise from zero.

`python -m stages.fit.schedule FILE` prints what the schedule does with a list of errors.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

PATIENCE_EPOCHS = 10
COOLDOWN_EPOCHS = 8
STOP_EPOCHS = 30
LARGEST_REDUCTION = 2000
WARM_UP = 0.1
"""Share of a budget in which its rate rises."""


@dataclass
class Schedule:
    """Feed it the validation error of each epoch; it tells the rate's factor and when to stop.

    Args:
        max_epochs: a bound on the epochs, or None for the paper's rules alone.

    Attributes:
        epoch: the last one whose error was taken, from 0; -1 before the first one.
        best_epoch: epoch of the lowest error, the first one of equals; -1 before the first epoch.
        best_error: that error; infinite before the first epoch.
        factor: by which the initial learning rate is multiplied in the next epoch: 1, 1/2, 1/4, ...
        reduction_epochs: epochs after which the rate was halved.
        why: None while training continues, else "no_drop", "factor" or "end" (max_epochs).

    Example:
        >>> schedule = Schedule()
        >>> while schedule.why is None:
        ...     dropped = schedule.update(0.5)
        >>> schedule.reduction_epochs, schedule.epoch, schedule.why
        ([10, 19, 28], 30, 'no_drop')
    """

    max_epochs: int | None = None
    epoch: int = -1
    best_epoch: int = -1
    best_error: float = math.inf
    factor: float = 1.0
    reduction_epochs: list[int] = field(default_factory=list)
    why: str | None = None

    def update(self, error: float) -> bool:
        """Take the validation error (a fraction) of the next epoch.

        Returns:
            Whether it is the lowest so far.

        Raises:
            ValueError: training has ended already, or the error is not a number in [0, 1].
        """
        if self.why is not None:
            raise ValueError(
                f"training ended at epoch {self.epoch} ({self.why}); no further error is taken"
            )

        if not 0.0 <= error <= 1.0:
            raise ValueError(
                f"validation error {error} of epoch {self.epoch + 1}: allowed is 0 .. 1"
            )

        self.epoch += 1
        dropped = error < self.best_error
        if dropped:
            self.best_error = error
            self.best_epoch = self.epoch

        waited = self.epoch - self.best_epoch
        self._halve(waited)
        self.why = self._reason(waited)
        return dropped

    def factor_at(self, share: float) -> float:
        """Factor of the rate when `share` of the next epoch's images have been seen, 0 .. 1."""
        return self.factor

    def _halve(self, waited: int) -> None:
        """Halve the rate if the error has not dropped for `waited` epochs, and it is time."""
        if waited >= PATIENCE_EPOCHS and self._cooled_down():
            self.factor /= 2
            self.reduction_epochs.append(self.epoch)

    def _cooled_down(self) -> bool:
        """Whether the rate may be halved again after the last time."""
        return not self.reduction_epochs or self.epoch - self.reduction_epochs[-1] > COOLDOWN_EPOCHS

    def _reason(self, waited: int) -> str | None:
        """Why training ends, if it does, when the error has not dropped for `waited` epochs."""
        if waited >= STOP_EPOCHS:
            return "no_drop"
        if 1 / self.factor > LARGEST_REDUCTION:
            return "factor"
        if self.max_epochs is not None and self.epoch + 1 >= self.max_epochs:
            return "end"
        return None


class BudgetSchedule(Schedule):
    """A rate that rises for the first tenth of `max_epochs` and falls to zero at their end.

    A training has exactly so many epochs; its best one is still that of the lowest error.

    Example:
        >>> schedule = BudgetSchedule(10)
        >>> [round(schedule.factor_at(share), 2) for share in (0, 0.5, 1)]
        [0.0, 0.5, 1.0]
        >>> for _ in range(5):
        ...     dropped = schedule.update(0.5)
        >>> round(schedule.factor_at(0.5), 3)
        0.667

    Raises:
        ValueError: without a bound there is no budget.
    """

    def __init__(self, max_epochs: int | None) -> None:
        if max_epochs is None:
            raise ValueError("the schedule 'budget' needs max_epochs: it ends there")
        super().__init__(max_epochs)

    def factor_at(self, share: float) -> float:
        """Factor of the rate when `share` of the next epoch's images have been seen."""
        assert self.max_epochs is not None
        done = min(1.0, (self.epoch + 1 + share) / self.max_epochs)
        if done < WARM_UP:
            return done / WARM_UP

        left = (1 - done) / (1 - WARM_UP)
        return 2 * left / (1 + left)

    def _halve(self, waited: int) -> None:
        """The rate follows the budget alone."""

    def _reason(self, waited: int) -> str | None:
        """Only the budget ends a training."""
        return "end" if self.epoch + 1 == self.max_epochs else None


Kind = Literal["paper", "budget"]
SCHEDULES: dict[Kind, type[Schedule]] = {"paper": Schedule, "budget": BudgetSchedule}
"""By their names in params.yaml."""


def replay(
    errors: Sequence[float], max_epochs: int | None = None, kind: Kind = "paper"
) -> Schedule:
    """The schedule after these validation errors; errors after its end are not read."""
    schedule = SCHEDULES[kind](max_epochs)
    for error in errors:
        if schedule.why is not None:
            break
        schedule.update(error)
    return schedule


def read_errors(path: Path) -> list[float]:
    """Validation errors from a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a list of numbers.
    """
    errors = json.loads(path.read_text())

    numbers = isinstance(errors, list) and all(
        isinstance(error, int | float) and not isinstance(error, bool) for error in errors
    )
    if not errors or not numbers:
        raise ValueError("allowed is a list of numbers, one for each epoch")
    return list(errors)


def main() -> None:
    """Print what the schedule does with a list of validation errors, as one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m stages.fit.schedule", description=main.__doc__)
    parser.add_argument(
        "errors", type=Path, help="JSON file: a list of errors, 0 .. 1, one an epoch"
    )
    parser.add_argument("--max-epochs", type=int, default=None, help="a bound on the epochs")
    arguments = parser.parse_args()

    try:
        errors = read_errors(arguments.errors)
        if arguments.max_epochs is not None and arguments.max_epochs < 1:
            raise ValueError(f"--max-epochs is {arguments.max_epochs}: allowed is 1 or more")
        schedule = replay(errors, arguments.max_epochs)
    except (OSError, ValueError) as error:
        print(f"error: {arguments.errors}: {error}", file=sys.stderr)
        raise SystemExit(1) from None

    result = {
        "reduction_epochs": schedule.reduction_epochs,
        "last_epoch": schedule.epoch,
        "why": schedule.why or "end",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
