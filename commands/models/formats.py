"""The files of an export, each read again and compared with the net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from commands.models import torch_format
from commands.models.check import CheckedInputs, allowed
from commands.models.exported import exported_net
from commands.models.files import FILES
from commands.models.programs import (
    captured,
    input_name,
    onnx_bytes,
    program_bytes,
    read_onnx,
    read_program,
    torch_runner,
)
from stages.nets.stored import restore
from stages.store.atomic import write_bytes
from stages.store.weights import load_weights, save_weights


def write_formats(
    folder: Path,
    formats: list[str],
    net: nn.Sequential,
    described: dict[str, Any],
    sample: CheckedInputs,
) -> dict[str, float]:
    """Write and check each format.

    Args:
        folder: where the files go.
        formats: keys of FILES.
        net: as it is exported, in eval mode.
        described: its description.
        sample: inputs, and what the net answered to them as it was trained.

    Returns:
        File -> largest difference of a logit on test inputs.

    Raises:
        ValueError: a file gives other outputs.
    """
    program = captured(net, sample.tested) if {"pt2", "onnx"} & set(formats) else None
    differences = {}
    for kind in formats:
        path = folder / FILES[kind]

        # Write, and read again
        if kind == "safetensors":
            save_weights(path, net.state_dict(), described)
            torch_format.mark(path)
            state, header = load_weights(path)
            runner = torch_runner(restore(path, exported_net, state, header).eval())
        else:
            write = program_bytes if kind == "pt2" else onnx_bytes
            read = read_program if kind == "pt2" else read_onnx
            assert program is not None  # captured above for these two
            write_bytes(path, write(program, described))
            runner = read(path.read_bytes())[0]

        # Compare
        difference = sample.compare(path.name, runner)
        differences[path.name] = difference
        print(
            f"{path.name}: {path.stat().st_size:,} bytes, "
            f"largest difference {difference:.2g} on {len(sample.tested)} test "
            f"{input_name(described)}, allowed {allowed(sample.wanted):.2g}"
        )

    return differences
