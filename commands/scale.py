"""scale: writes params.yaml for a scale, or says what a scale costs.

`python -m commands.scale smoke` makes smoke the active scale: scales/paper.yaml, changed as
scales/smoke.yaml says. params.yaml is then the single source of truth; edit it, or override single
values with `dvc exp run -S`. An overlay may change another scale than paper.yaml, which it names as
its `base`. `--cost` prints the expected cost and writes nothing; without NAME it does so for
params.yaml as it stands. `--cells` adds a line for every cell, `--classes` gives the number of
classes of data that were not downloaded yet.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ruamel.yaml import YAML

from commands.sizing.cost import cells, devices, in_words, lines
from commands.sizing.jobs import classes_of, counts_of, jobs, parts
from commands.sizing.scales import compose, names
from stages.images.sources.labelled import FEWEST_CLASSES, MOST_CLASSES
from stages.runtime import entry
from stages.settings import common
from stages.settings.read import read_params
from stages.settings.transfer import ensemble
from stages.store.atomic import write_text

PARAMS = Path("params.yaml")


def main() -> None:
    """Write params.yaml, or print a cost."""
    parser = argparse.ArgumentParser(
        prog="python -m commands.scale", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("name", nargs="?", help=", ".join(names()))
    parser.add_argument(
        "--cost", action="store_true", help="print the expected cost, write nothing"
    )
    parser.add_argument("--cells", action="store_true", help="also a line for every cell")
    parser.add_argument(
        "--classes",
        type=int,
        metavar="N",
        help="number of classes, for data not yet downloaded",
    )
    arguments = parser.parse_args()

    # What is asked for.
    if arguments.classes is not None and not FEWEST_CLASSES <= arguments.classes <= MOST_CLASSES:
        parser.error(
            f"--classes is {arguments.classes}, allowed are {FEWEST_CLASSES} to {MOST_CLASSES:,}"
        )

    if arguments.name is None and not arguments.cost:
        parser.error(f"which scale? one of {', '.join(names())}")
    text = compose(arguments.name) if arguments.name else None
    params = YAML(typ="safe").load(text) if text else read_params(PARAMS)
    if arguments.classes:
        classes = arguments.classes
        origin = "--classes"
    else:
        classes, origin = classes_of(params)

    # Everything is computed before anything is written.
    works, stored = jobs(params, classes)
    listed = parts(params, works, classes)
    if text and not arguments.cost:
        write_text(PARAMS, text)
        print(f"{PARAMS} is at scale {arguments.name}; 'dvc repro' runs it")

    # The estimate.
    precision = common.numerics(params).precision
    rated = devices()
    every = [*cells(listed), ""] if arguments.cells else []
    print("\n".join(every + lines(listed, stored, precision, rated)))
    print(f"classes: {classes:,}, {origin}")
    counts = counts_of(params)
    if counts.origin:
        listed_counts = f"{counts.train:,} for training, {counts.validation:,} for validation"
        print(f"images: {listed_counts}, {counts.unlabelled:,} without labels, {counts.origin}")
    if not ensemble(params).searched:
        print("not counted: labelling with the nets of teachers/, whose cost nobody knows before")
    print()
    print("\n".join(in_words(listed, precision, rated)))


if __name__ == "__main__":
    entry.run(main)
