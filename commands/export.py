"""export: a net of a finished run as files for other programs; not a stage of the pipeline.

`python -m commands.export CELL` reads the chosen net of a cell (`students/conv2-180k`,
`hard/conv2-180k`; without a folder students are meant; also `teachers/003`, `ensemble/00`) and what
data/ and metrics/ say of it. Writes to a folder (exports/CELL, or `--out`) model.safetensors,
model.pt2 (a torch.export program), model.onnx, the class names labels.json, a model card README.md,
and for vectors the statistics that standardise them. A bottleneck is multiplied into the layer
after it, which gives the same function with fewer layers, unless `--keep-bottleneck`. Every file is
run on test images and on made-up ones, e.g. of one colour, and must give what the net gives; only
then is it kept. An earlier export in the folder is replaced when all files are there.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from commands.models import card, torch_format
from commands.models.absorb import absorb
from commands.models.check import ANOTHER_NET, CheckedInputs, compare, outputs
from commands.models.exported import count, exported_net, has_bottleneck, outline
from commands.models.files import CARD, FILES, LABELS, STATISTICS
from commands.models.find import PREPARED, FoundNet, find, takes_and_gives
from commands.models.formats import write_formats
from commands.models.made_up import made_up
from commands.models.placed import check_folder, staged
from commands.models.programs import (
    check_extras,
    input_name,
    onnx_versions,
    torch_runner,
)
from commands.models.record import NetRecord, cell_of, limits, record_of, training
from stages.nets.families import Plan
from stages.nets.stored import restore
from stages.runtime import entry
from stages.runtime.environment import source
from stages.settings.groups import CellName
from stages.settings.inputs import Inputs
from stages.settings.read import read_params
from stages.settings.results import data_name
from stages.store.atomic import write_bytes, write_json, write_text
from stages.store.manifest import file_hash
from stages.store.prepared import PreparedManifest, read_test
from stages.store.weights import load_weights

SAMPLE = 256
"""Test images on which every file is compared with the net."""
PACKAGES = {
    "safetensors": ("safetensors",),
    "pt2": (),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}


def chosen(wanted: str | None) -> list[str]:
    """The formats to write: the one that is wanted, or all.

    Where nothing was wanted and the extra is not installed, ONNX is left out; a line says so.

    Raises:
        ValueError: ONNX is wanted and its extra is not installed.
    """
    formats = list(FILES) if wanted in (None, "all") else [str(wanted)]
    if "onnx" in formats:
        try:
            check_extras()
        except ValueError as error:
            if wanted is not None:
                raise
            print(f"{FILES['onnx']} is left out: {error}")
            formats.remove("onnx")

    return formats


def check_weights(net: nn.Module, record: NetRecord) -> None:
    """Check that these weights give the outputs that the run's tables are about.

    Raises:
        ValueError: they do not.
    """
    logits = outputs(torch_runner(net), record.inputs[:SAMPLE])
    wanted = record.outputs[:SAMPLE]
    try:
        compare("the net", logits, wanted, ANOTHER_NET)
    except ValueError as error:
        raise ValueError(
            f"the weights are not those that the run has measured ({error}): "
            "run 'dvc checkout', or 'dvc repro'"
        ) from error


def table(
    net: FoundNet,
    cell: CellName | None,
    header: Mapping[str, Any],
    trained: nn.Sequential,
    exported: nn.Sequential,
) -> dict[str, str]:
    """Lines of the card on the net itself."""
    lines = {"net": net.name}
    if cell is not None:
        plan = Plan.from_json(header["plan"])
        widths = " ".join(map(str, plan.widths)) or "none searched"
        dependent = (
            "" if plan.dependent is None else f", and {plan.dependent} that fills the budget"
        )
        lines |= {"row": cell.row, "budget": cell.budget, "widths": widths + dependent}

    lines["parameters as trained"] = f"{count(trained):,}"
    if has_bottleneck(trained):
        kept = "kept" if has_bottleneck(exported) else "multiplied into the next layer"
        lines["parameters here"] = f"{count(exported):,}: the bottleneck is {kept}"

    lines["layers"] = outline(exported)
    lines["factor of the standardised input"] = f"{header.get('input_scale', 1.0):g}"
    return lines


def write_card(
    folder: Path,
    net: FoundNet,
    cell: CellName | None,
    record: NetRecord,
    described: dict[str, Any],
    lines: dict[str, str],
    differences: dict[str, float],
    sample: CheckedInputs,
    params: dict[str, Any],
) -> None:
    """Write README.md, when the other files are there."""
    # What it is called.
    title = f"{net.name}: a teacher"
    if cell is not None:
        kind = "net on true labels" if cell.hard else "mimic net"
        title = f"{cell.row} at {cell.budget}: a {kind}"

    # What it was made with.
    packages = dict.fromkeys(
        package for form in FILES if FILES[form] in differences for package in PACKAGES[form]
    )
    code = source()
    commit = "an unknown commit" if code["commit"] is None else f"commit {code['commit']}"
    if code["changed"]:
        commit += ", with changes"

    # What a runtime has to know.
    onnx = [name for name in differences if name.endswith(".onnx")]
    lines = lines | {name: onnx_versions((folder / name).read_bytes()) for name in onnx}

    # The card.
    facts = card.Facts(
        title=f"{title} for {described['data']}",
        description=described,
        counts=PreparedManifest.read(PREPARED).images,
        table=lines,
        training=training(cell, record, params, input_name(described)),
        hyperparameters=record.hyperparameters,
        measured=record.measured,
        limits=limits(record, cell is not None),
        differences=differences,
        sample=len(sample.tested),
        made=list(sample.made),
        files={path.name: file_hash(path) for path in sorted(folder.iterdir())},
        versions={
            "Python": platform.python_version(),
            "torch": torch.__version__,
            **{package: importlib.metadata.version(package) for package in packages},
        },
        commit=commit,
    )
    write_text(folder / CARD, card.text(facts))


def main() -> None:
    """Export one net."""
    parser = argparse.ArgumentParser(prog="python -m commands.export", description=__doc__)
    parser.add_argument(
        "cell", metavar="CELL", help="e.g. students/conv2-180k, hard/conv2-180k, teachers/003"
    )
    parser.add_argument(
        "--format",
        choices=[*FILES, "all"],
        help="without it all, ONNX only if the extra is installed",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="exports/CELL unless given")
    parser.add_argument(
        "--keep-bottleneck", action="store_true", help="of mlp1, conv1, snn-2014: as it was trained"
    )
    arguments = parser.parse_args()

    # What is asked for
    formats = chosen(arguments.format)

    params = read_params()
    net = find(arguments.cell)
    cell = cell_of(net, params)
    out = arguments.out or Path("exports") / net.name
    check_folder(out)

    # The net as it was trained
    state, header = load_weights(net.weights)
    about = {"kind": net.kind, "net": header, "absorbed": False}
    trained = restore(net.weights, exported_net, state, about).eval()
    record = record_of(net)
    check_weights(trained, record)

    # The net as it is exported
    slim = has_bottleneck(trained) and not arguments.keep_bottleneck
    exported = absorb(trained) if slim else trained
    described = {
        "name": net.name,
        "data": data_name(params),
        **takes_and_gives(),
        **about,
        "absorbed": slim,
    }

    # Its files
    inputs = Inputs.from_json(described)
    tested = read_test(PREPARED)[0][:SAMPLE]
    sample = CheckedInputs.of(torch_runner(trained), tested, made_up(inputs))
    lines = table(net, cell, header, trained, exported)
    with staged(out) as folder:
        if inputs.is_vectors:
            write_bytes(folder / STATISTICS, (PREPARED / STATISTICS).read_bytes())
            torch_format.mark(folder / STATISTICS)
        write_json(folder / LABELS, described["classes"])
        differences = write_formats(folder, formats, exported, described, sample)
        write_card(folder, net, cell, record, described, lines, differences, sample, params)

    sizes = f"{count(trained):,} parameters as trained, {count(exported):,} here"
    print(f"{out}: {net.name}, {sizes}; {CARD} is the model card")


if __name__ == "__main__":
    entry.run(main)
