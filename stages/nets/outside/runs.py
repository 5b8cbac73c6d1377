"""What runs the files of nets from elsewhere: onnxruntime, torch, torchvision, timm."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from stages.settings.outside import Described
from stages.settings.read import nearest

Run = Callable[[Tensor], Tensor]
"""What the net sees (n, ...) -> what it gives (n, classes), on the same device."""

KINDS = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
"""Types of an ONNX net's input that it can be given."""

NOT_OF_A_NET = ("pretrained", "weights", "progress", "checkpoint", "cache")
"""How arguments begin by which torchvision and timm load weights from elsewhere, some with pickle."""


def extra(name: str, group: str) -> ModuleType:
    """A library of one of the extras.

    Raises:
        ValueError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(
            f"format {group} needs {name} ({error}): pip install '.[{group}]'"
        ) from None


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


def from_zoo(path: Path, described: Described, device: torch.device) -> nn.Module:
    """A net of torchvision or timm, with weights from a safetensors file.

    Raises:
        ValueError: no such architecture, or the weights are of another one.
    """
    made = _torchvision if described.format == "torchvision" else _timm
    state = _weights(path)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of initial weights, which are replaced
        net = made(described, path)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"{path} holds weights of another net than {described.architecture} with "
            f"{len(described.classes)} classes: {fault(error)}"
        ) from error
    return net.eval().requires_grad_(False).to(device)


def _torchvision(described: Described, path: Path) -> nn.Module:
    from torchvision import models

    _check_listed(described, models.list_models(module=models), path)
    return _built(models.get_model, described, path, weights=None)


def _timm(described: Described, path: Path) -> nn.Module:
    timm = extra("timm", "timm")
    _check_listed(described, timm.list_models(), path)  # others would be looked for on the Internet
    return _built(timm.create_model, described, path, pretrained=False)


def _check_listed(described: Described, known: list[str], path: Path) -> None:
    if described.architecture not in known:
        words = nearest(described.architecture, known)
        raise ValueError(
            f"{path}: architecture is {described.architecture!r}, unknown to {described.format}"
            f"{words[:300]}"
        )


def _built(make: Callable[..., nn.Module], described: Described, path: Path, **more: Any) -> Any:
    """A net with as many outputs as there are classes."""
    for key in described.arguments:
        if key.startswith(NOT_OF_A_NET):
            raise ValueError(
                f"{path}: arguments has {key!r}, by which {described.format} loads weights: take it "
                "away, the weights are those of file; allowed are arguments of the architecture"
            )

    try:
        return make(
            described.architecture,
            num_classes=len(described.classes),
            **more,
            **described.arguments,
        )
    except Exception as error:  # each architecture raises its own kinds
        raise ValueError(
            f"{path}: {described.format} cannot make {described.architecture} with the arguments "
            f"{described.arguments}: {fault(error)}"
        ) from error


def _weights(path: Path) -> dict[str, Tensor]:
    """The arrays of a safetensors file, on the host."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is not a safetensors file: {fault(error)}") from error


def fault(error: Exception) -> str:
    """What an error says, on one line, or its kind.

    >>> fault(KeyError("nope"))
    "KeyError: 'nope'"
    """
    words = " ".join(str(error).split())[:300]
    if isinstance(error, KeyError):  # says the key alone
        return f"KeyError: {words}"
    return words or type(error).__name__
