"""How much each teacher learns for its CPU-seconds: the paper's nets and the fast ones.

Each case is one training as the stage `teachers` does it, on prepared data, with all of its
hyperparameters fixed, in a process of its own: `stages.trials.teacher_trial.train_teacher`, with
its validation after every epoch. Prints a line for each case: accuracy on the validation images
after each epoch beside the CPU-seconds, and at the end on the test images, once more with the mean
of the logits of each image and its mirror image. Then the mean of the logits of several nets.

    python -m benchmarks.teachers --prepared data/prepared --folder work/teachers CASES.yaml

CASES.yaml has the keys of the section `teachers` for each case, without its sweep::

    fast-8:
      net: fast
      seed: 1
      boxes: {C1: [64, 64], C2: [256, 256], C3: [256, 256]}
      training: {batch_size: 250, max_epochs: 8, schedule: budget}
      space: {lr: 0.1, momentum: 0.9, weight_decay: 0.0005, init_scale: 1.0, C1: 0, C2: 0, C3: 0,
              DOg: 0.0, D_h: 0.0, D_s: 0.0, D_v: 0.0, A_s: 0.0, A_v: 0.0}

A case that has finished is not run again. One that was cut begins anew, since its seconds count.
`--quick` tries two tiny nets on embedded images, and needs neither data nor cases.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ruamel.yaml import YAML

from benchmarks import measure
from stages.fit.evaluate import logits
from stages.images.sources.digits import cluttered_digits
from stages.nets.stored import load_net
from stages.nets.teacher import described_teacher
from stages.runtime import entry
from stages.runtime.executors import Local
from stages.settings import common
from stages.settings.sweeps import Range
from stages.settings.teachers import OF_FAST, OF_IMAGES, Teachers, teachers
from stages.store.atomic import read_json, write_json
from stages.store.manifest import write_manifest
from stages.store.prepared import PreparedManifest, read_test, write_split
from stages.trials.folder import TrialFolder
from stages.trials.teacher import TeacherJob
from stages.trials.teacher_trial import train_teacher

FREE = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0005, "init_scale": 1.0}
JITTER = dict.fromkeys(OF_IMAGES.jitter, 0.0)
QUICK = {
    "quick-paper": {
        "boxes": {"C1": [4, 4], "C2": [4, 4], "C3": [4, 4], "H1": [8, 8]},
        "training": {"batch_size": 16, "max_epochs": 2},
        "space": {
            **FREE,
            **dict.fromkeys((*OF_IMAGES.widths, *OF_IMAGES.dropouts), 0.0),
            **JITTER,
        },
    },
    "quick-fast": {
        "net": "fast",
        "boxes": {"C1": [4, 4], "C2": [4, 4], "C3": [4, 4]},
        "training": {"batch_size": 16, "max_epochs": 2, "schedule": "budget"},
        "space": {**FREE, **dict.fromkeys((*OF_FAST.widths, *OF_FAST.dropouts), 0.0), **JITTER},
    },
}
"""Two tiny cases."""
SWEEP = {"trials": 1, "start": 1, "lag": 1, "engine": "sobol"}
EVAL_BATCH = 500


def checked(
    written: Mapping[str, Any], path: Path | None, prepared: Path
) -> dict[str, tuple[Teachers, int]]:
    """Name -> the section and the seed of each case.

    Raises:
        ValueError: a value is not allowed, or a hyperparameter is not fixed.
    """
    inputs = PreparedManifest.read(prepared).inputs
    cases = {}

    for name, values in written.items():
        given = dict(values)
        seed = given.pop("seed", 0)
        try:
            section = teachers({"teachers": {"sweep": SWEEP, "width_multiple": 1, **given}}, inputs)
        except ValueError as error:
            raise ValueError(f"{path}, {name}: {error}") from error

        for key, value in section.space.items():
            if isinstance(value, Range):
                raise ValueError(f"{path}, {name}: space.{key} is a range: give one number")
        cases[name] = (section, seed)

    return cases


def job_of(
    section: Teachers, work: Path, prepared: Path, precision: str, images: common.Images
) -> TeacherJob:
    """What the one trial of a case shares with none."""
    return TeacherJob(
        work=work,
        prepared=prepared,
        section=section,
        fixed={name: value for name, value in section.space.items() if isinstance(value, float)},
        numerics=common.numerics(
            {"numerics": {"precision": precision, "threads": 1, "eval_batch": EVAL_BATCH}}
        ),
        execution=common.Execution(
            device="cpu",
            engine="serial",
            slots=1,
            devices=None,
            trials_per_gpu=1,
            address=None,
            scratch=None,
            checkpoint_seconds=1e9,
            cuda_graphs=True,
            log="none",
        ),
        images=images,
        inputs=PreparedManifest.read(prepared).inputs,
    )


def run_case(job: TeacherJob, seed: int) -> dict[str, Any]:
    """Train one net; what it cost, its curve and its test accuracy, as plain JSON data."""
    started = time.process_time(), time.monotonic()
    result = train_teacher(job, 0, {}, seed)
    cpu_s, wall_s = time.process_time() - started[0], time.monotonic() - started[1]

    facts = {
        "params": result["params"],
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "validation": [1 - error for error in result["errors"]],
        "why": result["why"],
        "reason": result["reason"],
    }

    # Its test, and what it would be worth to look at each image twice.
    if result["value"] is not None:
        outputs = test_outputs(job)
        labels = read_test(job.prepared)[1]
        facts["test"] = float((outputs[0].argmax(1) == labels).mean())
        facts["test_with_mirror"] = float((outputs.sum(0).argmax(1) == labels).mean())
        np.save(job.work / "test.npy", outputs, allow_pickle=False)

    return facts


def test_outputs(job: TeacherJob) -> np.ndarray:
    """Logits float32 (2, n, classes) of the test images, and of their mirror images."""
    net = load_net(TrialFolder(job.work, 0).weights, described_teacher, torch.device("cpu"))
    images = read_test(job.prepared)[0]
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    numerics = job.numerics
    both = [logits(net, x, numerics.eval_batch, numerics.precision) for x in (images, mirrored)]
    return np.stack([outputs.numpy() for outputs in both])


def line(name: str, facts: Mapping[str, Any]) -> str:
    """One case in a line."""
    if facts["reason"] is not None:
        return f"{name}: failed after {facts['cpu_s']:,.0f} CPU-s: {facts['reason']}"

    each = facts["cpu_s"] / len(facts["validation"])
    curve = "  ".join(
        f"{(epoch + 1) * each:,.1f} s {100 * value:.1f}"
        for epoch, value in enumerate(facts["validation"])
    )
    return (
        f"{name}: {facts['params']:,} params, {facts['cpu_s']:,.1f} CPU-s, "
        f"validation {100 * max(facts['validation']):.2f} %, test {100 * facts['test']:.2f} %, "
        f"with mirror images {100 * facts['test_with_mirror']:.2f} %\n  {curve}"
    )


def together(folder: Path, names: list[str], labels: np.ndarray) -> str:
    """Test accuracy of the mean of these nets' logits, without and with mirror images."""
    outputs = np.mean([np.load(folder / name / "test.npy") for name in names], axis=0)
    plain = float((outputs[0].argmax(1) == labels).mean())
    both = float((outputs.sum(0).argmax(1) == labels).mean())
    return f"{' + '.join(names)}: test {100 * plain:.2f} %, with mirror images {100 * both:.2f} %"


def digits(folder: Path) -> Path:
    """Prepared embedded images, in `folder`; returns where."""
    made = cluttered_digits(0, 200, 100, 100)
    size = made.train.images.shape[1]
    classes = [str(digit) for digit in range(10)]
    parts = {
        "train": (made.train.images[:200], made.train.labels[:200]),
        "validation": (made.train.images[200:], made.train.labels[200:]),
        "test": (made.test.images, made.test.labels),
    }

    for name, (pixels, labels) in parts.items():
        write_split(folder, name, pixels, labels.astype(np.uint8), {"classes": classes})

    counts = {name: len(labels) for name, (_, labels) in parts.items()}
    facts = {"classes": classes, "source": "cluttered-digits", "size_px": size, "images": counts}
    write_manifest(folder, facts)
    return folder


def main() -> None:
    """Run the cases, one after the other."""
    summary, _, usage = (__doc__ or "").partition("\n\n")
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.teachers",
        description=summary,
        epilog=usage,
        formatter_class=raw,
    )
    parser.add_argument("cases", type=Path, nargs="?", help="YAML: a section `teachers` for each")
    parser.add_argument("--prepared", type=Path, default=Path("data/prepared"))
    parser.add_argument("--folder", type=Path, help="keeps nets and results")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--crop-min-px", type=int, default=24, help="as images.crop_min_px")
    parser.add_argument("--no-mirror", action="store_true", help="views are not mirrored")
    parser.add_argument("--together", nargs="+", default=[], metavar="CASE", help="an ensemble")
    parser.add_argument("--quick", action="store_true", help="two tiny nets on embedded images")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as place:
        if arguments.quick:
            arguments.prepared = digits(Path(place) / "prepared")
            arguments.folder = arguments.folder or Path(place) / "nets"
            arguments.together = [*QUICK]
        elif arguments.cases is None or arguments.folder is None:
            parser.error("give CASES and --folder, or --quick")

        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    """Run the cases that have not finished, and print all of them."""
    path = arguments.cases
    written = QUICK if arguments.quick else YAML(typ="safe").load(path.read_text())
    cases = checked(written, path, arguments.prepared)
    images = common.Images(not arguments.no_mirror, arguments.crop_min_px)
    for name in arguments.together:
        if name not in cases:
            raise ValueError(f"--together names {name}: cases are {', '.join(cases)}")

    for name, (section, seed) in cases.items():
        work = arguments.folder / name
        path = work / "facts.json"

        # A case in a process of its own, whose CPU-seconds count.
        if not path.exists():
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            job = job_of(section, work, arguments.prepared, arguments.precision, images)
            with Local(1) as processes:
                facts = processes.submit(run_case, job, seed).result()
            write_json(path, {**facts, "environment": measure.environment()})

        print(line(name, read_json(path)), flush=True)

    if arguments.together:
        labels = read_test(arguments.prepared)[1]
        print(together(arguments.folder, arguments.together, labels))

    print(json.dumps(measure.environment()), file=sys.stderr)


if __name__ == "__main__":
    entry.run(main)
