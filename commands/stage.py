"""stage: runs one stage of dvc.yaml, as `python -m commands.stage NAME ...`.

DVC runs this for every stage. It says how far the run is, compares the code with what the stage
`code` has listed, and runs the stage in a fork of a process that has imported everything, see
commands/running/server.py. Where no DVC process has started it, or MIMICNETS_SERVER is off, the
stage runs in this process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from commands.pipeline.clones import register
from commands.running import progress, stage
from commands.running.anchor import DvcRun, dvc_run
from commands.running.places import check_places
from stages.runtime.copies import clone_of
from stages.runtime.listings import CODE, stage_names


def main() -> int:
    """Exit status of the stage."""
    words = sys.argv[1:]
    allowed = stage_names()
    if not words or words[0] not in allowed:
        got = words[0] if words else "missing"
        print(
            f"error: python -m commands.stage NAME ...: NAME is {got}, "
            f"allowed are {', '.join(allowed)}",
            file=sys.stderr,
        )
        return 2

    run = dvc_run()
    if run is None:
        return stage.status_of(lambda: stage.run(words))

    root = clone_of(Path.cwd()) or Path()
    try:
        check_places(root)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1

    register(root)
    name = os.environ.get("DVC_STAGE", words[0])
    progress.begin(name, (run.pid, str(run.start)))
    try:
        status = below_dvc(run, words)
    except KeyboardInterrupt:  # before there was anything to pass it on to
        print("stopped; run 'dvc repro' to resume", file=sys.stderr)
        return 130

    if status == 0:
        progress.end(name, (run.pid, str(run.start)))
    return status


def below_dvc(run: DvcRun, words: list[str]) -> int:
    """Exit status of a stage that DVC has started: in a fork, or in this process."""
    if words[0] != CODE and os.environ.get("MIMICNETS_SERVER") != "off":
        from commands.running.client import served

        status = served(run, words)
        if status is not None:
            return status

    return stage.status_of(lambda: stage.run(words, run.words))


if __name__ == "__main__":
    sys.exit(main())
