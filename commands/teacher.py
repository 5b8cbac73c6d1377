"""teacher: looks at nets from elsewhere before a run, as `python -m commands.teacher check`.

Runs each net of the folder teachers/, or of FOLDER, on the validation images of data/prepared, which
`dvc repro prepare` makes: its accuracy beside that of always naming the commonest class, and what
in its description may be wrong. The stage `ensemble` does the same. Writes nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.runtime import entry
from stages.runtime.device import choose_device, set_up_torch
from stages.settings import common
from stages.settings.read import read_params
from stages.settings.transfer import ensemble
from stages.store import chance
from stages.store.prepared import PreparedManifest, read_validation
from stages.transfer.candidates import FOLDER
from stages.transfer.outside import descriptions, look_at

PREPARED = Path("data/prepared")


def main() -> None:
    """Look at every net, and fail if one cannot be a teacher."""
    parser = argparse.ArgumentParser(
        prog="python -m commands.teacher",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("word", choices=("check",))
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help="of the nets")
    folder = parser.parse_args().folder

    # The images, and what runs the nets.
    params = read_params()
    numerics = common.numerics(params)
    device = choose_device(common.execution(params).device)
    set_up_torch(numerics.threads, device)
    classes = PreparedManifest.read(PREPARED).classes
    images, labels, _ = read_validation(PREPARED)

    at_chance = ensemble(params).at_chance

    # Every net, also after one that cannot be used.
    paths = descriptions(folder)
    bad = 0
    for path in paths:
        try:
            found = look_at(path, classes, images, labels, device, numerics.eval_batch)
            print("\n".join(found.lines))
            if at_chance == "refuse" and chance.at_chance(found.accuracy, labels):
                bad += 1
                print(
                    "  error: at chance, and ensemble.at_chance is refuse: the run would end here"
                )
        except (OSError, ValueError) as error:
            bad += 1
            print(f"error: {' '.join(str(error).split())}")

    if bad:
        raise ValueError(f"{bad} of {len(paths)} nets cannot be a teacher: see above")


if __name__ == "__main__":
    entry.run(main)
