"""code: which files each stage runs -> metrics/code/STAGE.json, a file's name with its sha256.

DVC does not follow imports. So every stage depends on its own list here, made from the imports: an
edit changes the lists of the stages that run the file, and these run again. A list is also what a
stage compares itself with before it starts, so that no result is put down to code that did not make
it. Reads stages/.
"""

from __future__ import annotations

from stages.runtime import entry
from stages.runtime.listings import CODE, list_of, listing, stage_names
from stages.store.atomic import write_json


def main() -> None:
    """Run the stage."""
    names = [name for name in stage_names() if name != CODE]
    for name in names:
        write_json(list_of(name), listing(name))
    print(f"code: of {len(names)} stages")


if __name__ == "__main__":
    entry.run(main)
