"""Trials of an earlier run of the same search, from the stage's own outputs.

Whoever has pulled a cell has its table, its reported nets and their outputs, but no work folder.
What a search has come to is therefore kept among its outputs, in trials.json. If the search is run
again, for more trials or to retrain its best net, it begins with those trials and trains the others
only. DVC removes the outputs of a stage before it runs it, so they come from DVC's cache: `find` is
set by commands/running. Without it nothing is found, and everything is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stages.search.ask_tell import TrialRow, top
from stages.settings.sweeps import REPORTED_TRIALS
from stages.store.atomic import link_or_copy, read_json, write_json
from stages.store.predictions import read_test_logits, write_test_logits
from stages.trials.folder import TrialFolder

FILE = "trials.json"
TESTED = "test.safetensors"
"""Outputs of the reported nets on the test images."""

Kept = Callable[[list[TrialRow]], Mapping[int, Mapping[str, str]]]
"""Which files of which trials an output folder holds: trial -> name there -> name in its folder."""


class Outputs(Protocol):
    """An output folder of an earlier run, somewhere."""

    def copy(self, name: str, to: Path) -> None:
        """Copy one of its files.

        Raises:
            FileNotFoundError: it has no such file.
            ValueError: the file is damaged.
        """
        ...


def _nothing(out: Path) -> Outputs | None:
    """What `find` is where nobody has set anything else."""
    return None


find: Callable[[Path], Outputs | None] = _nothing
"""What this stage has left in this folder before, with the code of today; None if there is none."""


def keep_files(rows: list[TrialRow], kept: Kept, work: Path, out: Path) -> None:
    """Put files of trials into an output folder."""
    for trial, names in kept(rows).items():
        for there, name in names.items():
            link_or_copy(TrialFolder(work, trial).folder / name, out / there)


def write_trials(
    out: Path, work: Path, rows: Sequence[TrialRow], retrained: Sequence[TrialRow] = ()
) -> None:
    """Write `out`/trials.json: all trials, and what they depend on, from the work folder's key."""
    key = read_json(work / "key.json")
    record = {
        "settings": key["settings"],
        "inputs": key["inputs"],
        "trials": [asdict(row) for row in rows],
        "retrained": [asdict(row) for row in retrained],
    }
    write_json(out / FILE, record)


@dataclass(frozen=True)
class Found:
    """A trial of the earlier run.

    Attributes:
        folder: its place in the work folder of this one.
        row: the trial.
        files: name in its folder -> name in the outputs.
        tested: what its net has said of the test images, float32 (n, classes), if that is known.
    """

    folder: TrialFolder
    row: TrialRow
    files: Mapping[str, str]
    tested: np.ndarray | None

    def finish(self, outputs: Outputs, part: Path) -> bool:
        """Leave it as a finished trial, unless this run has one there; whether it had not."""
        row = self.row
        if self.folder.has_result:
            return False

        self.folder.folder.mkdir(parents=True, exist_ok=True)
        for name, there in self.files.items():
            outputs.copy(there, part)
            part.replace(self.folder.folder / name)

        if self.tested is not None:
            write_test_logits(part, {"trials": {row.trial: self.tested}})

        result = {"value": row.value, "reason": row.reason, **row.result}
        tested = None if self.tested is None else part
        self.folder.finish(row.params, row.seed, result, None, tested)
        return True


@dataclass(frozen=True)
class Search:
    """A search that is about to begin.

    Attributes:
        work: its work folder, with the key.
        trials: how many there are to be.
        again: work folder of retrained nets.
        retrained: how many there are to be.
        out: its output folder.
        kept: which files of trials that holds.
    """

    work: Path
    trials: int
    again: Path
    retrained: int
    out: Path
    kept: Kept

    def take_over(self) -> int:
        """Put the trials of an earlier run into the work folder, as finished ones.

        One whose net is needed and is not in the outputs is left out: it is trained again.

        Returns:
            How many there were.
        """
        if all(folder.result.is_file() for folder in self._folders()):
            return 0

        part = self.work / "earlier"
        try:
            outputs = find(self.out)
            if outputs is None:
                return 0
            return sum(each.finish(outputs, part) for each in self._found(outputs, part))
        except FileNotFoundError:  # outputs of a version that has left no trials.json
            return 0
        except (ValueError, KeyError, TypeError) as error:
            print(f"{self.out}: its earlier outputs are not used: {error}", flush=True)
            return 0
        finally:
            part.unlink(missing_ok=True)

    @property
    def continued(self) -> bool:
        """Whether one of its trials is of an earlier run."""
        return any(folder.taken_over for folder in self._folders())

    def environments(self, besides: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Where its trials were trained, without one environment, as far as their folders say."""
        found: list[dict[str, Any]] = []
        for folder in self._folders():
            here = read_json(folder.environment) if folder.environment.is_file() else besides
            if here != besides and here not in found:
                found.append(dict(here))
        return found

    def _folders(self) -> Iterator[TrialFolder]:
        """Where the results of this search will be."""
        for number in range(self.trials):
            yield TrialFolder(self.work, number)
        for number in range(self.retrained):
            yield TrialFolder(self.again, number)

    def _found(self, outputs: Outputs, part: Path) -> Iterator[Found]:
        """Trials of the earlier run that this one can use; `part` is for files in between."""
        # The record, if it is of the same search.
        outputs.copy(FILE, part)
        record = read_json(part)
        key = read_json(self.work / "key.json")
        if any(record[name] != key[name] for name in ("settings", "inputs")):
            return

        rows = [TrialRow(**row) for row in record["trials"]]
        files = {
            trial: {name: there for there, name in names.items()}
            for trial, names in self.kept(rows).items()
        }
        tested = _tested(outputs, part)

        # Nets that this search will keep, and those that it will report, of its first trials.
        begun = rows[: self.trials]
        kept = set(self.kept(begun))
        reported = {row.trial for row in top(begun, REPORTED_TRIALS)}

        for row in begun:
            here = files.get(row.trial, {})
            of_net = tested["trials"].get(row.trial)
            lacks_net = row.trial in kept and not here
            lacks_test = row.trial in reported and not here and of_net is None
            if not lacks_net and not lacks_test:
                yield Found(TrialFolder(self.work, row.trial), row, here, of_net)

        for row in [TrialRow(**row) for row in record["retrained"]][: self.retrained]:
            of_net = tested["retrained"].get(row.trial)
            if row.value is None or of_net is not None:
                yield Found(TrialFolder(self.again, row.trial), row, {}, of_net)


def _tested(outputs: Outputs, part: Path) -> dict[str, dict[int, np.ndarray]]:
    """Outputs of the reported nets, where the stage keeps them."""
    try:
        outputs.copy(TESTED, part)
    except FileNotFoundError:
        return {"trials": {}, "retrained": {}}
    return read_test_logits(part)
