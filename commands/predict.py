"""predict: classes of images or vectors in files, by an exported net or one of a finished run.

`python -m commands.predict MODEL FILE...`: MODEL is a folder or file that export wrote, or a cell
as export takes it. Of a folder it takes model.safetensors, else model.onnx, else model.pt2. Images
may have any size and mode: each becomes a square as in the net's training (docs/data.md), or its
centre square if that had one size alone; `--fit` says otherwise. For nets of vectors
FILE is .npy or .npz, whose rows are standardised as the training vectors were. Prints a
line per image or row, `--json` as JSON; files that cannot be read, and inputs to which the net has
no finite answer, are named, the others are classified all the same, and the exit status is 1.
`--labels FOLDER` takes the files of FOLDER/CLASS and prints how many are named like their class: in
all and by class, with 95 % intervals. Writes nothing, and is not a stage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from scipy.special import softmax

from commands.models.check import finite, outputs
from commands.models.exported import exported_net
from commands.models.files import STATISTICS, check_description, model_file, picture_rule
from commands.models.find import PREPARED, find, takes_and_gives
from commands.models.programs import Runner, read_onnx, read_program, torch_runner
from commands.models.scores import as_json, lines, score
from commands.models.vectors import read_vectors
from stages.images.pictures import Fit, read_picture
from stages.images.sources.extra import labelled_files
from stages.images.sources.files import file_bytes, linked_note
from stages.nets.stored import restore
from stages.runtime import entry
from stages.settings.inputs import Inputs
from stages.store.tensors import fits, read_tensors
from stages.store.weights import load_weights


@dataclass(frozen=True)
class Model:
    """A net that can be asked.

    Attributes:
        where: file that it is from.
        run: inputs to logits.
        described: `classes`, and `size_px` or `shape`.
        statistics: where those of the training vectors are, for a net of vectors.
    """

    where: Path
    run: Runner
    described: dict[str, Any]
    statistics: Path

    @property
    def inputs(self) -> Inputs:
        """What the net sees."""
        return Inputs.from_json(self.described)


NOT_FINITE = (
    "the net's answer is not made of finite numbers: if the input is like those of its training, the "
    "net's file is damaged or of an older version: export it again (of a cell: run 'dvc checkout')"
)


def load(model: str, trust: bool) -> Model:
    """The net of an exported folder or file, or of a cell.

    Raises:
        OSError: it cannot be read.
        ValueError: there is none, it is damaged, or a .pt2 file is not trusted.
    """
    path = Path(model)
    if not path.exists() or (path / "weights.safetensors").is_file():
        return of_cell(model)

    path = model_file(path)
    if path.suffix == ".safetensors":
        run, described = of_weights(path)
    elif path.suffix == ".onnx":
        run, described = named(path, read_onnx)
    elif trust:
        run, described = named(path, read_program)
    else:
        raise ValueError(
            f"{path}: torch unpickles parts of a .pt2 file, and whoever wrote it can run code here: "
            "give --trust if you know where it is from, or use the .safetensors or .onnx file"
        )

    check_description(path, described)
    return Model(path, run, described, path.parent / STATISTICS)


def of_cell(cell: str) -> Model:
    """The net of a finished run, as it was trained."""
    try:
        net = find(cell)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{cell} is neither a file, a folder nor a cell ({error})") from error

    state, header = load_weights(net.weights)
    about = {"kind": net.kind, "net": header, "absorbed": False}
    run = torch_runner(restore(net.weights, exported_net, state, about).eval())
    return Model(net.weights, run, takes_and_gives(), PREPARED / STATISTICS)


def of_weights(path: Path) -> tuple[Runner, dict[str, Any]]:
    """What runs an exported model.safetensors, and its description."""
    try:
        state, described = load_weights(path)
        return torch_runner(restore(path, exported_net, state, described).eval()), described
    except ValueError as error:
        reason = str(error).split(": delete")[0].removeprefix(f"{path} ")
        raise ValueError(
            f"{path} is not an export, or damaged ({reason}): write it again with commands.export"
        ) from error


def named(path: Path, read: Any) -> tuple[Runner, dict[str, Any]]:
    """What runs the file, by one of the readers; the file is named in its errors."""
    try:
        return read(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def inputs_of(
    model: Model, files: list[str], fit: Fit | None = None
) -> Iterator[tuple[str, np.ndarray | None, str]]:
    """File, its inputs (n, ...) or None, and what was done to it or why it cannot be read."""
    seen = model.inputs
    shape = seen.shape

    # What vectors are standardised by.
    if shape is not None:
        statistics = read_tensors(model.statistics)[0]
        wanted = (np.float64, shape)
        if not fits(statistics, {"mean": wanted, "deviation": wanted}):
            raise ValueError(
                f"{model.statistics} has no mean and deviation of shape {list(shape)}: export again"
            )
        mean, deviation = statistics["mean"], statistics["deviation"]
        if not (np.isfinite(mean).all() and np.isfinite(deviation).all() and (deviation > 0).all()):
            raise ValueError(
                f"{model.statistics} has means that are not finite, or deviations that are not above "
                "0: export again"
            )

    # The files.
    for name in files:
        try:
            if shape is not None:
                yield name, read_vectors(Path(name), shape, mean, deviation), ""
            else:
                rule = picture_rule(model.described, fit)
                picture = read_picture(file_bytes(Path(name)), name, rule)
                yield name, picture.pixels[None], picture.said
        except OSError as error:
            yield name, None, error.strerror or str(error)
        except ValueError as error:
            yield name, None, " ".join(str(error).split()).removeprefix(f"{name}: ")


def answers(model: Model, inputs: np.ndarray, top: int) -> list[list[dict[str, Any]] | None]:
    """For each input the `top` classes, most probable first: name, index, probability (softmax).

    None where the logits are not finite numbers.

    Raises:
        ValueError: the net has another number of outputs than its description has classes.
    """
    names = model.described["classes"]
    logits = outputs(model.run, inputs, str(model.where))
    if logits.shape[1] != len(names):
        raise ValueError(
            f"{model.where} has {logits.shape[1]} outputs and {len(names)} class names: export it again"
        )

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


@dataclass(frozen=True)
class Failed:
    """What could not be done.

    Attributes:
        files: how many there are.
        unread: files that could not be read.
        inputs: of the files that could.
        unanswered: inputs to which the net has no finite answer.
    """

    files: int
    unread: int
    inputs: int
    unanswered: int

    @property
    def lines(self) -> list[str]:
        """As text; none where all could be done."""
        said = []
        if self.unread:
            said.append(f"{self.unread} of {self.files} files could not be read")
        if self.unanswered:
            said.append(
                f"{self.unanswered} of {self.inputs} answers are not made of finite numbers"
            )
        return said


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
    if not folder.is_dir():
        raise ValueError(f"--labels is {folder}, allowed is a folder with a folder for each class")

    names = model.described["classes"]
    linked: list[Path] = []
    labels = {str(file): label for file, label in labelled_files(folder, names, linked=linked)}
    for note in linked_note(linked, folder):
        print(note, file=sys.stderr)

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


def main() -> None:
    """Classify files, or score those of a folder."""
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
        "--top",
        type=int,
        default=3,
        metavar="K",
        help="classes a line, the most probable first (3)",
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

    if arguments.top < 1:
        parser.error(f"--top is {arguments.top}, allowed is 1 or more")

    if bool(arguments.files) == (arguments.labels is not None):
        parser.error("give files to classify, or --labels FOLDER to score")

    # The net, and every file.
    model = load(arguments.model, arguments.trust)
    fit = arguments.fit
    if arguments.labels is not None:
        failed = score_folder(model, Path(arguments.labels), arguments.json, fit)
    else:
        failed = classify(model, arguments.files, arguments.top, arguments.json, fit)

    if failed.lines:
        print("\n".join(failed.lines), file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    entry.run(main)
