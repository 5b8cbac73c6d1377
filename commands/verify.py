"""verify: checks that all stored data are unchanged, says what is wrong and how to fix it.

`python -m commands.verify` exits 0 if there is no problem, and 1 if there is one or nothing could
be checked. It writes nothing. It has four parts, `--only PART` for one of them: cache: every
object of DVC's cache is hashed again, and every output in the workspace compared with dvc.lock;
data: every file with its folder's manifest and its own checksum, every shard of images with its
shard of logits; records: every search with the parameters and inputs that dvc.lock names;
ensemble: whole batches of sampled epochs go through the ensemble again (images are made again where
only their draws are stored); `--all` takes every epoch. `--quick` looks at names, headers, pairing,
records and the cache's lists of files, but hashes no other file and runs no net.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from commands.audit.data import DataCheck, check_data, transfer_manifest
from commands.audit.findings import Findings, Remedy
from commands.audit.origins import DATA, remade
from commands.audit.outs import check_outs
from commands.audit.records import check_records
from commands.pipeline.cache import Hashes, read_lock
from stages.runtime import entry
from stages.settings import common
from stages.settings.read import read_params

PARTS = ("cache", "data", "records", "ensemble")
NEEDED = ("augmented", "logits", "ensemble", "prepared")
"""Folders of data/ without which the ensemble cannot be run again."""


def check_ensemble(check: DataCheck, rows: int, seed: int, everything: bool) -> list[str]:
    """Sampled logits computed again; returns lines that say how near they came."""
    absent = [str(DATA / name) for name in NEEDED if not (DATA / name / "manifest.json").is_file()]
    if absent:
        check.findings.notes.append(f"ensemble not run again: {', '.join(absent)} not here")
        return []

    manifest = transfer_manifest(check)
    if manifest is None:
        check.findings.notes.append(
            "ensemble not run again: the manifest of the images cannot be used"
        )
        return []

    # torch is imported only if there is something to run.
    from commands.audit.logits import Again, rerun

    try:
        numerics = numerics_of_label()
        device = common.execution(read_params()).device
        rng = np.random.default_rng(seed)
        batches = sample(
            manifest.epochs, manifest.images, numerics.eval_batch, rows, rng, everything
        )
        return rerun(Again(check, numerics, device, *(DATA / name for name in NEEDED)), batches)
    except (OSError, ValueError) as error:
        check.findings.notes.append(f"ensemble not run again: {' '.join(str(error).split())}")
        return []


def numerics_of_label() -> common.Numerics:
    """The numerics that data/logits were made with: those of dvc.lock, else of params.yaml."""
    try:
        return common.numerics(read_lock(Path())["label"]["params"]["params.yaml"])
    except (OSError, ValueError, KeyError, TypeError):
        return common.numerics(read_params())


def sample(
    epochs: int, images: int, batch: int, rows: int, rng: np.random.Generator, everything: bool
) -> dict[int, list[int]]:
    """Epoch -> first rows of its sampled batches, in all at least `rows` rows and three epochs.

    There are fewer where the transfer set is smaller. Batches are those of `label`: a row's last
    bits may depend on the other rows of its batch.
    """
    starts = list(range(0, images, batch))
    if everything:
        return {epoch: starts for epoch in range(epochs)}

    count = min(max(-(-rows // batch), min(3, epochs)), epochs * len(starts))
    order = [(int(epoch), rng.permutation(starts)) for epoch in rng.permutation(epochs)[:count]]
    chosen: dict[int, list[int]] = {}
    for place in range(count):
        epoch, shuffled = order[place % len(order)]
        chosen.setdefault(epoch, []).append(int(shuffled[place // len(order)]))

    return {epoch: sorted(rows_of) for epoch, rows_of in sorted(chosen.items())}


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m commands.verify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    parser.add_argument("--only", choices=PARTS, help="one part of the four")
    parser.add_argument("--quick", action="store_true", help="hash no files and run no net")
    parser.add_argument(
        "--rows",
        type=int,
        default=256,
        help="images that go through the ensemble again (default 256)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of epochs and batches")
    parser.add_argument(
        "--all", action="store_true", help="all images go through the ensemble again"
    )
    arguments = parser.parse_args()

    if arguments.rows < 1 or arguments.seed < 0:
        parser.error(
            f"--rows is {arguments.rows}, --seed {arguments.seed}: "
            "allowed are 1 or more and 0 or more"
        )

    return arguments


def main() -> None:
    """Check, print, exit."""
    arguments = options()
    started = time.monotonic()

    parts = (arguments.only,) if arguments.only else PARTS
    findings = Findings()
    hashes = Hashes(lambda count: findings.counts.update(bytes=count))

    remedies: dict[str, Remedy] = {}
    if "cache" in parts:
        remedies = check_outs(findings, hashes, arguments.quick)

    def remedy(path: Path, fresh: bool) -> Remedy:
        return remade(path, fresh, remedies)

    check = DataCheck(DATA, findings, hashes, remedy, arguments.quick)
    if "data" in parts:
        check_data(check)

    if "records" in parts:
        check_records(findings)

    nearness: list[str] = []
    if "ensemble" in parts and not arguments.quick:
        nearness = check_ensemble(check, arguments.rows, arguments.seed, arguments.all)

    print("\n".join([*findings.lines(), *nearness, findings.summary(time.monotonic() - started)]))
    if findings.problems or not findings.checked():
        raise SystemExit(1)


if __name__ == "__main__":
    entry.run(main)
