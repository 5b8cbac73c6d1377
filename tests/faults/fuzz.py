"""Broken params and files for every reader: `python -m tests.faults.fuzz --count 100000 --seed 0`.

An input passes if it is refused with a ValueError or OSError (what stages.runtime.entry prints in
one line) that names the file, or if it is accepted with the original's values ("same") or with
values that keep all the rules ("valid"; each reader's `judge` says which). Another exception, a
wrong value, more than SECONDS of the processor or MEMORY is a failure.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.faults import file_readers, layout_readers, readers
from tests.faults.readers import Reader

SECONDS = 10.0
"""Of the processor, for one input; the slowest sound one takes a hundredth of it."""
STUCK = 600.0
"""Seconds on the clock, after which an input that uses no processor ends the run."""
MEMORY = 3 << 30
"""Bytes of address space above what is in use when the readers are set up."""


class TooSlow(BaseException):
    """An input took more than SECONDS."""


@dataclass(frozen=True)
class Failure:
    """An input that did not pass."""

    reader: str
    number: int
    why: str


def all_readers(root: Path) -> list[Reader]:
    """All of them, with their sound files below `root`."""
    makers = (
        *(
            readers.params_readers,
            readers.json_readers,
            readers.metrics,
            file_readers.tensor_readers,
        ),
        *(file_readers.shard_readers, file_readers.state_readers, file_readers.source_readers),
        layout_readers.layout_readers,
    )
    return [
        reader
        for i, make in enumerate(makers)
        for reader in make(readers.new_folder(root / str(i)))
    ]


@contextmanager
def limited() -> Iterator[None]:
    """Raise TooSlow after SECONDS; end the process where not even that is heard."""

    def stop(number: int, frame: Any) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    faulthandler.dump_traceback_later(STUCK, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def one(reader: Reader, seed: int, number: int) -> str:
    """Outcome of input `number`: "refused", "same" or "valid".

    Raises:
        AssertionError: accepted with values that break a rule, or refused without a clear line.
        BaseException: whatever else the reader raised.
    """
    item = reader.broken(Random(f"{seed}/{reader.name}/{number}"))
    with limited():
        try:
            value = reader.read(item)
        except (ValueError, OSError) as error:
            assert str(error).strip() and reader.names in str(error), (
                f"unclear: {type(error).__name__}: {error}"
            )
            return "refused"
    return reader.judge(item, value)


def run(
    reader: Reader, count: int, seed: int, failures: list[Failure], most: int = 20
) -> Counter[str]:
    """Outcomes of inputs 0 .. count - 1; at most `most` failures of a reader are described."""
    counts: Counter[str] = Counter()
    for number in range(count):
        try:
            counts[one(reader, seed, number)] += 1
        except KeyboardInterrupt:
            raise
        except (
            BaseException
        ) as error:  # a TooSlow, a pyo3 panic and a SystemExit are not Exceptions
            counts["failed"] += 1
            if counts["failed"] <= most:
                lines = traceback.format_exception(error, limit=-4)
                failures.append(Failure(reader.name, number, "".join(lines)[-1500:]))
    return counts


def shares(count: int, chosen: list[Reader]) -> list[int]:
    """`count` divided by the readers' weights."""
    total = sum(reader.weight for reader in chosen)
    ends = [
        round(count * sum(r.weight for r in chosen[: i + 1]) / total) for i in range(len(chosen))
    ]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def everything(
    folder: Path, count: int, seed: int, only: str | None, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Counts of every reader and the failures, as plain JSON data."""
    chosen = [r for r in all_readers(folder) if only is None or r.name == only]
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, resource.RLIM_INFINITY))
    failures: list[Failure] = []
    table = {}
    tell(
        f"{'reader':18}{'inputs':>8}{'refused':>9}{'same':>7}{'valid':>7}{'failed':>8}{'seconds':>9}"
    )
    for reader, number in zip(chosen, shares(count, chosen), strict=True):
        started = time.monotonic()
        counts = run(reader, number, seed, failures)
        row = {
            "inputs": number,
            **{key: counts[key] for key in ("refused", "same", "valid", "failed")},
        }
        table[reader.name] = row
        tell(
            f"{reader.name:18}"
            + "".join(
                f"{entry:>{width}}"
                for entry, width in zip(row.values(), (8, 9, 7, 7, 8), strict=True)
            )
            + f"{time.monotonic() - started:>9.1f}"
        )
    sums = {
        key: sum(row[key] for row in table.values())
        for key in ("inputs", "refused", "same", "valid", "failed")
    }
    tell(f"all: {sums}")
    return {
        "seed": seed,
        "readers": table,
        "all": sums,
        "failures": [vars(failure) for failure in failures],
    }


def main() -> int:
    """Run as a command; exit status 1 if an input failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="inputs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one reader")
    parser.add_argument("--json", type=Path, help="where the counts and failures go")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = everything(
            Path(folder), words.count, words.seed, words.only, lambda line: print(line, flush=True)
        )
    for failure in found["failures"]:
        print(f"\n{failure['reader']} {failure['number']}: {failure['why']}", file=sys.stderr)
    if words.json:
        words.json.write_text(json.dumps(found, indent=2) + "\n")
    return 1 if found["all"]["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
