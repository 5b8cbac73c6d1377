"""What it costs to score a folder into a table, beside onnxruntime alone and beside a plain loop.

A conv2 student of 180k parameters with random weights, as model.onnx; pictures are PNG files of
32 x 32 px; one process, one thread for the net. "The net's part" is everything but reading pictures:
asking the net, making rows, keeping them as they come and writing the table. Its peer asks the same
net about decoded arrays and keeps the logits. "Files to table" is the whole command after its start.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from scipy.special import softmax

from benchmarks.measure import ROOT, Row, compare, interleaved, main
from commands.models import batch
from commands.models.files import FILES
from commands.models.listed import Listed, all_below
from commands.models.loaded import Model, load
from commands.models.programs import captured, onnx_bytes
from commands.models.reading import inputs_of
from commands.models.table_rows import TableForm
from stages.nets.budget import plan
from stages.nets.families import control_names
from stages.nets.student import build_student

UNIT = "images per CPU-second"
OURS = "ours"
PEER_BATCH = 32
"""At which onnxruntime was fastest here, of 1, 8, 32, 64, 128, 256 and 1024."""
BOXES = [(10, 24), (10, 24)]


def make_pictures(folder: Path, count: int) -> None:
    """PNG files in ten folders; smooth colours with noise, as photos compress."""
    rng = np.random.default_rng(0)
    waves = np.linspace(0, 6, 32)
    for number in range(count):
        place = folder / f"{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        phases = rng.uniform(0, 6, (2, 3))
        smooth = np.sin(waves[:, None, None] + phases[0]) + np.sin(waves[:, None] + phases[1])
        pixels = 128 + 40 * smooth + rng.normal(0, 8, (32, 32, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(place / f"{number:06}.png")


def make_net(folder: Path) -> Path:
    """model.onnx of a student with random weights."""
    torch.manual_seed(0)
    net = build_student(plan("conv2", 180_000, [0.5] * len(control_names("conv2")), BOXES)).eval()
    description = {"classes": [str(i) for i in range(10)], "size_px": 32}
    path = folder / FILES["onnx"]
    path.write_bytes(onnx_bytes(captured(net, np.zeros((2, 32, 32, 3), np.uint8)), description))
    return path


def session_of(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """What runs the file with one thread, by onnxruntime alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["logits"], {"images": images})[0]


def scored(model: Model, listed: Listed, out: Path, form: TableForm) -> int:
    """The whole of what predict does with a folder; how many rows."""
    out.unlink(missing_ok=True)
    return batch.score_files(model, listed, out, form, None).rows


def by_hand(
    run: Callable[[np.ndarray], np.ndarray], listed: Listed, classes: list[str], out: Path
) -> int:
    """The same table as a user's loop writes it: nothing is checked, and a stop loses it."""
    with out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "class", "index", "probability"])
        for start in range(0, len(listed.files), PEER_BATCH):
            paths = listed.files[start : start + PEER_BATCH]
            shares = softmax(
                run(np.stack([np.array(Image.open(path).convert("RGB")) for path in paths])), axis=1
            )
            for path, row in zip(paths, shares, strict=True):
                best = int(row.argmax())
                name = path.relative_to(listed.folder).as_posix()
                writer.writerow([name, classes[best], best, row[best]])
    return len(listed.files)


def peak_mb(net: Path, photos: Path, out: Path) -> float:
    """The most memory that the command has taken at once."""
    words = [sys.executable, "-m", "commands.predict", str(net)]
    words += ["--folder", str(photos), "--out", str(out)]
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=2); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    return round(int(done.stdout) / 1e3 * (1.024 if sys.platform == "linux" else 1e-3), 1)


def measure(arguments: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """Rows for the net's part and for the whole, and peaks of memory."""
    torch.set_num_threads(1)  # onnxruntime takes as many, see read_onnx
    counts, turns = ((200, 1000), 3) if arguments.quick else ((1000, 10_000), 7)
    folder = Path(tempfile.mkdtemp(prefix="predict-"))
    try:
        # A net and pictures.
        net = make_net(folder)
        for count in counts:
            make_pictures(folder / f"{count}", count)
        model = load(str(net), False)
        run = session_of(net)
        classes = model.described["classes"]
        form = TableForm(tuple(classes), False, False, 1, None)
        out = folder / "scores.csv"
        listed = all_below(folder / f"{counts[-1]}", False, out)
        read = list(inputs_of(model, [str(file) for file in listed.files]))
        images = np.concatenate([each for _, each, _ in read if each is not None])

        def net_alone() -> int:
            for start in range(0, len(images), PEER_BATCH):
                run(images[start : start + PEER_BATCH])
            return len(images)

        def net_part() -> int:
            with mock.patch.object(batch, "read_ahead", lambda *_: (each for each in read)):
                return scored(model, listed, out, form)

        # The two cases.
        rows = []
        cases = {
            "the net's part": {OURS: net_part, "onnxruntime on decoded arrays": net_alone},
            "files to table": {
                OURS: lambda: scored(model, listed, out, form),
                "Pillow, onnxruntime and csv in a loop": lambda: by_hand(
                    run, listed, classes, folder / "loop.csv"
                ),
                "onnxruntime on decoded arrays": net_alone,
            },
        }
        for case, alternatives in cases.items():
            interleaved(alternatives, 1)
            costs = interleaved(alternatives, turns)
            rows += compare(f"{case}, {counts[-1]:,} images", OURS, costs, UNIT)

        peaks = {f"{count}": peak_mb(net, folder / f"{count}", out) for count in counts}
    finally:
        shutil.rmtree(folder)

    print(f"peak of memory in MB, by number of pictures: {peaks}")
    return rows, {"threads": 1, "peak_MB": peaks}


if __name__ == "__main__":
    main("predict", __doc__ or "", measure)
