"""predict: classes of images or vectors in files, by an exported net or one of a finished run.

`python -m commands.predict MODEL FILE...`: MODEL is a folder or file that export wrote, or a cell
as export takes it. Of a folder it takes model.safetensors, else model.onnx, else model.pt2. Images
may have any size and mode: each becomes a square as in the net's training (docs/data.md), or its
centre square if that had one size alone; `--fit` says otherwise. For nets of vectors
FILE is .npy or .npz, whose rows are standardised as the training vectors were. Prints a
line per image or row, `--json` as JSON; files that cannot be read, and inputs to which the net has
no finite answer, are named, the others are classified all the same, and the exit status is 1.
`--labels FOLDER` takes the files of FOLDER/CLASS and prints how many are named like their class: in
all and by class, with 95 % intervals. `--out TABLE` writes a row for each input of that folder, or
of all files below `--folder FOLDER`, into a CSV or parquet file: see docs/use.md. Is not a stage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
from scipy.special import softmax

from commands.models.check import finite, outputs
from commands.models.failed import NOT_FINITE, Failed
from commands.models.listed import Listed, all_below, all_labelled
from commands.models.loaded import Model, load
from commands.models.reading import inputs_of
from commands.models.scores import as_json, lines, score
from commands.models.table_names import EACH, ENDINGS
from stages.images.pictures import Fit
from stages.runtime import entry


def answers(model: Model, inputs: np.ndarray, top: int) -> list[list[dict[str, Any]] | None]:
    """For each input the `top` classes, most probable first: name, index, probability (softmax).

    None where the logits are not finite numbers.

    Raises:
        ValueError: the net has another number of outputs than its description has classes.
    """
    names = model.described["classes"]
    logits = outputs(model.run, inputs, str(model.where))
    model.check_outputs(logits)

    return [
        _best(names, row, top) if good else None
        for row, good in zip(logits, finite(logits), strict=True)
    ]


def _best(names: list[str], logits: np.ndarray, top: int) -> list[dict[str, Any]]:
    """The `top` classes of one input."""
    shares = softmax(logits.astype(np.float64))
    return [
        {"class": names[i], "index": int(i), "probability": round(float(shares[i]), 6)}
        for i in np.argsort(-shares, kind="stable")[:top]
    ]


def show(
    name: str, row: int | None, answer: list[dict[str, Any]], done: str, as_json: bool
) -> None:
    """Print one line."""
    if as_json:
        note = {"note": done} if done else {}
        print(json.dumps({"file": name, **_place(row), "top": answer, **note}, allow_nan=False))
        return

    where = name if row is None else f"{name} row {row}"
    what = ", ".join(f"{item['class']} {100 * item['probability']:.1f} %" for item in answer)
    print(f"{where}: {what}{f' ({done})' if done else ''}")


def refuse(name: str, row: int | None, reason: str, as_json: bool) -> None:
    """Print one line for a file that cannot be read, or an input without an answer."""
    if as_json:
        print(json.dumps({"file": name, **_place(row), "error": reason}))
    else:
        where = name if row is None else f"{name} row {row}"
        print(f"error: {where}: {reason}", file=sys.stderr, flush=True)


def _place(row: int | None) -> dict[str, int]:
    """In JSON, the row of a file that has several."""
    return {} if row is None else {"row": row}


def classify(model: Model, files: list[str], top: int, in_json: bool, fit: Fit | None) -> Failed:
    """Print the most probable classes of each file."""
    unread = asked = unanswered = 0
    for name, inputs, said in inputs_of(model, files, fit):
        if inputs is None:
            refuse(name, None, said, in_json)
            unread += 1
            continue

        asked += len(inputs)
        for place, answer in enumerate(answers(model, inputs, top)):
            row = place if model.inputs.is_vectors else None
            if answer is None:
                refuse(name, row, NOT_FINITE, in_json)
                unanswered += 1
            else:
                show(name, row, answer, said, in_json)

    return Failed(len(files), unread, asked, unanswered)


def score_folder(model: Model, folder: Path, in_json: bool, fit: Fit | None) -> Failed:
    """Print how often the net is right on the files of `folder`/CLASS.

    Raises:
        ValueError: there is no such folder, or it holds something else.
    """
    names = model.described["classes"]
    listed = all_labelled(folder, names)
    labels = dict(zip(map(str, listed.files), listed.labels or (), strict=True))
    say(listed)

    failed = []
    changed = []
    asked: list[tuple[str, int | None]] = []
    unanswered = []

    def readable() -> Iterator[tuple[np.ndarray, int]]:
        for name, inputs, said in inputs_of(model, list(labels), fit):
            if inputs is None:
                refuse(name, None, said, in_json)
                failed.append(name)
                continue
            if said:
                changed.append(name)
            rows = range(len(inputs)) if model.inputs.is_vectors else [None]
            asked.extend((name, row) for row in rows)
            yield inputs, labels[name]

    def no_answer(place: int) -> None:
        refuse(*asked[place], NOT_FINITE, in_json)
        unanswered.append(place)

    scores = score(model.run, str(model.where), names, readable(), no_answer)
    counts = {"unread": len(failed), "unanswered": len(unanswered), "changed": len(changed)}
    if scores is not None and in_json:
        print(as_json(str(folder), scores, **counts))
    elif scores is not None:
        print("\n".join(lines(str(folder), scores, changed=len(changed))))

    return Failed(len(labels), len(failed), len(asked), len(unanswered))


def say(listed: Listed) -> None:
    """Print what is in a folder and not among its files."""
    for note in listed.notes:
        print(note, file=sys.stderr)


def write_scores(model: Model, arguments: argparse.Namespace) -> Failed:
    """Write a table of all files of a folder, and print its score where classes are known.

    Raises:
        ValueError: the folder or the table cannot be used.
    """
    from commands.models.batch import score_files  # pyarrow, which takes half a second
    from commands.models.table_rows import TableForm

    # What is asked for.
    names = model.described["classes"]
    labelled = arguments.labels is not None
    folder, out = Path(arguments.labels if labelled else arguments.folder), Path(arguments.out)
    vectors = model.inputs.is_vectors
    form = TableForm(tuple(names), vectors, labelled, arguments.top or 1, arguments.each)
    listed = all_labelled(folder, names, out) if labelled else all_below(folder, vectors, out)
    say(listed)

    # The table.
    counted = score_files(model, listed, out, form, arguments.fit)
    scores = counted.scores(names)
    counts = {
        "unread": counted.unread,
        "unanswered": counted.unanswered,
        "changed": counted.changed,
    }

    # What it says.
    if arguments.json:
        told = {"out": str(out), "net": str(model.where), "rows": counted.rows, **counts}
        print(json.dumps(told))
    else:
        print(
            f"{out}: {counted.rows:,} row{'' if counted.rows == 1 else 's'}, answered by {model.where}"
        )
    if scores is not None and arguments.json:
        print(as_json(str(folder), scores, **counts))
    elif scores is not None:
        print("\n".join(lines(str(folder), scores, changed=counted.changed)))
    elif counted.changed and not arguments.json:
        print(f"{counted.changed:,} pictures were cut or resized to the net's size")

    for line in counted.lines:
        print(f"error: {line}", file=sys.stderr)
    more = counted.unread + counted.unanswered - len(counted.errors)
    if more:
        print(f"and {more:,} more: see the column error of {out}", file=sys.stderr)
    return counted.failed(len(listed.files))


def parsed() -> argparse.Namespace:
    """The command line."""
    # The arguments.
    parser = argparse.ArgumentParser(prog="python -m commands.predict", description=__doc__)
    parser.add_argument(
        "model", metavar="MODEL", help="an exported folder or file, or a cell, e.g. hard/conv2-180k"
    )
    parser.add_argument(
        "files", metavar="FILE", nargs="*", help="images; .npy or .npz for a net of vectors"
    )
    parser.add_argument(
        "--labels", metavar="FOLDER", help="instead of files: score all of FOLDER/CLASS/"
    )
    parser.add_argument(
        "--folder", help="instead of files: all of a folder at any depth, into the table of --out"
    )
    parser.add_argument(
        "--out", metavar="TABLE", help="a row for each input into TABLE.csv or TABLE.parquet"
    )
    parser.add_argument(
        "--top",
        type=int,
        metavar="K",
        help="classes a line, the most probable first (3; in a table 1)",
    )
    parser.add_argument(
        "--each", choices=EACH, help="in a table: a column for each class with its number"
    )
    parser.add_argument(
        "--fit",
        choices=get_args(Fit),
        help="how pictures of another size become squares (as in the net's training)",
    )
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    parser.add_argument("--trust", action="store_true", help="run a .pt2 file, which can hold code")
    # files may come after options, which argparse takes for none where there may be none
    arguments = parser.parse_intermixed_args()

    # What goes together.
    if arguments.top is not None and arguments.top < 1:
        parser.error(f"--top is {arguments.top}, allowed is 1 or more")

    given = [bool(arguments.files), arguments.labels is not None, arguments.folder is not None]
    if sum(given) != 1:
        parser.error(
            "give files to classify, or --labels FOLDER to score, or --folder FOLDER with --out TABLE"
        )
    if arguments.out is None and (arguments.folder is not None or arguments.each is not None):
        parser.error("--folder and --each need --out TABLE")
    if arguments.out is not None:
        if arguments.files:
            parser.error("--out takes --folder FOLDER or --labels FOLDER, and no single files")
        if Path(arguments.out).suffix.lower() not in ENDINGS:
            parser.error(
                f"--out is {arguments.out}, allowed are names that end in {' or '.join(ENDINGS)}"
            )
    return arguments


def main() -> None:
    """Classify files, or score those of a folder."""
    arguments = parsed()
    model = load(arguments.model, arguments.trust, onnx_first=arguments.out is not None)

    # Every file.
    if arguments.out is not None:
        failed = write_scores(model, arguments)
    elif arguments.labels is not None:
        failed = score_folder(model, Path(arguments.labels), arguments.json, arguments.fit)
    else:
        top = arguments.top or 3
        failed = classify(model, arguments.files, top, arguments.json, arguments.fit)

    if failed.lines:
        print("\n".join(failed.lines), file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    entry.run(main)
