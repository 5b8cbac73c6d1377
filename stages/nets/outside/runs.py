"""What runs the files of nets from elsewhere: onnxruntime or torch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stages.nets.outside.libraries import extra, fault
from stages.nets.outside.zoo import from_zoo
from stages.settings.outside import Described

Run = Callable[[Tensor], Tensor]
"""What the net sees (n, ...) -> what it gives (n, classes), on the same device."""

KINDS = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
"""Types of an ONNX net's input that it can be given."""


def run_of(path: Path, described: Described, device: torch.device) -> tuple[Run, list[nn.Module]]:
    """What runs the file of a net, and the modules with its weights, if torch runs it.

    Args:
        path: of the file.

    Raises:
        ValueError: it is no such net, or damaged, or something is not installed.
    """
    if described.format == "onnx":
        return onnx_run(path, described, device), []

    fixed = None
    if described.format == "torch-export":
        net, fixed = exported(path, described, device)
    else:
        net = from_zoo(path, described, device)

    def run(inputs: Tensor) -> Tensor:
        try:
            if fixed is None:
                return net(inputs)
            return torch.cat([net(part) for part in _of_length(inputs, fixed)])[: len(inputs)]
        except Exception as error:  # whatever the net's own code raises
            words = fault(error)
            if ".size()[0]" in words:  # torch's name of the first dimension
                words += "; export it with a dynamic first dimension"
            raise ValueError(f"{path} cannot be run on {list(inputs.shape)}: {words}") from error

    return run, [net]


# ONNX


def session(path: Path, device: torch.device) -> Any:
    """onnxruntime's session of a file, on the device if this onnxruntime can.

    Raises:
        ValueError: the file is no net, a part of it is missing, or it has an unknown operation.
    """
    runtime = extra("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what it says is in the error

    wanted: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        if "CUDAExecutionProvider" in runtime.get_available_providers():
            wanted = [("CUDAExecutionProvider", {"device_id": device.index or 0}), *wanted]
        else:
            print(
                f"note: {path.name} runs on the CPU: this onnxruntime has no CUDA; for that "
                "install onnxruntime-gpu in its place"
            )

    try:
        return runtime.InferenceSession(str(path), options, providers=wanted)
    except Exception as error:  # onnxruntime's own kinds
        raise ValueError(f"{path} cannot be run by onnxruntime: {fault(error)}") from error


def onnx_run(path: Path, described: Described, device: torch.device) -> Run:
    """What runs an ONNX file.

    Inputs and outputs are copied: no array of the caller is kept or written to.

    Raises:
        ValueError: see `session`; or it has no such input or output.
    """
    opened = session(path, device)
    given = _one(opened.get_inputs(), described.input, path, "input")
    if given.type not in KINDS:
        raise ValueError(f"{path}: input {given.name} is {given.type}, allowed: {', '.join(KINDS)}")
    kind = KINDS[given.type]

    tensors = [each for each in opened.get_outputs() if _may_be_outputs(each)]
    if not tensors:
        kinds = ", ".join(f"{each.name}: {each.type}" for each in opened.get_outputs())
        raise ValueError(
            f"{path} has no output of floats (n, classes) but {kinds}: scikit-learn's converter "
            "makes one with options={'zipmap': False}"
        )
    taken = _one(tensors, described.output_name, path, "output_name")
    fixed = given.shape[0] if isinstance(given.shape[0], int) and given.shape[0] > 0 else None

    def run(inputs: Tensor) -> Tensor:
        values = inputs.detach().cpu()
        parts = [values] if fixed is None else _of_length(values, fixed)
        if kind is np.uint8:
            _check_levels(values, given.name, path)
        arrays = [part.numpy().astype(kind) for part in parts]
        try:
            found = [opened.run([taken.name], {given.name: array})[0] for array in arrays]
        except Exception as error:  # onnxruntime's own kinds
            raise ValueError(
                f"{path} cannot be run on {given.name} {list(values.shape)}, it is declared "
                f"{given.shape}: {fault(error)}"
            ) from error
        joined = np.concatenate(found)[: len(values)]
        return torch.from_numpy(joined.astype(np.float32)).to(inputs.device)

    return run


def _check_levels(values: Tensor, name: str, path: Path) -> None:
    """Refuse what an input of uint8 would cut off."""
    if bool(((values < 0) | (values > 255) | (values != values.floor())).any()):
        raise ValueError(
            f"{path}: input {name} is uint8, whole numbers from 0 to 255, and would get others, from "
            f"{float(values.min()):.3g} to {float(values.max()):.3g}: for images write range: "
            "[0, 255], without mean and deviation"
        )


def _may_be_outputs(output: Any) -> bool:
    return str(output.type) in ("tensor(float)", "tensor(float16)", "tensor(double)")


def _one(found: Any, name: str | None, path: Path, key: str) -> Any:
    """The input or output of this name, or the only one."""
    names = [each.name for each in found]
    if name is None and len(found) == 1:
        return found[0]
    if name in names:
        return found[names.index(name)]

    got = "is not set" if name is None else f"is {name!r}"
    raise ValueError(f"{path}: {key} {got}, the net has {', '.join(names)}: choose one of them")


def _of_length(values: Tensor, length: int) -> list[Tensor]:
    """Pieces of exactly this length; the last is filled up with its last row."""
    lacking = -len(values) % length
    filled = torch.cat([values, values[-1:].expand(lacking, *values.shape[1:])])
    return list(filled.split(length))


# torch


def exported(
    path: Path, described: Described, device: torch.device
) -> tuple[nn.Module, int | None]:
    """The net of a torch.export program; torch unpickles parts of such a file.

    Returns:
        the net, and its batch size; None where it is free.

    Raises:
        ValueError: it is not said to be trusted, or is no such program.
    """
    if not described.trusted:
        raise ValueError(f"{path} can run code when it is opened: write 'trusted: true' if you may")

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # torch logs a traceback besides raising
    try:
        program = torch.export.load(path)
    except Exception as error:  # torch raises many kinds on damaged files
        raise ValueError(f"{path} is not a torch.export program: {fault(error)}") from error
    finally:
        logging.disable(before)

    return program.module().to(device), _fixed_batch(program)


def _fixed_batch(program: torch.export.ExportedProgram) -> int | None:
    """The batch size of a program, which is that of its example without `dynamic_shapes`."""
    inputs = program.graph_signature.user_inputs
    for node in program.graph.nodes:
        example = node.meta.get("val") if node.op == "placeholder" and node.name in inputs else None
        if isinstance(example, Tensor) and example.ndim:
            first = example.shape[0]
            return first if isinstance(first, int) else None
    return None
